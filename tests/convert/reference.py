"""llama.cpp's own quantizer, to compare with."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from sus_local.convert.types import FILE_TYPES, TENSOR_TYPES

Importances = Mapping[str, npt.NDArray[np.float32]]
_TYPE_IDS = {entry.id: name for name, entry in TENSOR_TYPES.items()}
_LINE = re.compile(r"\[ *\d+/ *\d+\] +(\S+) .*?type = +(\w+), size = .*?MiB(?:.*\((\w+)\))?\s*$")


def llama_quantize(
    source: Path,
    output: Path,
    mixture: str,
    *,
    imatrix: Importances | None = None,
    overrides: Sequence[tuple[str, str]] = (),
    pure: bool = False,
    dry_run: bool = False,
) -> dict[str, str]:
    """Run ``llama_model_quantize``; the type of every tensor as it told them."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[mixture].id
    parameters.nthread = 2
    parameters.pure = pure
    parameters.dry_run = dry_run
    keep: list[Any] = [_set_imatrix(parameters, imatrix), _set_overrides(parameters, overrides)]
    lines: list[str] = []
    log = llama_cpp.llama_log_callback(lambda level, text, user: lines.append(text.decode()))
    llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
    try:
        status = llama_cpp.llama_model_quantize(
            str(source).encode(), str(output).encode(), ctypes.byref(parameters)
        )
    finally:
        llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), ctypes.c_void_p(0))
        del keep
    if status:
        raise RuntimeError("".join(lines)[-2000:])
    return _types("".join(lines))


def _set_imatrix(parameters: Any, imatrix: Importances | None) -> Any:
    if imatrix is None:
        return None
    entries = (llama_cpp.llama_model_imatrix_data * (len(imatrix) + 1))()
    pointer = ctypes.POINTER(ctypes.c_float)
    for entry, (name, values) in zip(entries, imatrix.items(), strict=False):
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(pointer)
    parameters.imatrix = ctypes.cast(entries, type(parameters.imatrix))
    return entries, imatrix


def _set_overrides(parameters: Any, overrides: Sequence[tuple[str, str]]) -> Any:
    if not overrides:
        return None
    entries = (llama_cpp.llama_model_tensor_override * (len(overrides) + 1))()
    for entry, (pattern, kind) in zip(entries, overrides, strict=False):
        entry.pattern, entry.type = pattern.encode(), TENSOR_TYPES[kind].id
    parameters.tt_overrides = ctypes.cast(entries, type(parameters.tt_overrides))
    return entries


def _types(log: str) -> dict[str, str]:
    types: dict[str, str] = {}
    # Warnings come in the middle of the list; each entry ends with its size.
    for line in log.splitlines():
        if found := _LINE.search(line):
            types[found[1]] = (found[3] or found[2]).upper()
    return types


def read_tensors(path: Path) -> dict[str, tuple[str, bytes]]:
    """Type and bytes of every tensor of a GGUF file, read by llama.cpp's own reader."""
    from gguf import GGUFReader

    return {
        tensor.name: (_TYPE_IDS[int(tensor.tensor_type)], tensor.data.tobytes())
        for tensor in GGUFReader(path).tensors
    }
