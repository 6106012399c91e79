"""The header of a safetensors file, read without trust.

A file is eight bytes of length, a JSON header of that length, and the tensors' bytes, which fill
the rest without gap or overlap. Every number in a header is checked before it is used.

>>> import json
>>> text = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
>>> content = len(text).to_bytes(8, "little") + text + bytes(8)
>>> [tensor] = parse(content, name="a.safetensors", size=len(content))
>>> tensor.shape, tensor.num_bytes
((2,), 8)
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from sus_local.errors import ShardError, TensorError

from .source import TensorInfo

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
DTYPE_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("BF16", "F16", "I16", "U16"), 16),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}
_MAX_NUMBER = 1 << 63
_MAX_DIMS = 32
_KEYS = {"dtype", "shape", "data_offsets"}


def header_length(prefix: bytes, *, name: str, size: int) -> int:
    """Bytes of the JSON header, from the first eight bytes of a file of ``size`` bytes.

    Raises:
        ShardError: The file is too short for such a header.
    """
    if len(prefix) < LENGTH_BYTES or size < LENGTH_BYTES:
        _truncated(name, size, needed=LENGTH_BYTES)
    length = int.from_bytes(prefix[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise ShardError(
            f"{name} is not a safetensors file: its header would take {length} bytes",
            hint="fetch the file again",
            shard=name,
            header_bytes=length,
        )
    if LENGTH_BYTES + length > size:
        _truncated(name, size, needed=LENGTH_BYTES + length)
    return length


def parse(content: bytes, *, name: str, size: int) -> list[TensorInfo]:
    """The tensors of a file, in the order in which they lie there.

    Args:
        content: The file's beginning, at least up to the end of its header.
        name: The file's name, for errors and for :attr:`TensorInfo.shard`.
        size: Bytes of the whole file.

    Raises:
        ShardError: Truncated, not a safetensors file, or its tensors do not fill it exactly.
        TensorError: A tensor's shape, type and length do not agree, or its type is unknown.
    """
    length = header_length(content, name=name, size=size)
    text = content[LENGTH_BYTES : LENGTH_BYTES + length]
    if len(text) < length:
        _truncated(name, len(content), needed=LENGTH_BYTES + length)
    entries = _entries(text, name)
    first = LENGTH_BYTES + length
    tensors = [_tensor(key, entry, name, first) for key, entry in entries.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    _check_layout(tensors, name=name, first=first, size=size)
    return tensors


def read_header(path: Path) -> list[TensorInfo]:
    """The tensors of a file on this machine.

    Raises:
        ShardError, TensorError: As :func:`parse`.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        prefix = file.read(LENGTH_BYTES)
        length = header_length(prefix, name=path.name, size=size)
        return parse(prefix + file.read(length), name=path.name, size=size)


def _entries(text: bytes, name: str) -> dict[str, Any]:
    """The header as a dictionary, without ``__metadata__``."""
    try:
        entries = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise _bad_header(name, str(error).splitlines()[0]) from None
    if not isinstance(entries, dict):
        raise _bad_header(name, "not a JSON object")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _bad_header(name, "__metadata__ is not a table of text")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name appears twice")
    for key in entries:
        key.encode("utf-8")
    return entries


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is not a number")


def _tensor(key: str, entry: Any, name: str, first: int) -> TensorInfo:
    if not isinstance(entry, dict) or not entry.keys() >= _KEYS:
        raise _bad_header(name, f"tensor {key!r} has no dtype, shape and data_offsets")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not _are_counts(shape) or len(shape) > _MAX_DIMS:
        raise _bad_header(name, f"the shape of tensor {key!r} is not a list of sizes")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _bad_header(name, f"the offsets of tensor {key!r} are not a range")
    start, end = offsets
    _check_bytes(key, dtype, shape, end - start, name)
    return TensorInfo(key, dtype, tuple(shape), name, first + start, first + end)


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < _MAX_NUMBER for item in value
    )


def _check_bytes(key: str, dtype: Any, shape: list[int], num_bytes: int, name: str) -> None:
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise TensorError(
            f"tensor {key!r} in {name} has the unknown type {str(dtype)[:40]!r}",
            hint="use the model's unquantized checkpoint",
            tensor=key,
            dtype=dtype,
            shard=name,
        )
    num_bits = math.prod(shape) * DTYPE_BITS[dtype]
    if num_bits != num_bytes * 8:
        dims = "x".join(map(str, shape[:8]))
        raise TensorError(
            f"tensor {key!r} in {name} ({dtype}, {dims}) has {num_bytes} bytes, "
            f"not {_big(num_bits // 8)}",
            hint="fetch the file again",
            tensor=key,
            num_bytes=num_bytes,
            expected_bytes=num_bits // 8,
            shard=name,
        )


def _big(number: int) -> str:
    return str(number) if number < 10**30 else "more than 10^30"


def _check_layout(tensors: list[TensorInfo], *, name: str, first: int, size: int) -> None:
    """Tensors must follow each other from the header to the end of the file."""
    place = first
    for tensor in tensors:
        if tensor.start != place:
            kind = "overlaps the one before it" if tensor.start < place else "leaves a gap"
            raise _bad_header(
                name, f"tensor {tensor.name!r} {kind} (byte {tensor.start}, not {place})"
            )
        place = tensor.end
    if place > size:
        _truncated(name, size, needed=place)
    if place < size:
        raise ShardError(
            f"{name} has {size} bytes, {size - place} more than its header tells",
            hint="fetch the file again",
            shard=name,
            size=size,
            expected_size=place,
        )


def _truncated(name: str, size: int, *, needed: int) -> NoReturn:
    raise ShardError(
        f"{name} is truncated: it has {size} bytes of {needed}",
        hint="fetch the file again",
        shard=name,
        size=size,
        expected_size=needed,
    )


def _bad_header(name: str, why: str) -> ShardError:
    return ShardError(
        f"{name} has a damaged safetensors header: {why[:300]}",
        hint="fetch the file again",
        shard=name,
    )
