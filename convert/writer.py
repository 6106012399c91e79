"""GGUF files: what lies where, known before any weight is read, and the bytes at the front.

The places are fixed first, so that tensors can be written in the order in which they come.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from sus_local.convert.fields import Int32, UInt16, Value, encode_field, encode_text
from sus_local.convert.tensors import TensorSpec
from sus_local.convert.types import TENSOR_TYPES, row_bytes

ALIGNMENT = 32
"""Tensors begin at multiples of it."""

_MAGIC, _VERSION = b"GGUF", 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where one tensor lies.

    Attributes:
        part: Number of the file, from 0.
        offset: First byte in that file.
        size: Bytes.
    """

    spec: TensorSpec
    type: str
    part: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """One file: its front, and its length."""

    header: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One output: a single file, or several that belong together."""

    parts: tuple[Part, ...]
    places: Mapping[str, Place]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(part.size for part in self.parts)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(place.size for place in self.places.values())


def lay_out(
    fields: Mapping[str, Value],
    specs: Sequence[TensorSpec],
    types: Mapping[str, str],
    *,
    split_size: int | None = None,
) -> Layout:
    """Decide where everything lies.

    Args:
        fields: The metadata; llama.cpp's split keys are added where there are several files.
        split_size: At most so many bytes of tensors a file; a larger tensor has a file alone.
    """
    groups = _split(specs, types, split_size)
    parts: list[Part] = []
    places: dict[str, Place] = {}
    for number, group in enumerate(groups):
        own = dict(fields) if number == 0 else {}
        if len(groups) > 1:
            own["split.no"] = UInt16(number)
            own["split.count"] = UInt16(len(groups))
            own["split.tensors.count"] = Int32(len(specs))
        header = _header(own, group, types)
        offset = len(header)
        for spec in group:
            size = tensor_bytes(spec, types[spec.name])
            places[spec.name] = Place(spec, types[spec.name], number, offset, size)
            offset += _padded(size)
        parts.append(Part(header, offset))
    return Layout(tuple(parts), places)


def tensor_bytes(spec: TensorSpec, tensor_type: str) -> int:
    """Bytes of a tensor in a type."""
    return spec.rows * row_bytes(tensor_type, spec.columns)


def part_name(name: str, number: int, count: int) -> str:
    """The name of a file of several, as llama.cpp expects it.

    >>> part_name("model.gguf", 0, 3), part_name("model.gguf", 0, 1)
    ('model-00001-of-00003.gguf', 'model.gguf')
    """
    if count == 1:
        return name
    return f"{PurePath(name).stem}-{number + 1:05d}-of-{count:05d}.gguf"


def _split(
    specs: Sequence[TensorSpec], types: Mapping[str, str], split_size: int | None
) -> list[list[TensorSpec]]:
    groups: list[list[TensorSpec]] = [[]]
    held = 0
    for spec in specs:
        size = _padded(tensor_bytes(spec, types[spec.name]))
        if split_size is not None and groups[-1] and held + size > split_size:
            groups.append([])
            held = 0
        groups[-1].append(spec)
        held += size
    return groups


def _header(
    fields: Mapping[str, Value], specs: Sequence[TensorSpec], types: Mapping[str, str]
) -> bytes:
    pieces = [_MAGIC, struct.pack("<IQQ", _VERSION, len(specs), len(fields))]
    pieces += [encode_field(key, value) for key, value in fields.items()]
    offset = 0
    for spec in specs:
        dimensions = spec.shape[::-1]
        pieces.append(encode_text(spec.name))
        pieces.append(struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
        pieces.append(struct.pack("<IQ", TENSOR_TYPES[types[spec.name]].id, offset))
        offset += _padded(tensor_bytes(spec, types[spec.name]))
    header = b"".join(pieces)
    return header + bytes(_padded(len(header)) - len(header))


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
