"""A random LLaMA checkpoint as Hugging Face has them, of any shape: for speed, not for sense.

The tokenizer is the demo model's, padded to the vocabulary that is asked for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from random_model import Shape

DEMO = Path(__file__).parent.parent / "sus_local" / "demo" / "checkpoint"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer_config.json", "generation_config.json")
DEVIATION = np.float32(0.02)
_PIECE = 1 << 20


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor's name and extents, in the order of a checkpoint."""
    hidden, inner = shape.n_embd, shape.n_ff
    keys = hidden // shape.n_head * shape.n_head_kv
    yield "model.embed_tokens.weight", (shape.n_vocab, hidden)
    for layer in range(shape.n_layer):
        for name, extents in (
            ("self_attn.q_proj", (hidden, hidden)),
            ("self_attn.k_proj", (keys, hidden)),
            ("self_attn.v_proj", (keys, hidden)),
            ("self_attn.o_proj", (hidden, hidden)),
            ("mlp.gate_proj", (inner, hidden)),
            ("mlp.up_proj", (inner, hidden)),
            ("mlp.down_proj", (hidden, inner)),
            ("input_layernorm", (hidden,)),
            ("post_attention_layernorm", (hidden,)),
        ):
            yield f"model.layers.{layer}.{name}.weight", extents
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (shape.n_vocab, hidden)


def config(shape: Shape) -> dict[str, Any]:
    """The ``config.json`` of a model of this shape."""
    told: dict[str, Any] = json.loads((DEMO / "config.json").read_text())
    return told | {
        "num_hidden_layers": shape.n_layer,
        "hidden_size": shape.n_embd,
        "intermediate_size": shape.n_ff,
        "num_attention_heads": shape.n_head,
        "num_key_value_heads": shape.n_head_kv,
        "head_dim": shape.n_embd // shape.n_head,
        "vocab_size": shape.n_vocab,
    }


def num_elements(extents: tuple[int, ...]) -> int:
    """Of one tensor."""
    return int(np.prod(extents))


def header(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """What a safetensors file of bf16 tensors begins with, padded as its library does."""
    place, entries = 0, {}
    for name, extents in shapes.items():
        end = place + 2 * num_elements(extents)
        entries[name] = {"dtype": "BF16", "shape": extents, "data_offsets": [place, end]}
        place = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def bf16(values: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """The values with the lower half of their bits cut off."""
    cut: bytes = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    return cut


def write(folder: Path, shape: Shape) -> int:
    """Write the checkpoint into a new folder; how many parameters it has."""
    folder.mkdir()
    shapes = dict(tensors(shape))
    _write_weights(folder / "model.safetensors", shapes)
    (folder / "config.json").write_text(json.dumps(config(shape)))
    for name in TOKENIZER_FILES:
        shutil.copy(DEMO / name, folder)
    return sum(map(num_elements, shapes.values()))


def _write_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(header(shapes))
        for left in map(num_elements, shapes.values()):
            # In pieces: a child's peak memory begins at what its parent held when it forked.
            for start in range(0, left, _PIECE):
                values = random.standard_normal(min(left - start, _PIECE), np.float32)
                file.write(bf16(values * DEVIATION))
        # Or the system writes it while the conversion is measured.
        file.flush()
        os.fsync(file.fileno())
