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

NUM_SEEDS = 2**32 - 1
"""From 0 on; llama.cpp takes the number after the last one for "a random one"."""

_LEAST_TEMPERATURE = 1e-6
"""Below it a difference of logits that a float can tell decides alone; far below, logits divided
by it are no numbers any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to sample one answer, and when to end it.

    ``None`` for a number means "the model's default, else the field's" (see the module).

    Attributes:
        temperature: 0, as all below 1e-6, takes the most likely token; 1 samples the model's own
            distribution.
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
        object.__setattr__(self, "logit_bias", _plain_bias(self.logit_bias))
        self._check_texts()
        self._check_rules()
        if self.top_logprobs and not self.logprobs:
            raise SamplingError(
                f"top_logprobs is {self.top_logprobs}, and logprobs is off",
                hint="give logprobs=True too",
                top_logprobs=self.top_logprobs,
            )

    def _check_texts(self) -> None:
        if "" in self.stop:
            place = self.stop.index("")
            raise SamplingError(
                f"stop text {place} is empty", hint="leave it out", name="stop", index=place
            )
        for text in self.dry_sequence_breakers:
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise SamplingError(
                    f"dry_sequence_breakers has {text!r}, which is no text",
                    hint="write it as UTF-8",
                    name="dry_sequence_breakers",
                    value=text,
                ) from error

    def _check_rules(self) -> None:
        grammar, schema = self.grammar, self.json_schema
        if grammar is not None and schema is not None:
            raise SamplingError("grammar and json_schema exclude each other", hint="give one")
        if grammar is not None and (not isinstance(grammar, str) or not grammar.strip()):
            raise SamplingError(
                f"grammar is {grammar!r}, it has to be the text of a grammar",
                hint="leave it out where there are no rules",
                name="grammar",
                value=grammar,
            )
        if schema is not None and not isinstance(schema, Mapping):
            raise SamplingError(
                f"json_schema is {schema!r}, it has to be a mapping",
                hint="of a schema as text: json.loads(text)",
                name="json_schema",
                value=schema,
            )

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature is not None and self.temperature < _LEAST_TEMPERATURE

    @property
    def ruled(self) -> bool:
        """Whether the answer has to follow a grammar or a schema."""
        return self.grammar is not None or self.json_schema is not None

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
    ("seed", 0, NUM_SEEDS - 1),
    ("max_tokens", 1, _INFINITY),
    ("top_logprobs", 0, MAX_TOP_LOGPROBS),
    ("n", 1, 64),
)


_WHOLE = {f.name for f in fields(SamplingParams) if str(f.type).startswith("int")}

_LISTS: Mapping[str, type] = {"stop": str, "stop_token_ids": int, "dry_sequence_breakers": str}


def checked(sampling: SamplingParams | None) -> SamplingParams:
    """The parameters of a request, whose caller may have given none.

    Raises:
        SamplingError: They are something else.
    """
    if sampling is None:
        return SamplingParams()
    if not isinstance(sampling, SamplingParams):
        kind = type(sampling).__name__
        raise SamplingError(
            f"sampling is {kind}, it has to be SamplingParams",
            hint="for instance SamplingParams(temperature=0)",
        )
    return sampling


def _plain(value: Any) -> Any:
    """A number, of numpy for instance, as Python's own."""
    if type(value) in (int, float):  # a bias may have an entry for every token
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _plain_bias(given: Any) -> dict[int, float]:
    """``logit_bias`` in Python's own numbers."""
    if not isinstance(given, Mapping):
        raise SamplingError(
            f"logit_bias is {given!r}, it maps token ids to numbers", name="logit_bias", value=given
        )
    found = {}
    for key, value in given.items():
        token_id, bias = _plain(key), _plain(value)
        if not isinstance(token_id, int) or not _is_number(bias) or bias != bias:
            raise SamplingError(
                f"logit_bias has {key!r}: {value!r}, expected a token id and a number",
                token_id=key,
                bias=value,
            )
        found[token_id] = bias
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _wrapped(name: str, value: Any, kind: type) -> tuple[Any, ...]:
    """One or several values of ``kind`` as a tuple."""
    value = _plain(value)
    if isinstance(value, kind):
        return (value,)
    items = tuple(map(_plain, value)) if isinstance(value, Iterable) else (value,)
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
    if low <= value <= high and (name in _WHOLE or _is_finite(value)):
        return
    bounds = f"at least {low:g}" if high == _INFINITY else f"from {low:g} to {high:.10g}"
    raise SamplingError(
        f"{name} is {value}, it has to be {bounds}", name=name, value=value, low=low, high=high
    )


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can be
        return False
