"""Rows of weights → the bytes of a GGUF type, by the quantizers of llama.cpp's own library.

``ggml_quantize_chunk`` releases the interpreter lock, so plain threads keep all cores busy.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sus_local.convert.estimates import BLOCK_BYTES
from sus_local.convert.types import TENSOR_TYPES, row_bytes
from sus_local.errors import NonFiniteError

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_SOURCE: dict[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<u2"),
    "F32": np.dtype("<f4"),
}
_NOT_FINITE = {
    "BF16": (("<i2", 0x7F80), ("<u2", 0xFF80)),
    "F16": (("<i2", 0x7C00), ("<u2", 0xFC00)),
    "F32": (("<i4", 0x7F800000), ("<u4", 0xFF800000)),
}
"""The patterns from which on, as signed and as unsigned integers, values are NaN or infinite."""


@cache
def _library() -> Any:
    """llama.cpp's quantizers: those of the library that is loaded, whose tables are then shared."""
    import llama_cpp.llama_cpp as bindings

    loaded = ctypes.CDLL(bindings._lib._name, handle=bindings._lib._handle)
    if not hasattr(loaded, "ggml_quantize_chunk"):
        # Windows finds the functions of a library in itself only, not in those that it needs.
        loaded = ctypes.CDLL(str(Path(bindings._lib._name).with_name("ggml-base.dll")))
    return _declare(loaded)


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        pointer,
        pointer,
        size,
        size,
        size,
        pointer,
    ]
    library.ggml_quantize_init.restype = None
    library.ggml_quantize_init.argtypes = [ctypes.c_int]
    library.ggml_validate_row_data.restype = ctypes.c_bool
    library.ggml_validate_row_data.argtypes = [ctypes.c_int, pointer, ctypes.c_size_t]
    for name in ("ggml_bf16_to_fp32_row", "ggml_fp16_to_fp32_row"):
        getattr(library, name).restype = None
        getattr(library, name).argtypes = [pointer, pointer, size]
    return library


def prepare(tensor_type: str) -> None:
    """Build the tables of a type once, before threads use it."""
    _library().ggml_quantize_init(TENSOR_TYPES[tensor_type].id)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a tensor, as they are in a checkpoint.

    Attributes:
        values: ``(rows, columns)``, contiguous; bf16 and f16 as 16-bit patterns.
        dtype: As safetensors writes it.
        tensor: For messages, as ``first``.
        first: Number of the first of them in the tensor.
    """

    values: npt.NDArray[Any]
    dtype: str
    tensor: str
    first: int = 0

    @classmethod
    def of(
        cls, data: memoryview | bytes, dtype: str, columns: int, tensor: str, first: int = 0
    ) -> Rows:
        """Bytes of a checkpoint as rows."""
        values = np.frombuffer(data, dtype=_SOURCE[dtype]).reshape(-1, columns)
        return cls(np.require(values, requirements=["ALIGNED"]), dtype, tensor, first)


def interleave(rows: npt.NDArray[Any], head_dim: int) -> npt.NDArray[Any]:
    """Whole heads' rows, from the two halves of a checkpoint to llama.cpp's rotary pairs.

    >>> interleave(np.arange(4).reshape(4, 1), 4).ravel().tolist()
    [0, 2, 1, 3]
    """
    heads = rows.reshape(-1, 2, head_dim // 2, rows.shape[-1])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(rows.shape)


class _Scratch(threading.local):
    floats: Floats = np.empty(0, np.float32)


_scratch = _Scratch()


def to_float32(values: npt.NDArray[Any], dtype: str) -> Floats:
    """Values of :class:`Rows` as float32, exactly.

    The result is this thread's until it calls again: fresh memory for every block costs a page
    fault for every page.
    """
    if dtype == "F32":
        return values
    if _scratch.floats.size < values.size:
        _scratch.floats = np.empty(values.size, np.float32)
    converted = _scratch.floats[: values.size].reshape(values.shape)
    name = "ggml_bf16_to_fp32_row" if dtype == "BF16" else "ggml_fp16_to_fp32_row"
    getattr(_library(), name)(values.ctypes.data, converted.ctypes.data, values.size)
    return converted


def is_finite(values: npt.NDArray[Any], dtype: str) -> bool:
    """Whether none of the values of :class:`Rows` is NaN or infinite."""
    # Two reductions need no memory.
    return all(
        np.maximum.reduce(values.view(pattern), axis=None, initial=0) < bound
        for pattern, bound in _NOT_FINITE[dtype]
    )


def not_finite(rows: Rows) -> NonFiniteError:
    """The error for rows that are not :func:`is_finite`, with the index of the first weight."""
    floats = to_float32(rows.values, rows.dtype)
    row, column = (int(index) for index in np.argwhere(~np.isfinite(floats))[0])
    index = (rows.first + row, column)
    return NonFiniteError(
        f"{rows.tensor} is {float(floats[row, column])} at row {index[0]}, column {column}",
        hint="the checkpoint is damaged: download it again",
        tensor=rows.tensor,
        index=index,
    )


def quantize(
    rows: Rows, types: Sequence[str], *, head_dim: int = 0, importance: Floats | None = None
) -> dict[str, memoryview]:
    """Rows as the bytes of every type.

    Args:
        head_dim: Rows of a head, to be interleaved; 0 otherwise.
        importance: One weight a column, or None.

    Raises:
        NonFiniteError: A weight is NaN or infinite, or too large for a type.
    """
    values = interleave(rows.values, head_dim) if head_dim else rows.values
    count, columns = values.shape
    made = {kind: np.empty((count, row_bytes(kind, columns)), np.uint8) for kind in types}
    step = max(1, BLOCK_BYTES // (4 * columns))
    for first in range(0, count, step):
        block = values[first : first + step]
        if not is_finite(block, rows.dtype):
            # Of the rows in the checkpoint's own order, so that the index is the checkpoint's.
            raise not_finite(rows)
        into = {kind: whole[first : first + step] for kind, whole in made.items()}
        quantize_block(block, rows.dtype, into, importance)
    for kind, whole in made.items():
        if kind not in _copied(rows.dtype) and not _is_valid(whole, kind):
            raise _too_large(rows, kind)
    return {kind: whole.reshape(-1).data for kind, whole in made.items()}


def _copied(dtype: str) -> tuple[str, str]:
    """The types that need no quantizer."""
    return dtype, "F32"


def quantize_block(
    block: npt.NDArray[Any], dtype: str, into: Mapping[str, Bytes], importance: Floats | None
) -> None:
    """A few rows of a source type as the bytes of every type, each ``into`` its own array."""
    floats = block if set(into) == {dtype} else to_float32(block, dtype)
    weights = importance.ctypes.data if importance is not None else None
    for kind, made in into.items():
        if kind in _copied(dtype):
            made[:] = (block if kind == dtype else floats).view(np.uint8)
            continue
        _library().ggml_quantize_chunk(
            TENSOR_TYPES[kind].id, floats.ctypes.data, made.ctypes.data, 0, *floats.shape, weights
        )


def _is_valid(made: Bytes, kind: str) -> bool:
    return bool(
        _library().ggml_validate_row_data(TENSOR_TYPES[kind].id, made.ctypes.data, made.nbytes)
    )


def _too_large(rows: Rows, kind: str) -> NonFiniteError:
    largest = float(np.abs(to_float32(rows.values, rows.dtype)).max())
    return NonFiniteError(
        f"{rows.tensor} has values too large for {kind}, up to {largest:.4g}",
        hint="choose another type, BF16 or F32 for instance",
        tensor=rows.tensor,
        type=kind,
    )


def to_bytes(values: Sequence[float]) -> memoryview:
    """Computed values as float32."""
    return memoryview(np.asarray(values, "<f4").tobytes())
