"""A random LLaMA model in GGUF, of any shape, made in seconds: for speed, not for sense.

Its blocks are real quantizations of normal noise, drawn again and again from one small pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

from sus_local.convert.quantize import Rows, quantize

Q4_K, Q6_K, F32 = GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K, GGMLQuantizationType.F32
_POOL_ROWS = 64
NUM_SPECIAL = 3 + 256
"""Control tokens and bytes, which come before the words."""


@dataclass(frozen=True)
class Shape:
    """The shape of a LLaMA model, under llama.cpp's names."""

    n_layer: int = 22
    n_embd: int = 2048
    n_ff: int = 5632
    n_head: int = 32
    n_head_kv: int = 4
    n_vocab: int = 64000
    n_ctx: int = 8192


SHAPES = {
    "1.2b": Shape(),
    # Layers as wide as SUS-Chat-34B's, as many as fill seconds and not minutes.
    "sus-chat": Shape(n_layer=2, n_embd=7168, n_ff=20480, n_head=56, n_head_kv=8, n_vocab=4096),
}
SUS_CHAT_34B = Shape(n_layer=60, n_embd=7168, n_ff=20480, n_head=56, n_head_kv=8)


def write_random_model(path: Path, shape: Shape | None = None, *, seed: int = 0) -> Path:
    """Write a random Q4_K_M model; 1.2 B parameters in 0.8 GB if no shape is given."""
    shape = shape or Shape()
    partial = path.with_suffix(".partial")
    writer = GGUFWriter(partial, "llama")
    writer.add_name("random")
    describe(writer, shape)
    _add_vocabulary(writer, shape.n_vocab)
    pool = _Pool(np.random.default_rng(seed))
    for name, extents, kind in _tensors(shape):
        tensor = pool.tensor(extents, kind)
        if name == "output.weight":
            tensor[:NUM_SPECIAL] = 0  # never the most likely: a greedy answer is words, endlessly
        writer.add_tensor(name, tensor, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(path)
    return path


class _Pool:
    """Quantized rows of noise, from which tensors are put together."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._rows: dict[tuple[int, int], np.ndarray[Any, Any]] = {}

    def tensor(self, extents: tuple[int, ...], kind: GGMLQuantizationType) -> np.ndarray[Any, Any]:
        if kind == F32:
            return np.ones(extents, dtype=np.float32)
        rows = self._quantized(extents[-1], kind)
        return rows[self._random.integers(0, len(rows), extents[0])]

    def _quantized(self, width: int, kind: GGMLQuantizationType) -> np.ndarray[Any, Any]:
        key = (width, int(kind))
        if key not in self._rows:
            noise = self._random.normal(0, 0.02, (_POOL_ROWS, width)).astype(np.float32)
            made = quantize(Rows(noise, "F32", "noise"), [kind.name])[kind.name]
            self._rows[key] = np.frombuffer(made, np.uint8).reshape(_POOL_ROWS, -1)
        return self._rows[key]


def _tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], GGMLQuantizationType]]:
    n_embd, n_ff = shape.n_embd, shape.n_ff
    kv = n_embd // shape.n_head * shape.n_head_kv
    yield "token_embd.weight", (shape.n_vocab, n_embd), Q4_K
    yield "output_norm.weight", (n_embd,), F32
    yield "output.weight", (shape.n_vocab, n_embd), Q6_K
    for layer in range(shape.n_layer):
        more = Q6_K if _has_more_bits(layer, shape.n_layer) else Q4_K
        for name, extents, kind in (
            ("attn_norm", (n_embd,), F32),
            ("attn_q", (n_embd, n_embd), Q4_K),
            ("attn_k", (kv, n_embd), Q4_K),
            ("attn_v", (kv, n_embd), more),
            ("attn_output", (n_embd, n_embd), Q4_K),
            ("ffn_norm", (n_embd,), F32),
            ("ffn_gate", (n_ff, n_embd), Q4_K),
            ("ffn_up", (n_ff, n_embd), Q4_K),
            ("ffn_down", (n_embd, n_ff), more),
        ):
            yield f"blk.{layer}.{name}.weight", extents, kind


def _has_more_bits(layer: int, n_layer: int) -> bool:
    """The layers that the Q4_K_M mixture favours: the ends, and every third between."""
    eighth = n_layer // 8
    return layer < eighth or layer >= 7 * n_layer // 8 or (layer - eighth) % 3 == 2


def describe(writer: GGUFWriter, shape: Shape, *, rms_eps: float = 1e-5) -> None:
    """Write what llama.cpp has to know of a Q4_K_M of this shape; all but the vocabulary."""
    writer.add_file_type(15)
    writer.add_block_count(shape.n_layer)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_rope_dimension_count(shape.n_embd // shape.n_head)
    writer.add_rope_freq_base(5e6)
    writer.add_layer_norm_rms_eps(rms_eps)
    writer.add_vocab_size(shape.n_vocab)


def _add_vocabulary(writer: GGUFWriter, n_vocab: int) -> None:
    """Control tokens, the 256 bytes, and made-up words for the rest."""
    control = ["<unk>", "<|startoftext|>", "<|endoftext|>"]
    tokens = [*control, *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL] + [TokenType.BYTE] * 256
    num_words = n_vocab - len(tokens)
    tokens += ["▁", *(f"▁w{number}" for number in range(num_words - 1))]
    kinds += [TokenType.NORMAL] * num_words
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(number) for number in range(num_words)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
