"""``config.json`` of a checkpoint → the hyperparameters of a LLaMA model, checked.

>>> config = parse_config({"architectures": ["LlamaForCausalLM"], "vocab_size": 64,
...     "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
...     "num_attention_heads": 4})
>>> config.head_dim, config.num_kv_heads
(8, 4)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sus_local.errors import CheckpointError, UnsupportedModelError

ARCHITECTURES = ("LlamaForCausalLM", "LLaMAForCausalLM", "MistralForCausalLM")
"""The architectures that are the LLaMA graph of llama.cpp."""

MAX_LAYERS = 512
"""As many layers as llama.cpp takes."""

_EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_OTHER_CONFIG = "is config.json the one that belongs to these weights?"
_LARGEST_FLOAT32, _SMALLEST_FLOAT32 = 3.4e38, 1e-37
_HINT = "sus-local converts dense LLaMA-architecture checkpoints"


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How rotary positions are stretched.

    Attributes:
        kind: ``"linear"``, ``"yarn"`` or ``"llama3"``.
        factor: How many times longer the context is than the original one.
        original_context: Tokens of the original context; 0 where the kind needs none.
        low_freq_factor, high_freq_factor: Of ``llama3``.
        extrapolation_factor, attention_factor, beta_fast, beta_slow: Of ``yarn``, where given.
    """

    kind: str
    factor: float
    original_context: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    extrapolation_factor: float | None = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """The hyperparameters of a LLaMA model.

    Attributes:
        architecture: The name in ``config.json``.
        vocab_size: Rows of the embedding.
        context_length: Tokens that the model was made for.
        head_dim_given: Whether ``config.json`` names ``head_dim`` itself.
        rope_scaling: None where positions are not stretched.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    head_dim_given: bool
    context_length: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    tie_word_embeddings: bool
    attention_bias: bool
    mlp_bias: bool
    eos_token_ids: tuple[int, ...] = ()


def parse_config(config: Mapping[str, Any]) -> LlamaConfig:
    """Check a checkpoint's configuration.

    Raises:
        UnsupportedModelError: Another architecture, a mixture of experts, weights that are
            quantized already, or a position or activation that llama.cpp's LLaMA graph has not.
        CheckpointError: A value is missing or impossible.
    """
    architecture = _architecture(config)
    _refuse_variants(config)
    num_heads = _count(config, "num_attention_heads")
    hidden_size = _count(config, "hidden_size")
    parsed = LlamaConfig(
        architecture=architecture,
        vocab_size=_count(config, "vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=_count(config, "intermediate_size"),
        num_layers=_count(config, "num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=_count(config, "num_key_value_heads", num_heads),
        head_dim=_count(config, "head_dim", max(hidden_size // num_heads, 1)),
        head_dim_given=config.get("head_dim") is not None,
        context_length=_count(config, "max_position_embeddings", 2048),
        rms_norm_eps=_positive(config, "rms_norm_eps", 1e-6),
        rope_theta=_rope_theta(config),
        rope_scaling=_rope_scaling(config),
        tie_word_embeddings=_flag(config, "tie_word_embeddings"),
        attention_bias=_flag(config, "attention_bias"),
        mlp_bias=_flag(config, "mlp_bias"),
        eos_token_ids=_token_ids(config.get("eos_token_id")),
    )
    _check_heads(parsed)
    return parsed


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures") or []
    named = [str(name) for name in names] if isinstance(names, list) else [str(names)]
    model_type = str(config.get("model_type") or "")
    if not named and model_type in ("llama", "mistral"):
        named = [{"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}[model_type]]
    if not named:
        raise CheckpointError("config.json names no architecture", hint=_HINT)
    if named[0] not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"the architecture {named[0]} is not supported",
            hint=f"supported: {', '.join(ARCHITECTURES)}",
            architecture=named[0],
        )
    return named[0]


def _refuse_variants(config: Mapping[str, Any]) -> None:
    """Refuse what the dense LLaMA graph of llama.cpp would compute wrongly."""
    for key in _EXPERT_KEYS:
        experts = config.get(key)
        if isinstance(experts, int) and experts > 1:
            raise UnsupportedModelError(
                f"a mixture of {experts} experts ({key}) is not supported",
                hint=_HINT,
                num_experts=experts,
            )
    quantization = config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method", "?") if isinstance(quantization, dict) else "?"
        raise UnsupportedModelError(
            f"the weights are quantized already ({method})",
            hint="convert the original bf16, f16 or f32 checkpoint",
        )
    activation = str(config.get("hidden_act", "silu"))
    if activation not in ("silu", "swish"):
        raise UnsupportedModelError(f"the activation {activation} is not supported", hint=_HINT)
    window = config.get("sliding_window")
    if isinstance(window, int) and window < _count(config, "max_position_embeddings", 2048):
        raise UnsupportedModelError(
            f"sliding-window attention of {window} tokens is not supported", hint=_HINT
        )


def _check_heads(config: LlamaConfig) -> None:
    if config.num_layers > MAX_LAYERS:
        raise UnsupportedModelError(
            f"{config.num_layers} layers, llama.cpp takes at most {MAX_LAYERS}",
            hint=_OTHER_CONFIG,
            num_layers=config.num_layers,
        )
    if not config.head_dim_given and config.hidden_size % config.num_heads:
        raise CheckpointError(
            f"hidden_size {config.hidden_size} is not a multiple of "
            f"num_attention_heads {config.num_heads}",
            hint=_OTHER_CONFIG,
        )
    if config.num_heads % config.num_kv_heads:
        raise CheckpointError(
            f"num_attention_heads {config.num_heads} is not a multiple of "
            f"num_key_value_heads {config.num_kv_heads}",
            hint=_OTHER_CONFIG,
        )
    if config.head_dim % 2:
        raise CheckpointError(
            f"head_dim {config.head_dim} is odd, rotary positions need pairs", hint=_OTHER_CONFIG
        )


def _count(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        told = "missing" if value is None else f"{value!r}, expected a positive integer"
        raise CheckpointError(f"{key} in config.json is {told}", hint=_OTHER_CONFIG, key=key)
    return value


def _number(config: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = config.get(key, default)
    if value is None and default is not None:
        return default
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not abs(value) <= _LARGEST_FLOAT32
    ):
        told = "missing" if value is None else f"{value!r}, expected a number"
        raise CheckpointError(f"{key} in config.json is {told}", hint=_OTHER_CONFIG, key=key)
    return float(value)


def _positive(config: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = _number(config, key, default)
    if not value >= _SMALLEST_FLOAT32:
        raise CheckpointError(
            f"{key} in config.json is {value!r}, expected a positive number",
            hint=_OTHER_CONFIG,
            key=key,
        )
    return value


def _flag(config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise CheckpointError(
            f"{key} in config.json is {value!r}, expected true or false",
            hint=_OTHER_CONFIG,
            key=key,
        )
    return bool(value)


def _token_ids(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(item for item in values if isinstance(item, int) and not isinstance(item, bool))


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The position settings, under their older or newer name."""
    for key in ("rope_parameters", "rope_scaling"):
        value = config.get(key)
        if isinstance(value, dict):
            return value
        if value is not None:
            raise CheckpointError(
                f"{key} in config.json is {value!r}, expected an object",
                hint=_OTHER_CONFIG,
                key=key,
            )
    return {}


def _rope_theta(config: Mapping[str, Any]) -> float:
    rope = _rope(config)
    return _positive(rope if "rope_theta" in rope else config, "rope_theta", 10000.0)


def _rope_scaling(config: Mapping[str, Any]) -> RopeScaling | None:
    rope = _rope(config)
    kind = str(rope.get("rope_type", rope.get("type", "default"))).lower()
    if kind in ("default", "none"):
        return None
    if kind not in ("linear", "yarn", "llama3"):
        raise UnsupportedModelError(
            f"the rope scaling {kind} is not supported", hint="supported: linear, yarn, llama3"
        )
    original = 0
    if kind == "yarn" or rope.get("original_max_position_embeddings") is not None:
        original = _count(rope, "original_max_position_embeddings")
    elif kind == "llama3":
        original = 8192
    attention = "attention_factor" if rope.get("attention_factor") is not None else "attn_factor"
    return RopeScaling(
        kind=kind,
        factor=_positive(rope, "factor", 8.0 if kind == "llama3" else None),
        original_context=original,
        low_freq_factor=_positive(rope, "low_freq_factor", 1.0),
        high_freq_factor=_positive(rope, "high_freq_factor", 4.0),
        extrapolation_factor=_optional(rope, "extrapolation_factor"),
        attention_factor=_optional(rope, attention),
        beta_fast=_optional(rope, "beta_fast"),
        beta_slow=_optional(rope, "beta_slow"),
    )


def _optional(config: Mapping[str, Any], key: str) -> float | None:
    return None if config.get(key) is None else _number(config, key)


def rope_factors(config: LlamaConfig) -> list[float] | None:
    """The frequency factors of ``llama3`` scaling, ``head_dim // 2`` of them; None for others."""
    scaling = config.rope_scaling
    if scaling is None or scaling.kind != "llama3":
        return None
    longest = scaling.original_context / scaling.low_freq_factor
    shortest = scaling.original_context / scaling.high_freq_factor
    factors: list[float] = []
    for pair in range(0, config.head_dim, 2):
        wavelength = 2 * math.pi * config.rope_theta ** (pair / config.head_dim)
        if wavelength < shortest:
            factors.append(1.0)
        elif wavelength > longest:
            factors.append(scaling.factor)
        else:
            smooth = (scaling.original_context / wavelength - scaling.low_freq_factor) / (
                scaling.high_freq_factor - scaling.low_freq_factor
            )
            factors.append(1 / ((1 - smooth) / scaling.factor + smooth))
    return factors
