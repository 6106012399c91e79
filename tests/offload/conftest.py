"""Model files of chosen shapes: real headers over weights that are a hole in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

Q4_K, Q6_K, F32 = GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K, GGMLQuantizationType.F32
SMALL = {
    "n_layer": 2, "n_embd": 256, "n_ff": 512, "n_head": 4, "n_head_kv": 2, "n_vocab": 512
}  # fmt: skip


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a model of the shape given by keywords, small by default."""

    def make(name: str = "made", **shape: Any) -> Path:
        return write_model(tmp_path / f"{name}.gguf", **{**SMALL, **shape})

    return make


def write_model(path: Path, *, n_ctx_train: int = 8192, tied: bool = False, **n: int) -> Path:
    """Write a LLaMA GGUF whose weights are all zero; instant and sparse at any size."""
    writer = GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_file_type(15)
    writer.add_block_count(n["n_layer"])
    writer.add_embedding_length(n["n_embd"])
    writer.add_feed_forward_length(n["n_ff"])
    writer.add_head_count(n["n_head"])
    writer.add_head_count_kv(n["n_head_kv"])
    writer.add_context_length(n_ctx_train)
    writer.add_vocab_size(n["n_vocab"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("no_vocab")
    end = sum(_declare(writer, *tensor) for tensor in _tensors(tied=tied, **n))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        start = -(-file.seek(0, 2) // 32) * 32
        file.truncate(start + end)
    return path


def _tensors(
    *,
    n_layer: int,
    n_embd: int,
    n_ff: int,
    n_head: int,
    n_head_kv: int,
    n_vocab: int,
    tied: bool,
    kv_width: int = 0,
) -> list[tuple[str, tuple[int, ...], GGMLQuantizationType]]:
    kv = kv_width or n_embd // n_head * n_head_kv
    ends = [("token_embd", (n_vocab, n_embd), Q4_K), ("output_norm", (n_embd,), F32)]
    ends += [] if tied else [("output", (n_vocab, n_embd), Q6_K)]
    layer = [
        ("attn_norm", (n_embd,), F32),
        ("attn_q", (n_embd, n_embd), Q4_K),
        ("attn_k", (kv, n_embd), Q4_K),
        ("attn_v", (kv, n_embd), Q6_K),
        ("attn_output", (n_embd, n_embd), Q4_K),
        ("ffn_norm", (n_embd,), F32),
        ("ffn_gate", (n_ff, n_embd), Q4_K),
        ("ffn_up", (n_ff, n_embd), Q4_K),
        ("ffn_down", (n_embd, n_ff), Q6_K),
    ]
    layers = [
        (f"blk.{i}.{name}", shape, kind) for i in range(n_layer) for name, shape, kind in layer
    ]
    return [(f"{name}.weight", shape, kind) for name, shape, kind in (*ends, *layers)]


def _declare(
    writer: GGUFWriter, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType
) -> int:
    """Put a tensor into the table; return the bytes that it takes, with padding."""
    block, block_bytes = GGML_QUANT_SIZES[kind]
    num_bytes = int(np.prod(shape)) // block * block_bytes
    rows = (*shape[:-1], shape[-1] // block * block_bytes)
    dtype = np.dtype(np.float32 if kind == F32 else np.uint8)
    writer.add_tensor_info(name, shape if kind == F32 else rows, dtype, num_bytes, raw_dtype=kind)
    return -(-num_bytes // 32) * 32
