"""Which tensors there must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sus_local.convert.config import parse_config
from sus_local.convert.source import TensorInfo
from sus_local.convert.tensors import expected_tensors, match_tensors
from sus_local.errors import TensorError

from .test_config import GOOD

CONFIG = parse_config(GOOD)


def tensors_of(config: object = CONFIG) -> dict[str, TensorInfo]:
    return {
        spec.source: TensorInfo(spec.source, "BF16", spec.shape, "a", 0, 2 * spec.size)
        for spec in expected_tensors(config)  # type: ignore[arg-type]
        if spec.source
    }


def test_names_are_those_of_llama_cpp() -> None:
    names = [spec.name for spec in match_tensors(CONFIG, tensors_of())]
    assert names[0] == "token_embd.weight"
    assert names[-2:] == ["output_norm.weight", "output.weight"]
    assert "blk.1.ffn_down.weight" in names
    assert len(names) == 3 + 9 * 2


def test_tied_embeddings_need_no_output_and_ignore_one() -> None:
    tied = replace(CONFIG, tie_word_embeddings=True)
    names = [spec.name for spec in match_tensors(tied, tensors_of())]
    assert "output.weight" not in names


def test_biases_are_expected_where_the_configuration_says_so() -> None:
    biased = replace(CONFIG, attention_bias=True)
    specs = {spec.name: spec for spec in match_tensors(biased, tensors_of(biased))}
    assert specs["blk.0.attn_k.bias"].heads == CONFIG.num_kv_heads
    with pytest.raises(TensorError, match=r"q_proj\.bias"):
        match_tensors(CONFIG, tensors_of(biased))


def test_buffers_of_older_checkpoints_are_ignored() -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    found = {**tensors_of(), name: TensorInfo(name, "F32", (4,), "a", 0, 16)}
    assert len(match_tensors(CONFIG, found)) == 21


def test_refuses_a_missing_tensor_by_name() -> None:
    found = tensors_of()
    del found["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(TensorError, match=r"no tensor model\.layers\.1\.mlp\.up_proj\.weight"):
        match_tensors(CONFIG, found)


def test_refuses_an_extra_tensor_by_name() -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    found = {**tensors_of(), name: TensorInfo(name, "BF16", (48, 32), "a", 0, 3072)}
    with pytest.raises(TensorError, match=r"layers\.2"):
        match_tensors(CONFIG, found)


def test_refuses_another_shape_with_both_shapes() -> None:
    found = tensors_of()
    found["lm_head.weight"] = replace(found["lm_head.weight"], shape=(63, 32))
    with pytest.raises(TensorError, match=r"\[63, 32\], expected \[64, 32\]") as caught:
        match_tensors(CONFIG, found)
    assert caught.value.expected == (64, 32)


def test_refuses_another_type() -> None:
    found = tensors_of()
    found["lm_head.weight"] = replace(found["lm_head.weight"], dtype="I8")
    with pytest.raises(TensorError, match="I8"):
        match_tensors(CONFIG, found)
