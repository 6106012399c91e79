"""Small random checkpoints: a real Hugging Face folder in milliseconds.

Used by every test of the converter. What it writes is written by hand, byte by byte, so that a
test may also write what no library would.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

VOCAB_SIZE = 384
_SENTENCES = [
    "The capital of France is Paris. 你好，世界！今天天气很好。",
    "How are you today? I am fine, thank you. 法国的首都是巴黎。",
    "### Human: hi\n\n### Assistant: Hello! What can I do for you?",
    "one two three four five six seven eight nine ten 一二三四五六七八九十",
]


_SETTINGS = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def write_checkpoint(
    folder: Path,
    *,
    num_layers: int = 2,
    hidden: int = 64,
    ffn: int = 128,
    num_heads: int = 4,
    num_kv_heads: int = 2,
    head_dim: int | None = None,
    vocab_size: int = VOCAB_SIZE,
    tied: bool = False,
    bias: bool = False,
    dtype: str = "BF16",
    num_shards: int = 1,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``config.json``, the tokenizer and random weights; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    head_dim = head_dim or hidden // num_heads
    settings = {
        **_SETTINGS,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab_size,
        "tie_word_embeddings": tied,
        "attention_bias": bias,
        "torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype],
        **(config or {}),
    }
    write_json(folder / "config.json", settings)
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    write_tokenizer(folder)
    shapes = tensor_shapes(
        num_layers=num_layers,
        hidden=hidden,
        ffn=ffn,
        rows_q=num_heads * head_dim,
        rows_kv=num_kv_heads * head_dim,
        vocab_size=vocab_size,
        tied=tied,
        bias=bias,
    )
    write_weights(folder, random_tensors(shapes, dtype=dtype, seed=seed), num_shards=num_shards)
    return folder


def tensor_shapes(
    *,
    num_layers: int,
    hidden: int,
    ffn: int,
    rows_q: int,
    rows_kv: int,
    vocab_size: int,
    tied: bool = False,
    bias: bool = False,
) -> dict[str, tuple[int, ...]]:
    """The tensors of a LLaMA model, in the order of a checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab_size, hidden)}
    for layer in range(num_layers):
        prefix = f"model.layers.{layer}."
        for name, rows in (("q", rows_q), ("k", rows_kv), ("v", rows_kv), ("o", hidden)):
            columns = rows_q if name == "o" else hidden
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = (rows, columns)
            if bias:
                shapes[f"{prefix}self_attn.{name}_proj.bias"] = (rows,)
        shapes[f"{prefix}mlp.gate_proj.weight"] = (ffn, hidden)
        shapes[f"{prefix}mlp.up_proj.weight"] = (ffn, hidden)
        shapes[f"{prefix}mlp.down_proj.weight"] = (hidden, ffn)
        shapes[f"{prefix}input_layernorm.weight"] = (hidden,)
        shapes[f"{prefix}post_attention_layernorm.weight"] = (hidden,)
    shapes["model.norm.weight"] = (hidden,)
    if not tied:
        shapes["lm_head.weight"] = (vocab_size, hidden)
    return shapes


Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]


def random_tensors(
    shapes: Mapping[str, tuple[int, ...]], *, dtype: str = "BF16", seed: int = 0
) -> Tensors:
    """Name → (type, shape, bytes); norms lie near one."""
    generator = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, shape in shapes.items():
        values = generator.standard_normal(shape, dtype=np.float32) * np.float32(0.05)
        if "norm" in name:
            values += np.float32(1)
        tensors[name] = (dtype, shape, encode(values, dtype))
    return tensors


def encode(values: npt.NDArray[np.float32], dtype: str) -> bytes:
    """Values as bytes of a safetensors type; bf16 drops the low half."""
    if dtype == "BF16":
        return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype("<u2").tobytes()
    return values.astype({"F16": "<f2", "F32": "<f4"}[dtype]).tobytes()


def write_weights(folder: Path, tensors: Tensors, *, num_shards: int = 1) -> list[Path]:
    """Write one file, or several with an index, about equal in size; their paths."""
    if num_shards == 1:
        path = folder / "model.safetensors"
        path.write_bytes(safetensors_bytes(tensors))
        return [path]
    groups = _split(tensors, num_shards)
    names = [f"model-{i + 1:05d}-of-{num_shards:05d}.safetensors" for i in range(num_shards)]
    for name, group in zip(names, groups, strict=True):
        (folder / name).write_bytes(safetensors_bytes(group))
    index = {
        "metadata": {"total_size": sum(len(t[2]) for t in tensors.values())},
        "weight_map": {
            key: name for name, group in zip(names, groups, strict=True) for key in group
        },
    }
    write_json(folder / "model.safetensors.index.json", index)
    return [folder / name for name in names]


def _split(tensors: Tensors, num_shards: int) -> list[Tensors]:
    total = sum(len(t[2]) for t in tensors.values())
    groups: list[Tensors] = [{} for _ in range(num_shards)]
    place = 0
    for name, tensor in tensors.items():
        groups[min(num_shards - 1, place * num_shards // total)][name] = tensor
        place += len(tensor[2])
    return groups


def safetensors_bytes(tensors: Tensors) -> bytes:
    """A whole safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, (dtype, shape, content) in tensors.items():
        offsets = [place, place + len(content)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        place = offsets[1]
    return with_header(header) + b"".join(content for _, _, content in tensors.values())


def with_header(header: Any) -> bytes:
    """Length and header, padded to eight bytes as the library does."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_tokenizer(folder: Path, *, vocab_size: int = VOCAB_SIZE) -> None:
    """``tokenizer.model`` as SUS-Chat's: BPE, byte fallback, no dummy prefix."""
    (folder / "tokenizer.model").write_bytes(sentencepiece_model(vocab_size))
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<unk>",
        "pad_token": "<unk>",
        "model_max_length": 512,
    }
    write_json(folder / "tokenizer_config.json", settings)


@functools.cache
def sentencepiece_model(vocab_size: int = VOCAB_SIZE, *, dummy_prefix: bool = False) -> bytes:
    """A tiny sentencepiece model, the same bytes for the same arguments."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_SENTENCES),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        character_coverage=1.0,
        add_dummy_prefix=dummy_prefix,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        bos_piece="<|startoftext|>",
        eos_piece="<|endoftext|>",
        hard_vocab_limit=True,
        minloglevel=2,
        num_threads=1,
    )
    return model.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")


def leftovers(path: Path) -> set[str]:
    """What lies in a folder; nothing if there is none."""
    return {each.name for each in path.iterdir()} if path.is_dir() else set()
