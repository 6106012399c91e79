"""What a GGUF file says about its model, the tokenizer aside."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sus_local.convert.config import LlamaConfig
from sus_local.convert.fields import Float32, Int32, Texts, UInt32, Value
from sus_local.convert.source import Source
from sus_local.convert.tensors import TensorSpec
from sus_local.convert.types import FILE_TYPES

_QUANTIZATION_VERSION = 2
_LARGEST: Mapping[type[Int32] | type[Float32], float] = {Int32: 2**31 - 1, Float32: 3.4e38}
_HUB = "https://huggingface.co"

# Keys of generation_config.json and what llama.cpp calls them.
_SAMPLING: Mapping[str, tuple[str, type[Int32] | type[Float32]]] = {
    "temperature": ("temp", Float32),
    "top_k": ("top_k", Int32),
    "top_p": ("top_p", Float32),
    "min_p": ("min_p", Float32),
    "repetition_penalty": ("penalty_repeat", Float32),
}


def model_name(source: Source) -> str:
    """The name of a model: that of its repository, else of its folder.

    A folder of the hub client's cache is named by its repository.
    """
    if source.repository:
        return source.repository.rsplit("/", 1)[-1]
    from pathlib import Path

    folder = Path(source.label).expanduser().resolve()
    parents = [parent.name for parent in folder.parents[:2]]
    if parents[:1] == ["snapshots"] and parents[1:] and parents[1].startswith("models--"):
        return parents[1].rsplit("--", 1)[-1]
    return folder.name.lstrip(".") or "model"


def size_label(parameters: int) -> str:
    """Parameters in short, as in the names of models.

    >>> size_label(34_388_917_248), size_label(4_066_560)
    ('34B', '4.1M')
    """
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if parameters >= unit:
            scaled = parameters / unit
            return f"{scaled:.0f}{letter}" if scaled >= 9.95 else f"{scaled:.1f}{letter}"
    return f"{parameters / 1e3:.1f}K"


def model_fields(
    source: Source, config: LlamaConfig, specs: Sequence[TensorSpec], mixture: str
) -> dict[str, Value]:
    """The metadata of one output: ``general.*`` and ``llama.*``."""
    return {
        **_general(source, specs, mixture),
        **_license(source),
        **_sampling(source.generation_config),
        **_llama(config),
    }


def _general(source: Source, specs: Sequence[TensorSpec], mixture: str) -> dict[str, Value]:
    name = model_name(source)
    shown = _card(source).get("model_name") or re.sub(r"[-_]+", " ", name).strip() or name
    parameters = sum(spec.size for spec in specs if spec.source)
    fields: dict[str, Value] = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": str(shown),
        "general.basename": name,
        "general.size_label": size_label(parameters),
        "general.file_type": UInt32(FILE_TYPES[mixture].id),
        "general.quantization_version": UInt32(_QUANTIZATION_VERSION),
    }
    if source.repository:
        fields["general.organization"] = source.repository.split("/", 1)[0]
        fields["general.source.url"] = f"{_HUB}/{source.repository}"
        fields["general.source.repo_url"] = f"{_HUB}/{source.repository}"
    if source.revision:
        fields["sus_local.source.revision"] = source.revision
    return fields


def _license(source: Source) -> dict[str, Value]:
    """What the model card's front matter says: license, base models, tags, languages."""
    card = _card(source)
    fields: dict[str, Value] = {}
    for key in ("license", "license_name", "license_link"):
        if isinstance(card.get(key), str):
            fields[f"general.{key.replace('license_', 'license.')}"] = card[key]
    if "license_link" not in card and source.repository and source.path("LICENSE") is not None:
        revision = source.revision or "main"
        fields["general.license.link"] = f"{_HUB}/{source.repository}/blob/{revision}/LICENSE"
    for index, base in enumerate(bases := _texts(card.get("base_model"))):
        organization, _, name = base.rpartition("/")
        fields[f"general.base_model.{index}.name"] = name
        if organization:
            fields[f"general.base_model.{index}.organization"] = organization
            fields[f"general.base_model.{index}.repo_url"] = f"{_HUB}/{base}"
    if bases:
        fields["general.base_model.count"] = UInt32(len(bases))
    for key, name in (("tags", "general.tags"), ("language", "general.languages")):
        if texts := _texts(card.get(key)):
            fields[name] = Texts([text.encode() for text in texts])
    return fields


def _card(source: Source) -> Mapping[str, Any]:
    path = source.path("README.md")
    if path is None:
        return {}
    import yaml  # type: ignore[import-untyped]

    text = path.read_text(encoding="utf-8", errors="replace")
    front = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(?:\n|$)", text, re.DOTALL)
    try:
        card = yaml.safe_load(front[1]) if front else {}
    except (yaml.YAMLError, ValueError, LookupError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]


def _sampling(generation: Mapping[str, Any]) -> dict[str, Value]:
    """How the authors sample, under llama.cpp's own keys; greedy is temperature 0."""
    fields: dict[str, Value] = {}
    for key, (name, kind) in _SAMPLING.items():
        number = generation.get(key)
        if (
            isinstance(number, (int, float))
            and not isinstance(number, bool)
            and abs(number) <= _LARGEST[kind]
        ):
            value = Int32(int(number)) if kind is Int32 else Float32(float(number))
            fields[f"general.sampling.{name}"] = value
    if generation.get("do_sample") is False:
        fields["general.sampling.temp"] = Float32(0.0)
    return fields


def _llama(config: LlamaConfig) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "llama.block_count": UInt32(config.num_layers),
        "llama.context_length": UInt32(config.context_length),
        "llama.embedding_length": UInt32(config.hidden_size),
        "llama.feed_forward_length": UInt32(config.intermediate_size),
        "llama.attention.head_count": UInt32(config.num_heads),
        "llama.attention.head_count_kv": UInt32(config.num_kv_heads),
        "llama.attention.layer_norm_rms_epsilon": Float32(config.rms_norm_eps),
        "llama.vocab_size": UInt32(config.vocab_size),
        "llama.rope.dimension_count": UInt32(config.head_dim),
        "llama.rope.freq_base": Float32(config.rope_theta),
    }
    if config.head_dim_given:
        fields["llama.attention.key_length"] = UInt32(config.head_dim)
        fields["llama.attention.value_length"] = UInt32(config.head_dim)
    return {**fields, **_rope_scaling(config)}


def _rope_scaling(config: LlamaConfig) -> dict[str, Value]:
    scaling = config.rope_scaling
    if scaling is None or scaling.kind == "llama3":
        return {}
    fields: dict[str, Value] = {
        "llama.rope.scaling.type": scaling.kind,
        "llama.rope.scaling.factor": Float32(scaling.factor),
    }
    if scaling.kind != "yarn":
        return fields
    fields["llama.rope.scaling.original_context_length"] = UInt32(scaling.original_context)
    if scaling.attention_factor is not None:
        # llama.cpp multiplies by the usual factor itself; what is left is its own key.
        usual = 1 + 0.1 * math.log(scaling.factor)
        fields["llama.rope.scaling.attn_factor"] = Float32(scaling.attention_factor / usual)
    optional = {
        "yarn_ext_factor": scaling.extrapolation_factor,
        "yarn_beta_fast": scaling.beta_fast,
        "yarn_beta_slow": scaling.beta_slow,
    }
    for name, value in optional.items():
        if value is not None:
            fields[f"llama.rope.scaling.{name}"] = Float32(value)
    return fields
