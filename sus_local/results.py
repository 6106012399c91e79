"""What a generation gives back: frozen values, the same for every caller.

>>> usage = Usage(prompt_tokens=30, cached_tokens=20, completion_tokens=5)
>>> usage.prefilled_tokens
10
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request.

    Attributes:
        prompt_tokens: Tokens of the whole prompt, cached or not.
        cached_tokens: Those whose KV was there already (context, RAM or disk).
        completion_tokens: Tokens generated, the end token included.
        cache_note: How the cache was used, in words: ``"restored 812 tokens from disk"``.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cache_note: str = ""

    @property
    def prefilled_tokens(self) -> int:
        """Prompt tokens that had to be computed."""
        return self.prompt_tokens - self.cached_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of one request.

    Attributes:
        queue_s: From submission until the first prompt token was scheduled.
        prefill_s: From then until the first token was sampled.
        decode_s: From the first sampled token to the last.
        ttft_s: From submission to the first token.
        decode_tokens_per_s: Tokens after the first, divided by ``decode_s``; 0 if there are none.
    """

    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    ttft_s: float = 0.0
    decode_tokens_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's log-probability under the model, before any sampling parameter.

    Attributes:
        token_id: The token.
        logprob: Its natural logarithm of probability.
        top: The most likely tokens at this place with theirs, most likely first.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What a stream yields: text that is complete, never a broken character.

    Attributes:
        text: New text; may be empty in a piece that only brings token ids or the result.
        token_ids: The tokens that came with it.
        index: Which of ``n`` answers it belongs to.
        notices: What the caller should be told before the answer begins.
        result: The finished result, in the last piece only.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    index: int = 0
    notices: tuple[str, ...] = ()
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished answer.

    Attributes:
        text: The answer, stop text cut off.
        token_ids: Its tokens, the end token included where the model wrote it; those of a stop
            text are cut like the text.
        finish_reason: ``"stop"``, ``"length"`` or ``"cancelled"``.
        usage: Counts of tokens.
        timings: Seconds.
        logprobs: One entry a token, where asked for.
        notices: What the caller should be told, such as turns that left the context.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    logprobs: tuple[TokenLogprob, ...] = ()
    notices: tuple[str, ...] = ()
