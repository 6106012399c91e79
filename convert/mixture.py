"""Which type each tensor gets, for every mixture: the rules of llama.cpp's ``llama-quant.cpp``.

The rules count tensors as they come in llama.cpp's own order, so a mixture is chosen for the whole
model at once. They were read from the version that comes with llama-cpp-python 0.3.36; the tests
compare them with that library's own output.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sus_local.convert.config import LlamaConfig
from sus_local.convert.tensors import TensorSpec
from sus_local.convert.types import FILE_TYPES, PLAIN, TENSOR_TYPES
from sus_local.errors import ConvertError

_IQ1 = ("IQ1_S", "IQ1_M")
_IQ2_SMALL = ("IQ2_XXS", "IQ2_XS")
_IQ2_LARGE = ("IQ2_S", "IQ2_M")
_LOWEST = (*_IQ1, *_IQ2_SMALL, *_IQ2_LARGE)

_FALLBACK = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S"), "IQ4_NL"),
    **dict.fromkeys(("IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}

_NEEDS_IMATRIX = ("IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S")


@dataclass(frozen=True, slots=True)
class Override:
    """``--tensor-type NAME=TYPE``: tensors whose name the pattern is found in get the type."""

    pattern: re.Pattern[str]
    type: str


def parse_overrides(texts: Iterable[str]) -> tuple[Override, ...]:
    """Overrides from the command line.

    >>> [(o.pattern.pattern, o.type) for o in parse_overrides(["attn_v=q8_0"])]
    [('attn_v', 'Q8_0')]

    Raises:
        ConvertError: Not ``NAME=TYPE``, no such type, or no regular expression.
    """
    return tuple(_parse_override(text) for text in texts)


def _parse_override(text: str) -> Override:
    name, equals, kind = text.rpartition("=")
    kind = kind.upper()
    if not equals or not name or kind not in TENSOR_TYPES:
        raise ConvertError(
            f"{text!r} is no NAME=TYPE", hint=f"types of a tensor: {', '.join(TENSOR_TYPES)}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Override(re.compile(name.lower()), kind)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConvertError(
            f"{name!r} is no regular expression: {error}", hint="for instance attn_v=Q8_0"
        ) from error


def check_overrides(overrides: Iterable[Override], specs: Iterable[TensorSpec]) -> None:
    """See that every override is for some tensor.

    Raises:
        ConvertError: One is for none.
    """
    names = [spec.name for spec in specs if is_quantized(spec)]
    for override in overrides:
        if not any(override.pattern.search(name) for name in names):
            raise ConvertError(
                f"no tensor that is quantized matches {override.pattern.pattern}",
                hint=f"they have names such as {names[-1]}",
                pattern=override.pattern.pattern,
            )


@dataclass(slots=True)
class _Mixture:
    """The choice in progress: what it depends on, and the tensors counted so far."""

    name: str
    layers: int
    gqa: int
    many_shared: bool
    has_imatrix: bool
    tied: bool
    seen: dict[str, int] = field(default_factory=dict)

    def count(self, category: str) -> int:
        """How many of this category came before."""
        index = self.seen.get(category, 0)
        self.seen[category] = index + 1
        return index

    def more_bits(self, layer: int) -> bool:
        """Whether this layer is one of those that matter more."""
        first, last = self.layers // 8, 7 * self.layers // 8
        return layer < first or layer >= last or (layer - first) % 3 == 2


def choose_types(
    specs: Sequence[TensorSpec],
    config: LlamaConfig,
    mixture: str,
    *,
    has_imatrix: bool = False,
    overrides: Sequence[Override] = (),
    pure: bool = False,
) -> dict[str, str]:
    """The type of every tensor.

    Args:
        mixture: A name of :data:`~sus_local.convert.types.FILE_TYPES`.
        has_imatrix: Whether an importance matrix is given; some rules depend on it.
        overrides: Come before the rules; not used where ``mixture`` is F32, F16 or BF16.
        pure: No rules, the mixture's base type for every tensor that is quantized.
    """
    state = _Mixture(
        name=mixture,
        layers=config.num_layers,
        gqa=config.num_heads // config.num_kv_heads,
        many_shared=config.num_layers == 80 and config.num_heads != config.num_kv_heads,
        has_imatrix=has_imatrix,
        tied=all(spec.name != "output.weight" for spec in specs),
    )
    chosen = {
        spec.name: _choose(state, spec, overrides, pure)
        for spec in sorted(specs, key=lambda spec: _order(spec.name))
    }
    return {spec.name: chosen[spec.name] for spec in specs}


def _order(name: str) -> tuple[int, str]:
    """llama.cpp goes through the tensors by layer, then by name."""
    layer = re.match(r"blk\.(\d+)\.", name)
    return (int(layer[1]) if layer else -1, name)


def _choose(state: _Mixture, spec: TensorSpec, overrides: Sequence[Override], pure: bool) -> str:
    if not is_quantized(spec):
        return "F32"
    base = FILE_TYPES[state.name].base
    if base in PLAIN:
        return base
    for override in overrides:
        if override.pattern.search(spec.name):
            return fallback(override.type, spec.columns)
    return fallback(base if pure else _by_rule(state, spec, base), spec.columns)


def is_quantized(spec: TensorSpec) -> bool:
    """Whether the mixture decides; vectors and norms are always F32."""
    return len(spec.shape) == 2 and spec.name.endswith(".weight")


def fallback(tensor_type: str, columns: int) -> str:
    """The type that stores rows of ``columns`` elements where ``tensor_type`` cannot.

    >>> fallback("Q4_K", 512), fallback("Q4_K", 96), fallback("Q4_K", 40)
    ('Q4_K', 'Q5_0', 'F16')
    """
    if columns % TENSOR_TYPES[tensor_type].block == 0:
        return tensor_type
    smaller = _FALLBACK.get(tensor_type, tensor_type)
    return smaller if columns % TENSOR_TYPES[smaller].block == 0 else "F16"


def needs_imatrix(name: str, tensor_type: str, mixture: str) -> bool:
    """Whether llama.cpp refuses to quantize this tensor without an importance matrix."""
    if name in ("token_embd.weight", "output.weight"):
        return False
    return tensor_type in _NEEDS_IMATRIX or (tensor_type == "Q2_K" and mixture == "Q2_K_S")


def _by_rule(state: _Mixture, spec: TensorSpec, base: str) -> str:
    name = spec.name
    if name == "output.weight" or (name == "token_embd.weight" and state.tied):
        return _output(state, spec, base)
    if name == "token_embd.weight":
        return _embedding(state, base)
    category = name.split(".")[2]
    if state.name in _LOWEST:
        return _lowest(state, category, base)
    rule = _RULES.get(category)
    return base if rule is None else rule(state, base)


def _output(state: _Mixture, spec: TensorSpec, base: str) -> str:
    if spec.columns % TENSOR_TYPES[base].block or base == "Q8_0":
        return "Q8_0"
    small = (*_LOWEST, "IQ3_XXS")
    return "Q5_K" if state.name in small else "Q6_K"


def _embedding(state: _Mixture, base: str) -> str:
    if state.name in (*_IQ2_SMALL, *_IQ1):
        return "Q2_K"
    if state.name in (*_IQ2_LARGE, "IQ3_XXS"):
        return "IQ3_S"
    return "Q4_K" if state.name in ("TQ1_0", "TQ2_0") else base


def _lowest(state: _Mixture, category: str, base: str) -> str:
    """The mixtures of about two bits and less have rules of their own."""
    better = "IQ3_S" if state.name in _IQ2_LARGE else "Q2_K"
    if category == "attn_v":
        return "Q4_K" if state.gqa >= 4 else better
    if category == "ffn_down":
        return better if state.count(category) < state.layers // 8 else base
    if category == "attn_output":
        return {**dict.fromkeys(_IQ1, "IQ2_XXS"), **dict.fromkeys(_IQ2_LARGE, "IQ3_S")}.get(
            state.name, base
        )
    return base


def _attn_v(state: _Mixture, base: str) -> str:
    layer = state.count("attn_v")
    chosen = _attn_v_at(state, layer, base)
    return "Q5_K" if state.many_shared and chosen in ("Q3_K", "Q4_K") else chosen


def _attn_v_at(state: _Mixture, layer: int, base: str) -> str:
    name, shared = state.name, state.gqa >= 4
    if name == "Q2_K":
        return "Q4_K" if shared else "Q3_K"
    if name == "IQ3_XXS":
        return "Q4_K" if shared else "IQ3_XXS" if state.has_imatrix else "IQ3_S"
    if name in ("Q2_K_S", "IQ3_XS", "IQ3_S") and shared:
        return "Q4_K"
    if name in ("IQ4_NL", "IQ4_XS") and shared:
        return "Q5_K"
    if name in ("Q4_K_M", "Q5_K_M"):
        return "Q6_K" if state.more_bits(layer) else base
    if name == "Q3_K_M":
        return "Q5_K" if layer < 2 else "Q4_K"
    if name == "Q4_K_S" and layer < 4:
        return "Q5_K"
    return {"IQ3_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(name, base)


def _attn_qk(state: _Mixture, base: str) -> str:
    return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(state.name, base)


def _attn_output(state: _Mixture, base: str) -> str:
    types = {
        "Q2_K": "Q3_K",
        "IQ3_XXS": "IQ3_S",
        "Q3_K_M": "Q4_K",
        "Q3_K_L": "Q5_K",
        "IQ3_M": "Q4_K",
    }
    return types.get(state.name, base)


def _ffn_down(state: _Mixture, base: str) -> str:
    layer, name = state.count("ffn_down"), state.name
    early = layer < state.layers // 8
    if name == "IQ3_XXS" and not state.has_imatrix:
        return "Q4_K" if early else "Q3_K"
    if name == "Q3_K_M":
        return "Q5_K" if layer < state.layers // 16 else "Q4_K"
    if name in ("Q4_K_M", "Q5_K_M"):
        return "Q6_K" if state.more_bits(layer) else base
    if name in ("Q4_0", "Q5_0"):
        return f"{name[:2]}_1" if early and state.has_imatrix else base
    if name in ("IQ4_NL", "IQ4_XS"):
        return "Q5_K" if early and not state.has_imatrix else base
    if name in ("Q2_K_S", "IQ3_M", "Q4_K_S"):
        return ("Q5_K" if name == "Q4_K_S" else "Q4_K") if early else base
    return {"Q2_K": "Q3_K", "Q3_K_L": "Q5_K"}.get(name, base)


def _ffn_gate(state: _Mixture, base: str) -> str:
    return _ffn_middle(state, state.count("ffn_gate"), base)


def _ffn_up(state: _Mixture, base: str) -> str:
    return _ffn_middle(state, state.count("ffn_up"), base)


def _ffn_middle(state: _Mixture, layer: int, base: str) -> str:
    middle = state.layers // 8 <= layer < 7 * state.layers // 8
    return "IQ3_XXS" if state.name == "IQ3_XS" and middle else base


_RULES: Mapping[str, Callable[[_Mixture, str], str]] = {
    "attn_v": _attn_v,
    "attn_k": _attn_qk,
    "attn_q": _attn_qk,
    "attn_output": _attn_output,
    "ffn_down": _ffn_down,
    "ffn_gate": _ffn_gate,
    "ffn_up": _ffn_up,
}
