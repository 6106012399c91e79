"""A request, and the sequence of tokens that it becomes."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from sus_local.backend.base import Sampler
from sus_local.engine.cells import Holding
from sus_local.engine.lookup import Lookup
from sus_local.errors import SusLocalError
from sus_local.kv.blocks import chain_key, digest
from sus_local.results import FinishReason, Timings, TokenLogprob, Usage
from sus_local.sampling import SamplingParams


@dataclass(frozen=True, slots=True)
class Shift:
    """How the beginning of a prompt comes about from KV that exists: turns leave, the rest moves.

    Attributes:
        token_ids: The prompt with all the turns, as far as it may be cached.
        root: The root of its chain.
        start: The first token to go.
        end: The token after the last one to go.
    """

    token_ids: tuple[int, ...]
    root: bytes
    start: int
    end: int

    @property
    def new_root(self) -> bytes:
        """The root of what comes about; see :func:`shifted_root`."""
        return shifted_root(self.root, self.token_ids, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Finish:
    """How a request ended."""

    finish_reason: FinishReason
    usage: Usage
    timings: Timings


class Sink(Protocol):
    """Where a request's tokens go. Called on the engine's thread; it must not wait."""

    def on_token(self, token_id: int, logprob: TokenLogprob | None) -> bool:
        """Take a token; True ends the answer here."""
        ...

    def on_finish(self, finish: Finish) -> None:
        """The answer is complete."""
        ...

    def on_error(self, error: SusLocalError) -> None:
        """There will be no answer."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What to generate from.

    Attributes:
        token_ids: The whole prompt.
        sampling: With every default filled in.
        sink: Takes the tokens.
        root: The root of the prompt's chain of KV blocks.
        shift: How its beginning can be made from KV under another root.
        seed: For the sampler.
        scored: Instead of generating, hand over each token after the first with its
            log-probability.
        goes_on: It is the rest of an answer that ran: it waits for no other one.
        submitted: ``time.perf_counter()`` at submission.
    """

    token_ids: tuple[int, ...]
    sampling: SamplingParams
    sink: Sink
    root: bytes
    shift: Shift | None = None
    seed: int = 0
    scored: bool = False
    goes_on: bool = False
    submitted: float = field(default_factory=time.perf_counter)


_ids = count()


class Sequence:
    """Token ids with their place in the KV cache.

    The first ``num_computed`` of ``token_ids`` have KV in the context, if the sequence has a slot
    there. Of these, blocks hold the first ``num_saved``; ``chain`` lists the ends and keys of the
    blocks, from the root on.

    Attributes:
        request: What it came from.
        token_ids: The prompt, then what was generated.
        slot: Its sequence id in the backend; None while it is parked or waits.
        cells: Its cells, ``num_computed`` of them while it has a slot.
        num_scored: Tokens that were handed over, of a request that is scored.
        settled: False between a shift and the decode that carries it out.
        lookup: Guesses what follows; None where nothing is guessed.
    """

    def __init__(self, request: Request) -> None:
        self.id = next(_ids)
        self.request = request
        self.root = request.root
        # Of a text that is scored the last token is only asked for.
        self.token_ids = list(request.token_ids[:-1] if request.scored else request.token_ids)
        self.num_scored = 0
        self.num_prompt_tokens = len(self.token_ids)
        self.num_computed = 0
        self.slot: int | None = None
        self.cells: Holding = []
        self.chain: list[tuple[int, bytes]] = []
        self.settled = True
        self.sampler: Sampler | None = None
        self.lookup: Lookup | None = None
        self.cancelled = False
        self.num_cached_tokens = 0
        self.cache_note = ""
        self.scheduled_at: float | None = None
        self.first_token_at: float | None = None
        self.last_token_at: float | None = None

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def num_completion_tokens(self) -> int:
        """Tokens generated so far."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_remaining(self) -> int:
        """Tokens whose KV has to be computed before the next one can be sampled."""
        return len(self.token_ids) - self.num_computed

    @property
    def in_prefill(self) -> bool:
        """Whether more than the last token is still to be computed."""
        return self.num_remaining > 1

    @property
    def num_saved(self) -> int:
        """Tokens whose KV is kept in blocks."""
        return self.chain[-1][0] if self.chain else 0

    @property
    def tip(self) -> bytes:
        """The key of the last saved block, or the root."""
        return self.chain[-1][1] if self.chain else self.root

    def rewind_chain(self, length: int) -> None:
        """Forget the blocks that reach beyond the first ``length`` tokens."""
        while self.chain and self.chain[-1][0] > length:
            self.chain.pop()

    def append(self, token_id: int) -> None:
        """Add a generated token."""
        now = time.perf_counter()
        self.first_token_at = self.first_token_at or now
        self.last_token_at = now
        self.token_ids.append(token_id)

    def usage(self) -> Usage:
        """Its counts so far."""
        return Usage(
            prompt_tokens=self.num_prompt_tokens,
            cached_tokens=self.num_cached_tokens,
            completion_tokens=self.num_completion_tokens,
            cache_note=self.cache_note,
        )

    def timings(self) -> Timings:
        """Its seconds so far."""
        submitted = self.request.submitted
        scheduled = self.scheduled_at or submitted
        first = self.first_token_at or time.perf_counter()
        decode_s = (self.last_token_at or first) - first
        rate = (self.num_completion_tokens - 1) / decode_s if decode_s > 0 else 0.0
        return Timings(scheduled - submitted, first - scheduled, decode_s, first - submitted, rate)


def shifted_root(root: bytes, token_ids: Tokens[int], start: int, end: int) -> bytes:
    """The root of a history that lost ``token_ids[start:end]`` by shifting.

    It depends on everything that was computed before, so that an approximation is found again only
    by the conversation that made it, or one that did exactly the same.
    """
    past = chain_key(root, token_ids[:end])
    return digest(b"shift", past, struct.pack("<II", start, end))
