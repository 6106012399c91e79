"""Importance matrices: how much each column of each tensor matters, measured by llama.cpp.

Both its formats are read, GGUF and the older one, and normalized as ``llama-quantize`` does it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sus_local.convert.fields import UInt32, Value
from sus_local.convert.quantize import Floats
from sus_local.errors import ImatrixError, from_os_error

_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True, slots=True)
class Imatrix:
    """An importance matrix.

    Attributes:
        name: Of its file.
        digest: SHA-256 of its file.
        entries: Importance of the columns of each tensor, by GGUF name.
        datasets: What it was measured on.
        chunks: How many pieces of text; 0 if not told.
    """

    name: str
    digest: str
    entries: Mapping[str, Floats]
    datasets: tuple[str, ...]
    chunks: int

    def importance(self, tensor: str, columns: int) -> Floats | None:
        """Importance of a tensor's columns; None if it was not measured.

        Raises:
            ImatrixError: It was measured for another number of columns.
        """
        weights = self.entries.get(tensor)
        if weights is None or weights.size == columns:
            return weights
        if tensor == "token_embd.weight":
            return None
        raise ImatrixError(
            f"{self.name} has {weights.size} values for {tensor}, which has {columns} columns",
            hint="use the importance matrix that was made for this model",
            tensor=tensor,
            size=weights.size,
            columns=columns,
        )

    def fields(self) -> dict[str, Value]:
        """What the output's metadata says about it, under llama.cpp's keys."""
        fields: dict[str, Value] = {
            "quantize.imatrix.file": self.name,
            "quantize.imatrix.entries_count": UInt32(len(self.entries)),
        }
        if self.datasets:
            fields["quantize.imatrix.dataset"] = self.datasets[0]
        if self.chunks > 0:
            fields["quantize.imatrix.chunks_count"] = UInt32(self.chunks)
        return fields


def read_imatrix(path: Path) -> Imatrix:
    """Read an importance matrix of either format.

    Raises:
        ImatrixError: It is neither, damaged, or holds values that are not finite.
        StorageError: It cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error
    try:
        # Values that are not finite are told below, not by a warning of numpy.
        with np.errstate(all="ignore"):
            parts = _read_gguf(path) if raw[:4] == b"GGUF" else _read_legacy(raw)
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise ImatrixError(
            f"{path.name} is no importance matrix: {error}", hint="make one with llama-imatrix"
        ) from error
    entries, datasets, chunks = parts
    for name, weights in entries.items():
        if not np.isfinite(weights).all():
            raise ImatrixError(
                f"{path.name} holds values for {name} that are not finite",
                hint="make one with llama-imatrix",
                tensor=name,
            )
    return Imatrix(path.name, hashlib.sha256(raw).hexdigest(), entries, datasets, chunks)


_Contents = tuple[dict[str, Floats], tuple[str, ...], int]


def _read_gguf(path: Path) -> _Contents:
    from gguf import GGUFReader

    reader = GGUFReader(path)
    missing = [
        key
        for key in ("imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size")
        if reader.get_field(key) is None
    ]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    tensors = {tensor.name: np.array(tensor.data, np.float32) for tensor in reader.tensors}
    names = [name.removesuffix(_SUMS) for name in tensors if name.endswith(_SUMS)]
    if not names:
        raise ValueError("it has no entries")
    entries = {name: _normalize(tensors[name + _SUMS], tensors[name + _COUNTS]) for name in names}
    datasets = _contents(reader, "imatrix.datasets")
    return entries, tuple(datasets), int(_contents(reader, "imatrix.chunk_count"))


def _contents(reader: Any, key: str) -> Any:
    return reader.get_field(key).contents()


def _normalize(sums: Floats, counts: Floats) -> Floats:
    """Sums of squares divided by how often; 1 where a tensor was never used."""
    count = np.rint(counts.ravel())
    rows = sums.reshape(count.size, -1)
    used = count[:, None] > 0
    means = np.where(used, rows / np.where(used, count[:, None], 1), 1)
    return np.ascontiguousarray(means.ravel(), np.float32)


def _read_legacy(raw: bytes) -> _Contents:
    entries: dict[str, Floats] = {}
    (count,), at = struct.unpack_from("<i", raw, 0), 4
    if count < 1:
        raise ValueError("it has no entries")
    for _ in range(count):
        name, at = _legacy_text(raw, at)
        calls, size = struct.unpack_from("<ii", raw, at)
        at += 8
        if size < 1 or at + 4 * size > len(raw):
            raise ValueError("it is cut off")
        weights = np.frombuffer(raw, "<f4", size, at)
        at += 4 * size
        entries[name] = np.ascontiguousarray(weights / np.float32(calls) if calls > 0 else weights)
    if at + 4 > len(raw):
        return entries, (), 0
    (chunks,), at = struct.unpack_from("<i", raw, at), at + 4
    dataset = _legacy_text(raw, at)[0] if at + 4 <= len(raw) else ""
    return entries, (dataset,) if dataset else (), chunks


def _legacy_text(raw: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<i", raw, at)
    at += 4
    if length < 0 or at + length > len(raw):
        raise ValueError("it is cut off")
    return raw[at : at + length].decode(), at + length
