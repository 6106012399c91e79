"""Which sequences run, and which of their tokens go into the next batch.

Requests are admitted in the order of their arrival, as soon as a slot and the cells for their
prompt are free. A batch holds one token of every sequence that decodes; the rest of it is shared
by those in prefill. While somebody waits for the next token of an answer, a prefill chunk is as
long as about ``MAX_STALL_S`` allows at the measured speed; where a batch runs to its end, as on a
GPU, as long as ``MAX_CHUNK_S`` allows. When the cells run out, the sequence that was admitted last
is parked and waits at the head of the queue. A text that is scored is a prefill too, in small
chunks: there are rows of logits for some tokens only.
"""

from __future__ import annotations

from collections import deque

from sus_local.backend.options import num_outputs
from sus_local.engine.residency import Residency
from sus_local.engine.sequence import Sequence
from sus_local.errors import QueueFullError
from sus_local.kv.prefix import common_length

MAX_STALL_S = 0.15
"""How long a prefill chunk may hold up answers that are being decoded."""

MAX_CHUNK_S = 0.2
"""How long a prefill chunk may take where it runs to its end."""

_MIN_CHUNK_TOKENS = 16
_MIN_SHARED_TOKENS = 32


class Scheduler:
    """The queue of one engine.

    Args:
        residency: The context.
        n_batch: The most tokens in one batch.
        n_ubatch: The most of one prefill: a batch that is stopped loses all that it computed.
        min_chunk_tokens: See :class:`sus_local.backend.base.ModelInfo`.
        max_sequences: How many sequences run at once.
        max_waiting: How many requests may wait.
    """

    def __init__(
        self,
        residency: Residency,
        *,
        n_batch: int,
        n_ubatch: int,
        min_chunk_tokens: int,
        max_sequences: int,
        max_waiting: int,
    ) -> None:
        self.waiting: deque[Sequence] = deque()
        self._residency = residency
        self._n_batch = n_batch
        self._n_ubatch = n_ubatch
        self._min_chunk_tokens = min_chunk_tokens
        self._max_sequences = max_sequences
        self._num_rows = num_outputs(max_sequences)
        self._max_waiting = max_waiting
        self._prefill_rate = 0.0

    @property
    def running(self) -> list[Sequence]:
        """Sequences in the context that are not finished, the first admitted first."""
        return self._residency.running

    def add(self, sequence: Sequence) -> None:
        """Let a sequence wait for its turn; the rest of an answer that ran does so before all.

        Raises:
            QueueFullError: So many wait already.
        """
        if sequence.request.goes_on:
            self.waiting.appendleft(sequence)
            return
        if len(self.waiting) >= self._max_waiting:
            raise QueueFullError(
                f"{len(self.waiting)} requests wait, the queue holds {self._max_waiting}",
                hint="try again when some are done",
                num_waiting=len(self.waiting),
                max_waiting=self._max_waiting,
            )
        self.waiting.append(sequence)

    def schedule(self) -> list[tuple[Sequence, int]]:
        """The next batch: sequences, each with the number of its tokens to compute."""
        if self.waiting:
            self._admit()
        self._reserve()
        batch = [(sequence, 1) for sequence in self.running if not sequence.in_prefill]
        if len(batch) < len(self.running):
            prefills = [sequence for sequence in self.running if sequence.in_prefill]
            batch += self._share(prefills, self._budget(len(batch), len(prefills)))
        return batch

    def measure(self, num_tokens: int, seconds: float) -> None:
        """Learn the speed of prefill from a batch that took ``seconds``."""
        if num_tokens >= _MIN_CHUNK_TOKENS and seconds > 0:
            rate = num_tokens / seconds
            weight = 0.3 if self._prefill_rate else 1.0
            self._prefill_rate += weight * (rate - self._prefill_rate)

    def tokens_in(self, seconds: float) -> int:
        """Tokens that prefill computes in so many seconds; 0 before its speed is known."""
        return int(self._prefill_rate * seconds)

    def preempt(self, sequence: Sequence | None = None) -> None:
        """Park a sequence, the last admitted if none is named; it waits at the queue's head."""
        sequence = self.running[-1] if sequence is None else sequence
        self.waiting.appendleft(sequence)  # first: whatever fails, it is somewhere to be told
        self._residency.park(sequence)

    def _admit(self) -> None:
        for sequence in list(self.waiting):
            if len(self.running) >= self._max_sequences or not self._fits(sequence):
                return
            if not self._awaits_prefix(sequence):
                self._residency.enter(sequence)
                self.waiting.remove(sequence)

    def _fits(self, sequence: Sequence) -> bool:
        """Whether the cells suffice for a sequence and some tokens of its answer."""
        if not self.running:
            return True
        cells = self._residency.cells
        available = cells.num_cells - len({cell for s in self.running for cell in s.cells})
        shared = self._residency.num_shared(sequence.root, sequence.token_ids)
        return available >= len(sequence) - shared + cells.num_cells // 16 + len(self.running)

    def _awaits_prefix(self, sequence: Sequence) -> bool:
        """Whether a running prefill is about to compute a beginning that this one shares."""
        if sequence.request.scored:
            return False
        cached = self._residency.cached_length(sequence.root, sequence.token_ids)
        limit = len(sequence) - 1
        for other in self.running:
            if other.in_prefill and other.root == sequence.root:
                common = common_length(other.token_ids, sequence.token_ids, 0, limit)
                worth = 1 if common == limit else _MIN_SHARED_TOKENS
                if common >= max(cached, other.num_computed) + worth:
                    return True
        return False

    def _reserve(self) -> None:
        """See that each sequence can compute at least one token."""
        while not self._residency.make_room(len(self.running)) and len(self.running) > 1:
            self.preempt()

    def _budget(self, num_decodes: int, num_prefills: int) -> int:
        """Tokens that the prefills of a batch may have."""
        budget = min(self._n_batch - num_decodes, self._n_ubatch * num_prefills)
        if num_decodes:
            return min(budget, self._chunk(MAX_STALL_S, _MIN_CHUNK_TOKENS))
        if self._min_chunk_tokens:
            return min(budget, self._chunk(MAX_CHUNK_S, self._min_chunk_tokens))
        return budget

    def _chunk(self, seconds: float, least: int) -> int:
        return max(least, self.tokens_in(seconds))

    def _share(self, prefills: list[Sequence], budget: int) -> list[tuple[Sequence, int]]:
        """Divide a budget: an even share for the first admitted, the rest for the shortest.

        One prefill that ends early decodes beside the others; several that go on evenly do not.
        """
        batch = []
        others = len(self.running) - len(prefills)
        self._residency.make_room(others + min(budget, sum(s.num_remaining for s in prefills)))
        budget = min(budget, self._residency.cells.num_free - others)
        held = -(-budget // max(1, len(prefills)))
        num_rows = self._num_rows - len(self.running)
        for sequence in sorted(prefills, key=lambda s: s.num_remaining):
            if sequence is prefills[0]:
                held = 0
            count = min(sequence.num_remaining, budget - held)
            if sequence.request.scored:
                count = min(count, num_rows)
                num_rows -= max(count, 0)
            if count > 0:
                batch.append((sequence, count))
                budget -= count
        return batch
