"""Sampling parameters: how the next token is picked from the logits.

The defaults are the field's usual ones (temperature 0.8, top-k 40, top-p 0.95, min-p 0.05: those
of llama.cpp); a model whose file carries the checkpoint's generation config has its own
(:meth:`SamplingParams.with_defaults`).

>>> SamplingParams(temperature=0).greedy
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any

from sus_local.errors import SamplingError

MAX_TOP_LOGPROBS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to sample one answer, and when to end it.

    ``None`` for a number means "the model's default, else the field's" (see the module).

    Attributes:
        temperature: 0 takes the most likely token; 1 samples the model's own distribution.
        top_k: Keep the k most likely tokens; 0 keeps all.
        top_p: Keep the smallest set with this much probability; 1 keeps all.
        min_p: Drop tokens less likely than this share of the most likely; 0 keeps all.
        typical_p: Locally typical sampling; 1 switches it off.
        repetition_penalty: Divides the logits of the last ``penalty_last_n`` tokens; 1 is off.
        frequency_penalty: Subtracted once for each occurrence; 0 is off.
        presence_penalty: Subtracted once if it occurred; 0 is off.
        penalty_last_n: How many past tokens the penalties look at; -1 for the whole context.
        dry_multiplier: Strength of the DRY repetition sampler; 0 is off.
        dry_base: DRY's base.
        dry_allowed_length: Repetitions up to this length are not punished.
        dry_penalty_last_n: How many tokens DRY looks at; -1 for the whole context.
        dry_sequence_breakers: Texts that end a repetition.
        xtc_probability: Chance of the XTC sampler removing top choices; 0 is off.
        xtc_threshold: XTC's probability threshold.
        mirostat: 0 off, 1 or 2 for Mirostat's versions (top-k, top-p … do not apply then).
        mirostat_tau: Target entropy.
        mirostat_eta: Learning rate.
        seed: For a repeatable answer; None picks one at random.
        logit_bias: token id → added to its logit; ``-inf`` forbids it.
        max_tokens: The most tokens to generate; None: until the context is full.
        stop: Texts that end the answer (they are cut from it).
        stop_token_ids: Tokens that end the answer, besides the model's own.
        ignore_eos: Go on after the model's end token (benchmarks).
        grammar: A GBNF grammar that the answer has to follow.
        json_schema: A JSON schema that the answer has to follow; ``{}`` for any object.
        logprobs: Report the log-probability of each token.
        top_logprobs: And those of this many most likely ones.
        n: How many answers to make from one prefill of the prompt.

    >>> SamplingParams(temperature=-1)
    Traceback (most recent call last):
    sus_local.errors.SamplingError: temperature is -1, it has to be at least 0
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    grammar: str | None = None
    json_schema: Mapping[str, Any] | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    n: int = 1

    def __post_init__(self) -> None:
        for name, kind in _LISTS.items():
            value = getattr(self, name)
            wrapped = _wrapped(name, value, kind)
            object.__setattr__(self, name, wrapped)
        for name, low, high in _RANGES:
            number = _plain(getattr(self, name))
            _check_range(name, number, low, high)
            object.__setattr__(self, name, number)
        if self.grammar is not None and self.json_schema is not None:
            raise SamplingError("grammar and json_schema exclude each other", hint="give one")
        if any(not text for text in self.stop):
            raise SamplingError("a stop text is empty", hint="leave it out")
        if not isinstance(self.logit_bias, Mapping):
            raise SamplingError(f"logit_bias is {self.logit_bias!r}, it maps token ids to numbers")
        for token_id, bias in self.logit_bias.items():
            if not isinstance(token_id, int) or not _is_number(bias) or math.isnan(bias):
                raise SamplingError(
                    f"logit_bias has {token_id!r}: {bias!r}, expected a token id and a number"
                )

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0

    def with_defaults(self, defaults: Mapping[str, float]) -> SamplingParams:
        """These parameters with each ``None`` filled: from ``defaults``, else the field's usual.

        Args:
            defaults: The model's own, by the names of this class.

        >>> SamplingParams(top_k=5).with_defaults({"temperature": 0.7}).top_k
        5
        """
        filled = {
            name: defaults.get(name, usual)
            for name, usual in USUAL.items()
            if getattr(self, name) is None
        }
        return replace(self, **filled)  # type: ignore[arg-type]


USUAL: Mapping[str, float] = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
}
"""The field's usual values, taken where neither the caller nor the model names one."""

_INFINITY = math.inf
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", 0, _INFINITY),
    ("top_k", 0, _INFINITY),
    ("top_p", 0, 1),
    ("min_p", 0, 1),
    ("typical_p", 0, 1),
    ("repetition_penalty", 1e-6, _INFINITY),
    ("frequency_penalty", -_INFINITY, _INFINITY),
    ("presence_penalty", -_INFINITY, _INFINITY),
    ("penalty_last_n", -1, _INFINITY),
    ("dry_multiplier", 0, _INFINITY),
    ("dry_base", 1, _INFINITY),
    ("dry_allowed_length", 0, _INFINITY),
    ("dry_penalty_last_n", -1, _INFINITY),
    ("xtc_probability", 0, 1),
    ("xtc_threshold", 0, 1),
    ("mirostat", 0, 2),
    ("mirostat_tau", 0, _INFINITY),
    ("mirostat_eta", 0, _INFINITY),
    ("seed", 0, 2**32 - 1),
    ("max_tokens", 1, _INFINITY),
    ("top_logprobs", 0, MAX_TOP_LOGPROBS),
    ("n", 1, 64),
)


_WHOLE = {f.name for f in fields(SamplingParams) if str(f.type).startswith("int")}

_LISTS: Mapping[str, type] = {"stop": str, "stop_token_ids": int, "dry_sequence_breakers": str}


def _plain(value: Any) -> Any:
    """A number, of numpy for instance, as Python's own."""
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _wrapped(name: str, value: Any, kind: type) -> tuple[Any, ...]:
    """One or several values of ``kind`` as a tuple."""
    if isinstance(value, kind):
        return (value,)
    items = tuple(value) if isinstance(value, Iterable) else (value,)
    wrong = [item for item in items if not isinstance(item, kind)]
    if wrong:
        expected = "texts" if kind is str else "token ids"
        raise SamplingError(f"{name} has {wrong[0]!r}, it takes {expected}", name=name, value=wrong)
    return items


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is None:
        return
    if not _is_number(value) or (name in _WHOLE and not isinstance(value, int)):
        kind = "a whole number" if name in _WHOLE else "a number"
        raise SamplingError(f"{name} is {value!r}, it has to be {kind}", name=name, value=value)
    if low <= value <= high and math.isfinite(value):
        return
    bounds = f"at least {low:g}" if high == _INFINITY else f"from {low:g} to {high:.10g}"
    raise SamplingError(
        f"{name} is {value}, it has to be {bounds}", name=name, value=value, low=low, high=high
    )


def parameter_names() -> tuple[str, ...]:
    """The names of all parameters, in their order.

    >>> parameter_names()[:2]
    ('temperature', 'top_k')
    """
    return tuple(f.name for f in fields(SamplingParams))
