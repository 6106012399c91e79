"""The type of every tensor, compared with what llama.cpp says it would choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sus_local.convert.config import LlamaConfig, parse_config
from sus_local.convert.fields import Float32, Texts, UInt32, Value
from sus_local.convert.mixture import choose_types, fallback, needs_imatrix, parse_overrides
from sus_local.convert.tensors import TensorSpec, expected_tensors
from sus_local.convert.types import FILE_TYPES, TENSOR_TYPES
from sus_local.convert.writer import lay_out, tensor_bytes
from sus_local.errors import ConvertError

from .reference import llama_quantize

SUS = parse_config(
    {
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": 64000,
        "hidden_size": 7168,
        "intermediate_size": 20480,
        "num_hidden_layers": 60,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
    }
)
SMALL = replace(
    SUS, vocab_size=512, hidden_size=256, intermediate_size=512, num_heads=8, head_dim=32
)
SHAPES = {
    "sus-chat-34b": SUS,
    "4 layers": replace(SMALL, num_layers=4, num_kv_heads=2),
    "33 layers, tied": replace(SMALL, num_layers=33, num_kv_heads=8, tie_word_embeddings=True),
    "ratio 2": replace(SMALL, num_layers=24, num_kv_heads=4),
    "one key head": replace(SMALL, num_layers=16, num_kv_heads=1),
    "70b": replace(SMALL, num_layers=80, num_kv_heads=1),
    "65b": replace(SMALL, num_layers=80, num_kv_heads=8),
    "width 96": replace(
        SMALL, num_layers=9, hidden_size=96, intermediate_size=160, head_dim=12, num_kv_heads=8
    ),
    "width 40": replace(
        SMALL,
        num_layers=3,
        hidden_size=40,
        intermediate_size=256,
        num_heads=4,
        num_kv_heads=4,
        head_dim=10,
        tie_word_embeddings=True,
    ),
    "biases": replace(SMALL, num_layers=2, num_kv_heads=2, attention_bias=True, mlp_bias=True),
}


def write_empty_model(path: Path, config: LlamaConfig) -> list[TensorSpec]:
    """A bf16 model of any size whose weights are a hole in the file."""
    specs = list(expected_tensors(config))
    types = {spec.name: "BF16" if len(spec.shape) == 2 else "F32" for spec in specs}
    fields: dict[str, Value] = {
        "general.architecture": "llama",
        "llama.block_count": UInt32(config.num_layers),
        "llama.context_length": UInt32(512),
        "llama.embedding_length": UInt32(config.hidden_size),
        "llama.feed_forward_length": UInt32(config.intermediate_size),
        "llama.attention.head_count": UInt32(config.num_heads),
        "llama.attention.head_count_kv": UInt32(config.num_kv_heads),
        "llama.attention.layer_norm_rms_epsilon": Float32(1e-5),
        "tokenizer.ggml.tokens": Texts([b"a"] * 8),
    }
    layout = lay_out(fields, specs, types)
    with path.open("wb") as file:
        file.write(layout.parts[0].header)
        file.truncate(layout.size)
    return specs


@pytest.mark.model
@pytest.mark.parametrize("shape", SHAPES)
def test_chooses_the_types_that_llama_cpp_chooses(tmp_path: Path, shape: str) -> None:
    config, source = SHAPES[shape], tmp_path / "model.gguf"
    specs = write_empty_model(source, config)
    for mixture in FILE_TYPES:
        for has_imatrix in (False, True):
            expected = llama_quantize(
                source,
                tmp_path / "out.gguf",
                mixture,
                imatrix={"x": np.ones(1, np.float32)} if has_imatrix else None,
                dry_run=True,
            )
            found = choose_types(specs, config, mixture, has_imatrix=has_imatrix)
            assert found == expected, (mixture, has_imatrix)


@pytest.mark.model
@pytest.mark.parametrize("mixture", ["Q4_K_M", "IQ2_XS", "Q8_0", "F16"])
def test_overrides_and_pure_choose_as_llama_cpp_does(tmp_path: Path, mixture: str) -> None:
    config, source = SHAPES["4 layers"], tmp_path / "model.gguf"
    specs = write_empty_model(source, config)
    texts = ["ffn_down=q5_k", r"blk\.[01]\.attn_v=IQ4_XS", "token_embd=f16", "attn_v=f32"]
    overrides = parse_overrides(texts)
    given = [(override.pattern.pattern, override.type) for override in overrides]
    for pure in (False, True):
        expected = llama_quantize(
            source, tmp_path / "o", mixture, overrides=given, pure=pure, dry_run=True
        )
        found = choose_types(specs, config, mixture, overrides=overrides, pure=pure)
        assert found == expected, pure


def test_an_importance_matrix_is_needed_for_the_smallest_types() -> None:
    assert needs_imatrix("blk.0.attn_q.weight", "IQ2_XXS", "IQ2_XXS")
    assert needs_imatrix("blk.0.attn_q.weight", "Q2_K", "Q2_K_S")
    assert not needs_imatrix("blk.0.attn_q.weight", "Q2_K", "Q2_K")
    assert not needs_imatrix("token_embd.weight", "IQ2_XXS", "IQ2_XXS")


@pytest.mark.parametrize("kind", TENSOR_TYPES)
def test_every_type_falls_back_to_one_that_stores_the_row(kind: str) -> None:
    for columns in (1, 32, 40, 96, 256, 257, 768):
        assert columns % TENSOR_TYPES[fallback(kind, columns)].block == 0


@pytest.mark.parametrize(
    "text", ["attn_v", "=Q8_0", "attn_v=Q9_9", "(=Q8_0", f"a{{{10**11}}}=Q8_0", "(" * 999 + "=Q8_0"]
)
def test_refuses_a_broken_override(text: str) -> None:
    with pytest.raises(ConvertError):
        parse_overrides([text])


@pytest.mark.parametrize(
    ("mixture", "gigabytes"), [("BF16", 68.78), ("Q8_0", 36.54), ("Q4_K_M", 20.66)]
)
def test_sus_chat_34b_has_the_size_that_is_known(mixture: str, gigabytes: float) -> None:
    specs = list(expected_tensors(SUS))
    types = choose_types(specs, SUS, mixture)
    size = sum(tensor_bytes(spec, types[spec.name]) for spec in specs)
    assert size / 1e9 == pytest.approx(gigabytes, abs=0.01)
    assert sum(spec.size for spec in specs) == 34_388_917_248
