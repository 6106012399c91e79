"""Values of GGUF metadata, and their bytes.

>>> encode_field("answer", UInt32(42)).hex()
'0600000000000000616e73776572040000002a000000'
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True, slots=True)
class UInt16:
    """An unsigned number of 16 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class UInt32:
    """An unsigned number of 32 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Int32:
    """A signed number of 32 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Float32:
    """A number of single precision."""

    value: float


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of texts; those of a vocabulary may be no valid UTF-8."""

    values: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Float32s:
    """A list of numbers of single precision."""

    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Int32s:
    """A list of signed numbers of 32 bits."""

    values: Sequence[int]


Value = bool | str | UInt16 | UInt32 | Int32 | Float32 | Texts | Float32s | Int32s

_UINT16, _UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 2, 4, 5, 6, 7, 8, 9


def encode_text(text: str | bytes) -> bytes:
    """Length and UTF-8."""
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def encode_field(key: str, value: Value) -> bytes:
    """Key, type and value."""
    return encode_text(key) + _encode(value)


def _encode(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + encode_text(value)
    if isinstance(value, UInt16):
        return struct.pack("<IH", _UINT16, value.value)
    if isinstance(value, UInt32):
        return struct.pack("<II", _UINT32, value.value)
    if isinstance(value, Int32):
        return struct.pack("<Ii", _INT32, value.value)
    if isinstance(value, Float32):
        return struct.pack("<If", _FLOAT32, value.value)
    return _encode_list(value)


def _encode_list(value: Texts | Float32s | Int32s) -> bytes:
    count = len(value.values)
    if isinstance(value, Texts):
        head = struct.pack("<IIQ", _ARRAY, _STRING, count)
        return head + _encode_texts(value.values)
    if isinstance(value, Float32s):
        return struct.pack(f"<IIQ{count}f", _ARRAY, _FLOAT32, count, *value.values)
    return struct.pack(f"<IIQ{count}i", _ARRAY, _INT32, count, *value.values)


def _encode_texts(texts: Sequence[bytes]) -> bytes:
    # A vocabulary is long, its lengths are few: without a call for each text.
    sizes = [len(text) for text in texts]
    packed = {size: struct.pack("<Q", size) for size in set(sizes)}
    return b"".join(chain.from_iterable(zip(map(packed.__getitem__, sizes), texts, strict=True)))
