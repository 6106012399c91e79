"""The engine: schedule → decode → sample, one step at a time, on one thread."""

from __future__ import annotations

import contextlib
import time

from sus_local.backend.base import Backend, DecodeAborted, Sampler
from sus_local.engine.batch import Batch, Entry
from sus_local.engine.lookup import Lookup
from sus_local.engine.residency import Residency
from sus_local.engine.scheduler import Scheduler
from sus_local.engine.sequence import Finish, Request, Sequence
from sus_local.errors import (
    BackendError,
    ContextOverflowError,
    SusLocalError,
    prompt_too_long,
)
from sus_local.kv.store import BlockStore
from sus_local.results import FinishReason, TokenLogprob

_CHECKPOINT_TOKENS = 64
_CHECKPOINT_S = 10.0
"""A killed process loses no more than so many tokens of an answer, or so long of a prompt."""


class Engine:
    """Runs requests on a backend, with continuous batching and a KV cache of prefixes.

    Args:
        backend: The model; closed together with the engine.
        store: Where KV blocks are kept.
        max_sequences: How many requests run at once, as far as the backend has sequences for them.
        max_waiting: How many more may wait.
    """

    def __init__(
        self, backend: Backend, store: BlockStore, *, max_sequences: int = 4, max_waiting: int = 256
    ) -> None:
        self.backend = backend
        self.store = store
        self._stopping = False
        self._batch: Batch | None = None
        self._was_aborted = False
        # The last id is for the spare slot, through which KV is saved and restored.
        max_sequences = min(max_sequences, backend.info.max_sequence_id)
        self.residency = Residency(backend, store, num_slots=max_sequences)
        self.scheduler = Scheduler(
            self.residency,
            n_batch=backend.info.n_batch,
            n_ubatch=backend.info.n_ubatch,
            min_chunk_tokens=backend.info.min_chunk_tokens,
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
            GrammarError: The grammar or schema cannot be compiled.
        """
        check_fits(request, self.backend.info.n_ctx)
        sequence = Sequence(request)
        self.scheduler.add(sequence)
        if request.scored:
            return sequence
        if self.backend.info.draft_max and not request.sampling.ruled:
            sequence.lookup = Lookup(self.backend.info.draft_max)
        try:
            sequence.sampler = self.backend.sampler(
                request.sampling, seed=request.seed, past_token_ids=request.token_ids
            )
        except BaseException:
            self.scheduler.waiting.remove(sequence)
            raise
        return sequence

    def step(self) -> bool:
        """Compute one batch; False if there is nothing to do."""
        self.backend.clear_abort()  # first: what aborts after this line ends the decode
        if self._stopping:
            return False
        self._drop_cancelled()
        plan = self.scheduler.schedule()
        batch = Batch.compose(plan, self._guess(plan))
        if not batch.entries:
            return False
        began = time.perf_counter()
        try:
            self._decode(batch)
        except DecodeAborted:
            self._was_aborted = True
            self._undo(batch)
        except BackendError as error:
            self._undo(batch)
            self._fail(batch, error)
        else:
            self._was_aborted = False
            self.scheduler.measure(batch.num_tokens, time.perf_counter() - began)
            self._commit(batch)
        return True

    def cancel(self, sequence: Sequence) -> None:
        """End a request, with the decode that runs if it is one of that; from any thread."""
        sequence.cancelled = True
        batch = self._batch
        if batch is not None and self._gives_way(batch):
            self.backend.abort()

    def stop(self) -> None:
        """End the decode that runs and begin no other; from any thread."""
        self._stopping = True
        self.backend.abort()

    def fail_all(self, error: Exception) -> None:
        """Tell every request that there will be no answer; leaves the context to be emptied."""
        sequences = [*self.residency.running, *self.scheduler.waiting]
        self.residency.running.clear()
        self.scheduler.waiting.clear()
        for sequence in sequences:
            tell(sequence.request, error)
        for sequence in sequences:
            self._end(sequence)

    def close(self) -> None:
        """Answer every waiter with ``cancelled``, keep the KV, free the model."""
        for sequence in [*self.residency.running, *self.scheduler.waiting]:
            sequence.cancelled = True
        with contextlib.ExitStack() as stack:
            stack.callback(self.backend.close)
            stack.callback(self.store.close)
            try:
                self._drop_cancelled()
            except Exception as error:
                self.fail_all(error)

    def check_invariants(self) -> None:
        """Raise AssertionError where the parts of the engine disagree; for tests."""
        self.residency.check_invariants()
        self.store.check_invariants()

    def _guess(self, plan: list[tuple[Sequence, int]]) -> tuple[int, ...]:
        """What probably follows in an answer that is decoded alone; beside others, whose batch
        reads the weights once for all of them, a guess saves less and costs them time."""
        if len(plan) != 1:
            return ()
        sequence, _ = plan[0]
        if sequence.in_prefill or sequence.lookup is None:
            return ()
        room = min(self.residency.cells.num_free, self.backend.info.n_batch) - 1
        return sequence.lookup.guess(sequence.token_ids, room)

    def _decode(self, batch: Batch) -> None:
        """Compute a batch, unless one of it was cancelled before :meth:`cancel` could see it."""
        self._batch = batch
        try:
            if self._gives_way(batch):
                self.backend.abort()
            self.backend.decode(batch.slices)
        finally:
            self._batch = None

    def _gives_way(self, batch: Batch) -> bool:
        """Whether a batch ends for those of it that were cancelled.

        What it computes for others is lost then. So never twice in a row, or a client who cancels
        often would hold up everybody else for ever.
        """
        cancelled = [entry.sequence.cancelled for entry in batch.entries]
        return all(cancelled) or (any(cancelled) and not self._was_aborted)

    def _commit(self, batch: Batch) -> None:
        """Take what a decode computed, and sample where a sequence came to its end."""
        self.residency.settle()
        for entry in batch.entries:
            self.residency.grow(entry.sequence, entry.num_tokens)
        for entry in batch.entries:
            if entry.sequence.request.scored:
                self._score(entry)
            elif entry.samples:
                self._sample(entry)
            else:
                self._checkpoint(entry.sequence)

    def _score(self, entry: Entry) -> None:
        """Hand over the tokens that follow those of a batch; not again those from before a park."""
        sequence = entry.sequence
        first = entry.row + 1 - entry.num_tokens - entry.position
        try:
            for position in range(sequence.num_scored, entry.position + entry.num_tokens):
                token_id = sequence.request.token_ids[position + 1]
                logprob = self.backend.logprob(first + position, token_id)
                sequence.request.sink.on_token(token_id, logprob)
                sequence.num_scored += 1
        except Exception as error:
            self._refuse(sequence, error)
            return
        if entry.samples:
            self._finish(sequence, "stop")

    def _sample(self, entry: Entry) -> None:
        sequence = entry.sequence
        try:
            reason = self._pick_all(entry) if entry.guess else self._pick(sequence, entry.row)
        except Exception as error:
            self._refuse(sequence, error)
            return
        if reason is not None:
            self._finish(sequence, reason)
        else:
            self._checkpoint(sequence)

    def _checkpoint(self, sequence: Sequence) -> None:
        """Save what has become too much to lose."""
        slow = self.scheduler.tokens_in(_CHECKPOINT_S) if sequence.in_prefill else 0
        if sequence.num_computed - sequence.num_saved >= max(_CHECKPOINT_TOKENS, slow):
            self.residency.save(sequence)

    def _pick_all(self, entry: Entry) -> FinishReason | None:
        """Sample as long as the guess comes true, and the token that is not as guessed, or new."""
        sequence, num_right, reason = entry.sequence, 0, None
        try:
            for row, guessed in enumerate((*entry.guess, None), start=entry.row):
                length = len(sequence)
                reason = self._pick(sequence, row)
                if reason is not None or sequence.token_ids[length:] != [guessed]:
                    break
                num_right += 1
        finally:
            self.residency.keep(sequence, num_right, num_guessed=len(entry.guess))
        if sequence.lookup is not None:
            sequence.lookup.learn(num_guessed=len(entry.guess), num_right=num_right)
        return reason

    def _pick(self, sequence: Sequence, row: int) -> FinishReason | None:
        """Sample the next token and hand it over, with what has to follow it."""
        sampling = sequence.request.sampling
        token_id = _sampler(sequence).sample(row)
        logprob: TokenLogprob | None = None
        if sampling.logprobs:
            logprob = self.backend.logprob(row, token_id, sampling.top_logprobs)
        return self._hand_over(sequence, token_id, logprob) or self._add_forced(sequence)

    def _add_forced(self, sequence: Sequence) -> FinishReason | None:
        """Hand over what has to follow; its KV is computed in one batch, as that of a prompt."""
        if sequence.request.sampling.logprobs:
            return None  # they are in the rows that would not be computed
        reason = None
        for token_id in _sampler(sequence).forced():
            reason = reason or self._hand_over(sequence, token_id, None)
        return reason

    def _hand_over(
        self, sequence: Sequence, token_id: int, logprob: TokenLogprob | None
    ) -> FinishReason | None:
        """Add a token to the answer; why it ends there, if it does."""
        sequence.append(token_id)
        if sequence.request.sink.on_token(token_id, logprob):
            return "stop"
        return self._finish_reason(sequence, token_id)

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
        try:
            sequence.request.sink.on_finish(Finish(reason, sequence.usage(), sequence.timings()))
        except Exception as error:
            self._refuse(sequence, error)
        else:
            self._end(sequence)

    def _refuse(self, sequence: Sequence, error: Exception) -> None:
        """One request failed, alone: the others go on."""
        tell(sequence.request, error)
        self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        if sequence.sampler is not None:
            sequence.sampler.close()
            sequence.sampler = None
        if sequence in self.residency.running:
            self.residency.leave(sequence)
        elif sequence in self.scheduler.waiting:
            self.scheduler.waiting.remove(sequence)

    def _drop_cancelled(self) -> None:
        everyone = (*self.scheduler.waiting, *self.residency.running)
        for sequence in [s for s in everyone if s.cancelled]:
            self._finish(sequence, "cancelled")

    def _undo(self, batch: Batch) -> None:
        """Remove what a decode left that did not end; a shift may be carried out by half."""
        for entry in batch.entries:
            self.residency.undo(entry.sequence, entry.position)
        for sequence in [s for s in self.residency.running if not s.settled]:
            self.scheduler.preempt(sequence)

    def _fail(self, batch: Batch, error: BackendError) -> None:
        for entry in batch.entries:
            self._refuse(entry.sequence, error)


def _sampler(sequence: Sequence) -> Sampler:
    if sequence.sampler is None:
        raise AssertionError(f"sequence {sequence.id} has no sampler")
    return sequence.sampler


def tell(request: Request, error: Exception) -> None:
    """Have a request hear that there will be no answer; a sink that fails there harms no other."""
    with contextlib.suppress(Exception):
        request.sink.on_error(as_told(error))


def as_told(error: Exception) -> SusLocalError:
    """An error as callers hear of it: of this package's own tree."""
    if isinstance(error, SusLocalError):
        return error
    told = BackendError(f"the engine failed: {error!r}", hint="report this, with the model")
    told.__cause__ = error
    return told


def check_fits(request: Request, n_ctx: int) -> None:
    """Refuse a prompt that leaves no room for a token of an answer, or a text as long to score.

    Raises:
        ContextOverflowError: With both numbers.
    """
    num_tokens = len(request.token_ids)
    if num_tokens < 1:
        raise ContextOverflowError(
            "the prompt has no tokens", hint="give some text", num_tokens=0, n_ctx=n_ctx
        )
    if num_tokens - request.scored >= n_ctx:
        raise prompt_too_long(num_tokens, n_ctx)
