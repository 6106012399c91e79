"""What of ``config.json`` is taken, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from sus_local.convert.config import parse_config, rope_factors
from sus_local.errors import CheckpointError, UnsupportedModelError

GOOD: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def test_takes_the_usual_defaults() -> None:
    config = parse_config(GOOD)
    assert (config.num_kv_heads, config.head_dim, config.context_length) == (4, 8, 2048)
    assert (config.rope_theta, config.rms_norm_eps) == (10000.0, 1e-6)
    assert not config.tie_word_embeddings
    assert config.rope_scaling is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, "Qwen2ForCausalLM"),
        ({"architectures": ["MixtralForCausalLM"]}, "MixtralForCausalLM"),
        ({"num_local_experts": 8}, "8 experts"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"sliding_window": 128, "max_position_embeddings": 4096}, "128 tokens"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"num_hidden_layers": 1000}, "1000 layers"),
    ],
)
def test_refuses_another_kind_of_model_by_name(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UnsupportedModelError, match=word):
        parse_config({**GOOD, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": []},
        {"vocab_size": None},
        {"hidden_size": -1},
        {"hidden_size": "32"},
        {"hidden_size": True},
        {"intermediate_size": 2**40},
        {"num_attention_heads": 5},
        {"num_key_value_heads": 3},
        {"head_dim": 7},
        {"rms_norm_eps": "small"},
        {"rope_theta": float("nan")},
        {"rope_theta": 0},
        {"rope_theta": -5.0},
        {"rope_theta": 1e39},
        {"rms_norm_eps": -1.0},
        {"rms_norm_eps": 0.0},
        {"rms_norm_eps": 10**400},
        {"tie_word_embeddings": "false"},
        {"attention_bias": 1},
        {"mlp_bias": "yes"},
        {"rope_scaling": "linear"},
        {"rope_scaling": {"rope_type": "linear", "factor": -2.0}},
        {"rope_scaling": {"rope_type": "llama3", "factor": 0}},
        {"rope_scaling": {"rope_type": "llama3", "low_freq_factor": 0}},
        {"sliding_window": 128, "max_position_embeddings": "x"},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        {"rope_scaling": {"rope_type": "linear"}},
    ],
)
def test_refuses_values_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_config({**GOOD, **change})
    assert caught.value.hint


def test_reads_positions_under_the_older_and_the_newer_name() -> None:
    older = {"rope_theta": 5e6, "rope_scaling": {"type": "linear", "factor": 4.0}}
    newer = {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e6}}
    assert parse_config({**GOOD, **older}) == parse_config({**GOOD, **newer})


def test_llama3_factors_keep_short_waves_and_stretch_long_ones() -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    factors = rope_factors(
        parse_config({**GOOD, "head_dim": 128, "rope_theta": 500000.0, "rope_scaling": scaling})
    )
    assert factors is not None
    assert len(factors) == 64
    assert factors[0] == 1.0
    assert factors[-1] == 8.0
    assert factors == sorted(factors)
    assert any(1 < factor < 8 for factor in factors)


def test_other_scalings_have_no_factors() -> None:
    assert rope_factors(parse_config(GOOD)) is None
