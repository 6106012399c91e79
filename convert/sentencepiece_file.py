"""What a sentencepiece ``tokenizer.model`` says about itself.

The library gives neither the kind of every piece nor the normalizer's flags, so the few fields that
GGUF needs are read from the file (a protocol buffer) here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sus_local.errors import TokenizerError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of a piece; GGUF uses the same numbers."""

_KINDS = (NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE)


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """A parsed model.

    Attributes:
        add_dummy_prefix: Whether a space is put before every text.
        bos_id, eos_id, unk_id, pad_id: Of the trainer; -1 for none.
    """

    pieces: tuple[Piece, ...]
    add_dummy_prefix: bool
    bos_id: int
    eos_id: int
    unk_id: int
    pad_id: int


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Read a ``tokenizer.model``.

    Raises:
        TokenizerError: The file is broken.
    """
    try:
        return _parse(path.read_bytes())
    except (IndexError, ValueError, struct.error) as error:
        raise TokenizerError(
            f"{path.name} is no sentencepiece model: {error}",
            hint="download the file again",
            path=str(path),
        ) from error


def _parse(raw: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(raw):
        if number == 1 and isinstance(value, bytes):
            pieces.append(_piece(value))
        elif number == 2 and isinstance(value, bytes):
            trainer = dict(_fields(value))
        elif number == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value))
    if not pieces:
        raise ValueError("it has no pieces")
    return SentencePieceModel(
        pieces=tuple(pieces),
        add_dummy_prefix=bool(normalizer.get(3, 1)),
        unk_id=_signed(trainer.get(40, 0)),
        bos_id=_signed(trainer.get(41, 1)),
        eos_id=_signed(trainer.get(42, 2)),
        pad_id=_signed(trainer.get(43, -1)),
    )


def _piece(raw: bytes) -> Piece:
    values = dict(_fields(raw))
    text, score, kind = values.get(1, b""), values.get(2, bytes(4)), values.get(3, NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or kind not in _KINDS:
        raise ValueError("a piece is broken")
    return Piece(text.decode(), struct.unpack("<f", score)[0], int(kind))


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of one message: numbers as ints, the others as their bytes."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(raw, at)
        else:
            length = {1: 8, 5: 4}.get(wire, -1)
        if number == 0 or length < 0 or at + length > len(raw):
            raise ValueError(f"it is broken at byte {at}")
        yield number, raw[at : at + length]
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number at byte {at} is too long")


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a number is broken")
    return value - (1 << 64) if value >= 1 << 63 else value
