"""Rows of weights → the bytes of a GGUF type, by the quantizers of llama.cpp's own library.

``ggml_quantize_chunk`` releases the interpreter lock, so plain threads keep all cores busy.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sus_local.convert.types import PLAIN, TENSOR_TYPES, row_bytes
from sus_local.errors import NonFiniteError

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_SOURCE: dict[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<u2"),
    "F32": np.dtype("<f4"),
}


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


def source_rows(data: memoryview | bytes, dtype: str, columns: int) -> npt.NDArray[Any]:
    """Bytes of a checkpoint as rows, ``(rows, columns)``; bf16 and f16 stay as 16-bit patterns."""
    return np.frombuffer(data, dtype=_SOURCE[dtype]).reshape(-1, columns)


def interleave(rows: npt.NDArray[Any], head_dim: int) -> npt.NDArray[Any]:
    """Whole heads' rows, from the two halves of a checkpoint to llama.cpp's rotary pairs.

    >>> interleave(np.arange(4).reshape(4, 1), 4).ravel().tolist()
    [0, 2, 1, 3]
    """
    heads = rows.reshape(-1, 2, head_dim // 2, rows.shape[-1])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(rows.shape)


_scratch = threading.local()


def to_float32(rows: npt.NDArray[Any], dtype: str) -> Floats:
    """Rows of the source type ``dtype`` as float32, exactly.

    The result is this thread's until it calls again: fresh memory for every chunk costs a page
    fault for every page.
    """
    rows = np.require(rows, requirements=["C", "ALIGNED"])
    if dtype == "F32":
        return rows
    if getattr(_scratch, "floats", np.empty(0)).size < rows.size:
        _scratch.floats = np.empty(rows.size, np.float32)
    converted: Floats = _scratch.floats[: rows.size].reshape(rows.shape)
    name = "ggml_bf16_to_fp32_row" if dtype == "BF16" else "ggml_fp16_to_fp32_row"
    getattr(_library(), name)(rows.ctypes.data, converted.ctypes.data, rows.size)
    return converted


def is_finite(rows: Floats) -> bool:
    """Whether no weight is NaN or infinite."""
    # Two reductions need no memory; a NaN comes out of both.
    return bool(np.isfinite(rows.max(initial=0.0)) and np.isfinite(rows.min(initial=0.0)))


def not_finite(rows: Floats, tensor: str, first_row: int = 0) -> NonFiniteError:
    """The error for weights that are not :func:`is_finite`, with the index of the first."""
    row, column = (int(index) for index in np.argwhere(~np.isfinite(rows))[0])
    value = float(rows[row, column])
    return NonFiniteError(
        f"{tensor} is {value} at row {first_row + row}, column {column}",
        hint="the checkpoint is damaged: download it again",
        tensor=tensor,
        index=(first_row + row, column),
    )


def quantize(rows: Floats, tensor_type: str, importance: Floats | None, tensor: str) -> Bytes:
    """Rows as the bytes of a type.

    Args:
        rows: ``(rows, columns)`` float32, contiguous, finite.
        importance: One weight a column, or None.
        tensor: For the error message.

    Raises:
        NonFiniteError: A value is too large for the type.
    """
    if tensor_type == "F32":
        return np.frombuffer(rows.tobytes(), np.uint8)
    library, kind = _library(), TENSOR_TYPES[tensor_type].id
    count, columns = rows.shape
    quantized = np.empty(count * row_bytes(tensor_type, columns), np.uint8)
    weights = importance.ctypes.data if importance is not None else None
    library.ggml_quantize_chunk(
        kind, rows.ctypes.data, quantized.ctypes.data, 0, count, columns, weights
    )
    if not library.ggml_validate_row_data(kind, quantized.ctypes.data, quantized.nbytes):
        largest = float(np.abs(rows).max())
        raise NonFiniteError(
            f"{tensor} has values too large for {tensor_type}, up to {largest:.4g}",
            hint="choose another type, BF16 or F32 for instance",
            tensor=tensor,
        )
    return quantized


def is_plain_copy(dtype: str, tensor_type: str) -> bool:
    """Whether the bytes of the source are the bytes of the output."""
    return dtype == tensor_type and dtype in PLAIN


def to_bytes(values: Sequence[float]) -> memoryview:
    """Computed values as float32."""
    return memoryview(np.asarray(values, "<f4").tobytes())
