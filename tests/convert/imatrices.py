"""Importance matrices in llama.cpp's two formats, of random values."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

Values = Mapping[str, npt.NDArray[np.float32]]


def random_importances(
    hidden: int, ffn: int, num_layers: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Importances of every matrix of a model whose heads fill ``hidden``."""
    generator = np.random.default_rng(1)
    columns = {"output": hidden}
    for layer in range(num_layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"):
            columns[f"blk.{layer}.{name}"] = hidden
        columns[f"blk.{layer}.ffn_down"] = ffn
    return {
        f"{name}.weight": (generator.random(size, np.float32) ** 4 + np.float32(1e-3))
        for name, size in columns.items()
    }


def write_legacy(path: Path, values: Values, *, calls: int = 7, chunks: int = 3) -> Path:
    """The older format: sums over calls, then what it was measured on."""
    pieces = [struct.pack("<i", len(values))]
    for name, importances in values.items():
        raw = name.encode()
        pieces.append(struct.pack("<i", len(raw)) + raw)
        pieces.append(struct.pack("<ii", calls, importances.size))
        pieces.append((importances * np.float32(calls)).astype("<f4").tobytes())
    dataset = b"texts.txt"
    pieces.append(struct.pack("<ii", chunks, len(dataset)) + dataset)
    path.write_bytes(b"".join(pieces))
    return path


def write_gguf(path: Path, values: Values, *, count: int = 5, chunks: int = 3) -> Path:
    """The GGUF format: sums of squares, and how often each was counted."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "imatrix")
    writer.add_array("imatrix.datasets", ["texts.txt"])
    writer.add_uint32("imatrix.chunk_count", chunks)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, importances in values.items():
        sums = (importances * np.float32(count)).reshape(1, -1)
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", np.full((1, 1), count, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
