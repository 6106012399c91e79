"""The bundled checkpoint is a whole and well-formed miniature of SUS-Chat-34B."""

from __future__ import annotations

import json
import struct
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

CHECKPOINT = Path(str(files("sus_local.demo") / "checkpoint"))
MAX_BYTES = 14_000_000
PER_LAYER = {
    "input_layernorm",
    "mlp.down_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "post_attention_layernorm",
    "self_attn.k_proj",
    "self_attn.o_proj",
    "self_attn.q_proj",
    "self_attn.v_proj",
}


def _json(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((CHECKPOINT / name).read_text(encoding="utf-8"))
    return parsed


def _header(shard: Path) -> dict[str, Any]:
    """The tensors that a safetensors file declares."""
    with shard.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return header


@pytest.fixture(scope="module")
def tensors() -> dict[str, dict[str, Any]]:
    """Every declared tensor with the shard that holds it."""
    return {
        name: {**entry, "file": shard.name}
        for shard in sorted(CHECKPOINT.glob("*.safetensors"))
        for name, entry in _header(shard).items()
    }


@pytest.fixture(scope="module")
def tokenizer() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(CHECKPOINT / "tokenizer.model"))


def test_the_folder_fits_in_fourteen_megabytes() -> None:
    assert sum(file.stat().st_size for file in CHECKPOINT.iterdir()) <= MAX_BYTES


def test_the_index_names_every_tensor_and_its_shard(tensors: dict[str, dict[str, Any]]) -> None:
    index = _json("model.safetensors.index.json")
    assert index["weight_map"] == {name: entry["file"] for name, entry in tensors.items()}
    ends = (entry["data_offsets"] for entry in tensors.values())
    assert index["metadata"]["total_size"] == sum(end - start for start, end in ends)
    assert len(set(index["weight_map"].values())) >= 2


def test_the_tensors_are_named_as_transformers_names_a_llama(
    tensors: dict[str, dict[str, Any]],
) -> None:
    layers = range(_json("config.json")["num_hidden_layers"])
    expected = {f"model.layers.{i}.{part}.weight" for i in layers for part in PER_LAYER}
    expected |= {"lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"}
    assert set(tensors) == expected


def test_the_shards_hold_bf16_in_rows_that_k_quants_can_take(
    tensors: dict[str, dict[str, Any]],
) -> None:
    assert {entry["dtype"] for entry in tensors.values()} == {"BF16"}
    assert all(entry["shape"][-1] % 256 == 0 for entry in tensors.values())


def test_the_tensors_have_the_shapes_of_the_configuration(
    tensors: dict[str, dict[str, Any]],
) -> None:
    config = _json("config.json")
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    layer = "model.layers.0"
    assert tensors["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], hidden]
    assert tensors["lm_head.weight"]["shape"] == [config["vocab_size"], hidden]
    assert tensors[f"{layer}.self_attn.q_proj.weight"]["shape"] == [hidden, hidden]
    assert tensors[f"{layer}.self_attn.k_proj.weight"]["shape"] == [kv, hidden]
    assert tensors[f"{layer}.mlp.down_proj.weight"]["shape"] == [hidden, ffn]


def test_the_configuration_is_a_small_sus_chat() -> None:
    config = _json("config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["model_type"] == "llama"
    assert config["num_key_value_heads"] < config["num_attention_heads"]
    assert config["hidden_size"] % 256 == config["intermediate_size"] % 256 == 0
    assert (config["rope_theta"], config["rms_norm_eps"]) == (5_000_000.0, 1e-5)
    assert (config["max_position_embeddings"], config["torch_dtype"]) == (8192, "bfloat16")
    assert not config["tie_word_embeddings"]
    tokens = (config["pad_token_id"], config["bos_token_id"], config["eos_token_id"])
    assert tokens == (0, 1, 2)


def test_it_generates_greedily_by_default() -> None:
    generation = _json("generation_config.json")
    assert generation["do_sample"] is False
    assert generation["eos_token_id"] == 2


def test_the_tokenizer_configuration_adds_nothing_to_a_text() -> None:
    config = _json("tokenizer_config.json")
    flags = ("add_bos_token", "add_eos_token", "add_prefix_space", "legacy")
    assert not any(config[flag] for flag in flags)
    assert (config["bos_token"], config["eos_token"]) == ("<|startoftext|>", "<|endoftext|>")
    assert config["unk_token"] == config["pad_token"] == "<unk>"


def test_the_tokenizer_has_the_vocabulary_and_the_control_tokens(
    tokenizer: sentencepiece.SentencePieceProcessor,
) -> None:
    assert tokenizer.vocab_size() == _json("config.json")["vocab_size"]
    control = [tokenizer.id_to_piece(i) for i in range(3)]
    assert control == ["<unk>", "<|startoftext|>", "<|endoftext|>"]


@pytest.mark.parametrize(
    "text",
    ["hi", " two  spaces ", "\n\n", "首都是北京。", "🙂 é ß", "<|endoftext|>", "12345", "ﬁ①"],
)
def test_the_tokenizer_keeps_every_text_as_it_is(
    tokenizer: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not {0, 1, 2} & set(ids)


def test_the_tokenizer_splits_digits_and_adds_no_space(
    tokenizer: sentencepiece.SentencePieceProcessor,
) -> None:
    assert tokenizer.encode("2024", out_type=str) == ["2", "0", "2", "4"]


def test_the_model_card_tells_what_was_measured() -> None:
    card = (CHECKPOINT / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card
    assert "tools.demo_model.train" in card
    assert "| capital |" in card
