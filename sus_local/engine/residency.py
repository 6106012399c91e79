"""Which sequences live in the context, and how their KV comes and goes.

A request takes the longest prefix that exists anywhere: a sequence in the context (taken over if
it is idle, shared if it runs), then KV blocks in RAM or on disk. What ends stays as an idle
sequence until another one needs the slot or the cells, or would be slowed by them: attention walks
all occupied cells. It is saved before, a block for each run of new tokens, so that leaving costs
nothing and coming back costs no prefill.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as Tokens

from sus_local.backend.base import Backend
from sus_local.engine.cells import Cells
from sus_local.engine.sequence import Sequence, Shift
from sus_local.kv.blocks import MAX_BLOCK_TOKENS
from sus_local.kv.prefix import Prefix, common_length
from sus_local.kv.store import BlockStore


class Residency:
    """The slots and cells of one context.

    Args:
        backend: The model.
        store: Where KV blocks are kept.
        num_slots: Sequences that may be in the context at once.
    """

    def __init__(self, backend: Backend, store: BlockStore, *, num_slots: int) -> None:
        self._backend = backend
        self._store = store
        self.cells = Cells(backend.info.n_ctx)
        self.spare_slot = num_slots
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self.running: list[Sequence] = []
        self.idle: list[Sequence] = []

    @property
    def residents(self) -> list[Sequence]:
        """All sequences in the context."""
        return [*self.running, *self.idle]

    def enter(self, sequence: Sequence) -> None:
        """Give a sequence a slot, and all the KV for it that exists anywhere."""
        first, note = sequence.scheduled_at is None, sequence.cache_note
        if sequence.request.shift is not None and self._backend.info.can_shift:
            self._enter_shifted(sequence, sequence.request.shift)
        if sequence.slot is None:
            # Every token is computed whose logits are wanted.
            known = sequence.num_scored + 1 if sequence.request.scored else None
            self._enter_prefix(sequence, sequence.root, sequence.token_ids[:known])
        if first:
            sequence.num_cached_tokens = sequence.num_computed
            sequence.scheduled_at = time.perf_counter()
        else:
            sequence.cache_note = note
        self.running.append(sequence)
        self.clear_idle()

    def leave(self, sequence: Sequence) -> None:
        """A running sequence is finished: save it and keep it as idle, if it may go on."""
        self.running.remove(sequence)
        if sequence.request.scored:
            self._release(sequence)
            return
        self.save(sequence)
        if sequence.settled and sequence.num_computed:
            self.idle.append(sequence)
        else:
            self._release(sequence)

    def park(self, sequence: Sequence) -> None:
        """Take a running sequence out of the context; :meth:`enter` brings it back."""
        self.running.remove(sequence)
        self.save(sequence)
        self._release(sequence)

    def save(self, sequence: Sequence) -> None:
        """Keep the KV that no block holds, or holds no longer, if there is room for it."""
        lost = (end for end, key in sequence.chain if key not in self._store)
        sequence.rewind_chain(next(lost, sequence.num_saved + 1) - 1)
        while sequence.settled and sequence.num_saved < sequence.num_computed:
            start = sequence.num_saved
            end = min(sequence.num_computed, start + MAX_BLOCK_TOKENS)
            if start < sequence.num_prompt_tokens < end:
                end = sequence.num_prompt_tokens
            if not self._save_run(sequence, start, end):
                return

    def make_room(self, num_cells: int) -> bool:
        """Let idle sequences go, the oldest first, until so many cells are free."""
        while self.cells.num_free < num_cells and self.idle:
            self._release(self.idle.pop(0))
        return self.cells.num_free >= num_cells

    def clear_idle(self) -> None:
        """Let those idle sequences go that come back without prefill."""
        self._release_idle([s for s in self.idle if self._is_saved(s)])

    def clear(self) -> None:
        """Empty the context, whoever holds its slots; nothing is saved."""
        self.running.clear()
        self.idle.clear()
        self.cells = Cells(self.cells.num_cells)
        self._free_slots = list(range(self.spare_slot - 1, -1, -1))
        for slot in range(self.spare_slot + 1):
            self._backend.remove(slot, 0)

    def grow(self, sequence: Sequence, count: int) -> None:
        """``count`` more tokens of a sequence were computed."""
        self.cells.grow(sequence.cells, count)
        sequence.num_computed += count

    def keep(self, sequence: Sequence, num_tokens: int, *, num_guessed: int) -> None:
        """Of the guessed tokens that were computed so many came true; the others leave."""
        self.grow(sequence, num_tokens)
        if num_tokens < num_guessed:
            self.undo(sequence, sequence.num_computed)

    def settle(self) -> None:
        """A decode carried out every shift."""
        for sequence in self.residents:
            sequence.settled = True

    def undo(self, sequence: Sequence, position: int) -> None:
        """Remove what a decode may have left from ``position`` on."""
        if sequence.slot is not None:
            self._backend.remove(sequence.slot, position)

    def cached_length(self, root: bytes, token_ids: Tokens[int]) -> int:
        """How many tokens :meth:`enter` would find; the last one is always computed."""
        limit = len(token_ids) - 1
        resident = self._best_resident(root, token_ids, limit)[1]
        return max(resident, self._store.longest(root, token_ids, limit).length)

    def num_shared(self, root: bytes, token_ids: Tokens[int]) -> int:
        """Tokens of these whose cells exist and belong to a running sequence."""
        limit = len(token_ids) - 1
        return max((_match(s, root, token_ids, limit) for s in self.running), default=0)

    def check_invariants(self) -> None:
        """Raise AssertionError where slots, cells and sequences disagree; for tests."""
        slots = [sequence.slot for sequence in self.residents]
        if sorted([*self._free_slots, *(s for s in slots if s is not None)]) != list(
            range(self.spare_slot)
        ):
            raise AssertionError(f"slots {slots} and free {self._free_slots} are not all slots")
        owned = {cell for sequence in self.residents for cell in sequence.cells}
        if len(owned) != self.cells.num_used:
            raise AssertionError(f"{len(owned)} cells owned, {self.cells.num_used} counted")
        for sequence in self.residents:
            if not sequence.num_saved <= sequence.num_computed == len(sequence.cells):
                raise AssertionError(
                    f"sequence {sequence.id}: {sequence.num_saved} saved, "
                    f"{sequence.num_computed} computed, {len(sequence.cells)} cells"
                )

    # Entering

    def _enter_prefix(self, sequence: Sequence, root: bytes, token_ids: Tokens[int]) -> None:
        limit = len(token_ids) - 1
        resident, length = self._best_resident(root, token_ids, limit)
        prefix = self._store.longest(root, token_ids, limit)
        if resident is None:
            self._take_slot(sequence)
        elif resident in self.idle and (self._is_saved(resident) or not self._free_slots):
            self._take_over(sequence, resident, length)
        else:
            self._fork(sequence, resident, length)
        place = self._store.source(prefix.blocks[-1]) if prefix.blocks else ""
        self.clear_idle()  # before cells are taken: attention walks up to the last one in use
        self._restore(sequence, prefix)
        restored = sequence.num_computed - length
        sequence.cache_note = _note(length, restored, place)
        if sequence.num_computed < limit and (other := self._other(resident, prefix, length)):
            place = f"token {sequence.num_computed}"
            sequence.cache_note += f"; diverged at {place} from {other} cached tokens"

    def _enter_shifted(self, sequence: Sequence, shift: Shift) -> None:
        """Bring the old history in, take the turns out of its middle and move the rest."""
        cached = self.cached_length(shift.root, (*shift.token_ids, 0))
        usable = min(cached, shift.start) + max(cached - shift.end, 0)
        if usable <= self.cached_length(sequence.root, sequence.token_ids):
            return
        limit = len(shift.token_ids) if cached > shift.end else shift.start
        history = (*shift.token_ids[:limit], 0)
        resident, _ = self._best_resident(shift.root, history, limit)
        if resident is not None:
            self.save(resident)
        self._enter_prefix(sequence, shift.root, history)
        tail = set(sequence.cells[shift.end :])  # a shift would move the cells of others too
        if any(tail.intersection(other.cells) for other in self.running):
            self._release(sequence)
            self._take_slot(sequence)
            self._restore(sequence, self._store.longest(shift.root, history, limit))
        else:
            self._release_idle([s for s in self.idle if tail.intersection(s.cells)])
        self._cut(sequence, shift.start, shift.end)
        self._truncate(sequence, min(sequence.num_computed, len(sequence) - 1))
        sequence.cache_note = f"shifted {sequence.num_computed} tokens"

    def _best_resident(
        self, root: bytes, token_ids: Tokens[int], limit: int
    ) -> tuple[Sequence | None, int]:
        best, length = None, 0
        for sequence in self.residents:
            matched = _match(sequence, root, token_ids, limit) if sequence.settled else 0
            if matched > length:
                best, length = sequence, matched
        return best, length

    def _take_slot(self, sequence: Sequence) -> None:
        if not self._free_slots:
            self._release(self.idle.pop(0))
        sequence.slot = self._free_slots.pop()

    def _take_over(self, sequence: Sequence, resident: Sequence, length: int) -> None:
        self.idle.remove(resident)
        sequence.slot, resident.slot = resident.slot, None
        sequence.cells, resident.cells = resident.cells, []
        sequence.chain = resident.chain
        sequence.num_computed = resident.num_computed
        self._truncate(sequence, length)

    def _fork(self, sequence: Sequence, source: Sequence, length: int) -> None:
        self._take_slot(sequence)
        if source.slot is None or sequence.slot is None:
            return
        self._backend.copy(source.slot, sequence.slot, 0, length)
        sequence.cells = self.cells.fork(source.cells, length)
        sequence.num_computed = length
        sequence.chain = list(source.chain)
        sequence.rewind_chain(length)

    def _restore(self, sequence: Sequence, prefix: Prefix) -> None:
        """Add from blocks what lies beyond the cells that the sequence has."""
        for block in prefix.blocks:
            end = min(block.end, prefix.length)
            if sequence.cancelled:
                return
            if end > sequence.num_computed:
                payload = self._store.load(block)
                missing = end - sequence.num_computed
                if payload is None or not self.make_room(block.end - block.start):
                    return
                if not self._restore_run(sequence, payload, end):
                    self._store.drop(block)
                    return
                self.cells.grow(sequence.cells, missing)
                sequence.num_computed = end
            if end == block.end > sequence.num_saved:
                sequence.chain.append((block.end, block.key))
        if prefix.blocks:
            self._store.touch(prefix.blocks[-1].key)

    def _restore_run(self, sequence: Sequence, payload: bytes, end: int) -> bool:
        backend, spare, slot = self._backend, self.spare_slot, sequence.slot
        if slot is None or not backend.restore(spare, payload):
            return False
        backend.copy(spare, slot, sequence.num_computed, end)
        backend.remove(spare, 0)
        return True

    def _other(self, resident: Sequence | None, prefix: Prefix, length: int) -> int:
        """How long the cached history is that a prompt leaves in its middle; 0 if there is none."""
        if prefix.length > length:
            end = prefix.blocks[-1].end
            return end if end > prefix.length else 0
        if resident is not None and resident.num_computed > length:
            return resident.num_computed
        return 0

    def _is_saved(self, sequence: Sequence) -> bool:
        whole = sequence.num_saved == sequence.num_computed
        return whole and all(key in self._store for _, key in sequence.chain)

    # Leaving

    def _save_run(self, sequence: Sequence, start: int, end: int) -> bool:
        size = (end - start) * self._backend.info.num_kv_bytes_per_token
        if sequence.slot is None or not self._store.fits(size, sequence.tip):
            return False
        spare = self.spare_slot
        self._backend.copy(sequence.slot, spare, start, end)
        try:
            payload = self._backend.save(spare)
        finally:
            self._backend.remove(spare, 0)
        run = sequence.token_ids[start:end]
        block = self._store.save(sequence.tip, start, run, payload) if payload else None
        if block is None or block.key not in self._store:
            return False
        sequence.chain.append((end, block.key))
        return True

    def _truncate(self, sequence: Sequence, length: int) -> None:
        if sequence.slot is not None and length < sequence.num_computed:
            self._backend.remove(sequence.slot, length)
            self.cells.remove(sequence.cells, length)
            sequence.num_computed = length
        sequence.rewind_chain(length)

    def _cut(self, sequence: Sequence, start: int, end: int) -> None:
        """Take ``[start, end)`` out of a sequence, which may end before, and move the rest."""
        if sequence.slot is None:
            return
        self._backend.remove(sequence.slot, start, end)
        self._backend.shift(sequence.slot, end, start - end)
        self.cells.remove(sequence.cells, start, end)
        sequence.num_computed = len(sequence.cells)
        sequence.chain = []
        sequence.settled = False

    def _release_idle(self, sequences: list[Sequence]) -> None:
        for sequence in sequences:
            self.idle.remove(sequence)
            self._release(sequence)

    def _release(self, sequence: Sequence) -> None:
        if sequence.slot is not None:
            self._backend.remove(sequence.slot, 0)
            self.cells.remove(sequence.cells, 0)
            self._free_slots.append(sequence.slot)
        sequence.slot, sequence.num_computed = None, 0
        sequence.chain, sequence.settled = [], True


def _match(sequence: Sequence, root: bytes, token_ids: Tokens[int], limit: int) -> int:
    """How many of ``token_ids[:limit]`` a resident has computed."""
    if sequence.root != root:
        return 0
    computed = sequence.token_ids[: sequence.num_computed]
    return common_length(computed, token_ids, 0, limit)


def _note(num_kept: int, num_restored: int, place: str) -> str:
    parts = [f"kept {num_kept} tokens in the context"] if num_kept else []
    parts += [f"restored {num_restored} tokens from {place}"] if num_restored else []
    return ", ".join(parts) or "nothing was cached"
