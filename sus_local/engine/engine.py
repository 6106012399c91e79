"""The engine: schedule → decode → sample, one step at a time, on one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence as Tokens

from sus_local.backend.base import Backend, DecodeAborted, Slice
from sus_local.engine.batch import Batch, Entry
from sus_local.engine.residency import Residency
from sus_local.engine.scheduler import Scheduler
from sus_local.engine.sequence import Finish, Request, Sequence
from sus_local.errors import BackendError, ContextOverflowError, SusLocalError
from sus_local.kv.store import BlockStore
from sus_local.results import FinishReason, TokenLogprob

_CHECKPOINT_TOKENS = 64
"""Saved while an answer is being written, so that a killed process loses no more than these."""

_SCORE_ROWS = 32
"""Rows of logits that exist at once while a text is scored."""


class Engine:
    """Runs requests on a backend, with continuous batching and a KV cache of prefixes.

    Args:
        backend: The model; closed together with the engine.
        store: Where KV blocks are kept.
        max_sequences: How many requests run at once.
        max_waiting: How many more may wait.
    """

    def __init__(
        self, backend: Backend, store: BlockStore, *, max_sequences: int = 4, max_waiting: int = 256
    ) -> None:
        self.backend = backend
        self.store = store
        self.residency = Residency(backend, store, num_slots=max_sequences)
        self.scheduler = Scheduler(
            self.residency,
            n_batch=backend.info.n_batch,
            max_sequences=max_sequences,
            max_waiting=max_waiting,
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.residency.running and not self.scheduler.waiting

    def add(self, request: Request) -> Sequence:
        """Take a request in.

        Raises:
            ContextOverflowError: The prompt leaves no room for an answer.
            QueueFullError: Too many wait.
        """
        check_fits(len(request.token_ids), self.backend.info.n_ctx)
        sequence = Sequence(request)
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> bool:
        """Compute one batch; False if there is nothing to do."""
        self.backend.clear_abort()  # first: a cancellation after this line ends the decode
        self._drop_cancelled()
        batch = Batch.compose(self.scheduler.schedule())
        if not batch.entries:
            return False
        began = time.perf_counter()
        try:
            self.backend.decode(batch.slices)
        except DecodeAborted:
            self._undo(batch)
        except BackendError as error:
            self._undo(batch)
            self._fail(batch, error)
        else:
            self.scheduler.measure(batch.num_tokens, time.perf_counter() - began)
            self._commit(batch)
        return True

    def score(self, token_ids: Tokens[int]) -> list[float]:
        """The log-probability of each token after those before it, from the second on."""
        check_fits(len(token_ids) - 1, self.backend.info.n_ctx)
        while not self.residency.make_room(len(token_ids)) and self.scheduler.running:
            self.scheduler.preempt()
        spare, found = self.residency.spare_slot, []
        try:
            for start in range(0, len(token_ids) - 1, _SCORE_ROWS):
                run = token_ids[start : min(start + _SCORE_ROWS, len(token_ids) - 1)]
                self._decode_fully(Slice(spare, start, run, len(run)))
                found += [
                    self.backend.logprob(row, token_ids[start + row + 1]).logprob
                    for row in range(len(run))
                ]
        finally:
            self.backend.remove(spare, 0)
        return found

    def fail_all(self, error: SusLocalError) -> None:
        """Tell every request that there will be no answer, and empty the context."""
        sequences = [*self.residency.running, *self.scheduler.waiting]
        self.scheduler.waiting.clear()
        self.residency.clear()
        for sequence in sequences:
            self._end(sequence)
            sequence.request.sink.on_error(error)

    def close(self) -> None:
        """Answer every waiter with ``cancelled``, keep the KV, free the model."""
        for sequence in [*self.residency.running, *self.scheduler.waiting]:
            sequence.cancelled = True
        self._drop_cancelled()
        self.store.close()
        self.backend.close()

    def check_invariants(self) -> None:
        """Raise AssertionError where the parts of the engine disagree; for tests."""
        self.residency.check_invariants()
        self.store.check_invariants()

    def _commit(self, batch: Batch) -> None:
        """Take what a decode computed, and sample where a sequence came to its end."""
        self.residency.settle()
        for entry in batch.entries:
            self.residency.grow(entry.sequence, entry.count)
        for entry in batch.entries:
            if entry.samples:
                self._sample(entry)

    def _sample(self, entry: Entry) -> None:
        sequence, sampling = entry.sequence, entry.sequence.request.sampling
        try:
            sampler = sequence.sampler = sequence.sampler or self.backend.sampler(
                sampling, seed=sequence.request.seed, past_token_ids=sequence.token_ids
            )
            token_id = sampler.sample(entry.row)
        except SusLocalError as error:
            self._end(sequence)
            sequence.request.sink.on_error(error)
            return
        logprob: TokenLogprob | None = None
        if sampling.logprobs:
            logprob = self.backend.logprob(entry.row, token_id, sampling.top_logprobs)
        sequence.append(token_id)
        ended = sequence.request.sink.on_token(token_id, logprob)
        reason = "stop" if ended else self._finish_reason(sequence, token_id)
        if reason is not None:
            self._finish(sequence, reason)
        elif sequence.num_computed - sequence.num_saved >= _CHECKPOINT_TOKENS:
            self.residency.save(sequence)

    def _finish_reason(self, sequence: Sequence, token_id: int) -> FinishReason | None:
        sampling, info = sequence.request.sampling, self.backend.info
        ends = token_id in info.end_token_ids and not sampling.ignore_eos
        if ends or token_id in sampling.stop_token_ids:
            return "stop"
        if sequence.num_completion_tokens == sampling.max_tokens or len(sequence) >= info.n_ctx:
            return "length"
        return None

    def _finish(self, sequence: Sequence, reason: FinishReason) -> None:
        """Answer first, save after: nobody waits for the saving."""
        sequence.request.sink.on_finish(Finish(reason, sequence.usage(), sequence.timings()))
        self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        if sequence in self.residency.running:
            self.residency.leave(sequence)
        if sequence.sampler is not None:
            sequence.sampler.close()
            sequence.sampler = None

    def _drop_cancelled(self) -> None:
        for sequence in [s for s in self.scheduler.waiting if s.cancelled]:
            self.scheduler.waiting.remove(sequence)
            self._finish(sequence, "cancelled")
        for sequence in [s for s in self.residency.running if s.cancelled]:
            self._finish(sequence, "cancelled")

    def _undo(self, batch: Batch) -> None:
        for entry in batch.entries:
            self.residency.undo(entry.sequence, entry.position)

    def _fail(self, batch: Batch, error: BackendError) -> None:
        for entry in batch.entries:
            self._end(entry.sequence)
            entry.sequence.request.sink.on_error(error)

    def _decode_fully(self, piece: Slice) -> None:
        """Decode for a caller that has no cancelling of its own."""
        while True:
            try:
                self.backend.decode([piece])
            except DecodeAborted:
                self.backend.remove(piece.sequence_id, piece.position)
                self.backend.clear_abort()
            else:
                return


def check_fits(num_tokens: int, n_ctx: int) -> None:
    """Refuse a prompt that leaves no room for a token of an answer.

    Raises:
        ContextOverflowError: With both numbers.
    """
    if num_tokens < 1:
        raise ContextOverflowError(
            "the prompt has no tokens", hint="give some text", num_tokens=0, n_ctx=n_ctx
        )
    if num_tokens >= n_ctx:
        raise ContextOverflowError(
            f"the prompt has {num_tokens} tokens, the context holds {n_ctx} with the answer",
            hint="shorten it, or load the model with a larger n_ctx",
            num_tokens=num_tokens,
            n_ctx=n_ctx,
        )
