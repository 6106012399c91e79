"""The header of a GGUF file: its metadata and the table of its tensors, without any weights.

A plain reader of the format, so that ``sus-local models list`` needs neither numpy nor llama.cpp.
Arrays (the vocabulary, mostly) are stepped over, but for one that is asked for.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sus_local.errors import InvalidModelError, ModelNotFoundError, from_os_error

MAGIC = b"GGUF"
_SPLIT = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})", re.DOTALL)

Value = int | float | bool | str

_STRING, _ARRAY = 8, 9
_SCALARS: Mapping[int, str] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_MOST_DIMENSIONS = 4

FILE_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
}  # fmt: skip
"""The numbers of ``general.file_type`` and what people call them."""

TENSOR_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S",
    23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16",
    34: "TQ1_0", 35: "TQ2_0",
}  # fmt: skip
"""The numbers of ggml's element types and their names."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A row of the tensor table.

    Attributes:
        name: As in the file.
        shape: Extents, the innermost first, as GGUF keeps them.
        ggml_type: Number of the element type in ggml.
        offset: Bytes from the start of the tensors' part of the file.
    """

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself.

    Attributes:
        metadata: Scalars and texts, by key; arrays are left out.
        tensors: The tensor table.
        tensors_offset: Bytes from the start of the file to the first tensor.
        arrays: Lengths of the arrays, by key.
        texts: The texts of the array that was asked for.
    """

    metadata: Mapping[str, Value]
    tensors: tuple[TensorEntry, ...]
    tensors_offset: int
    arrays: Mapping[str, int] = field(default_factory=dict)
    texts: tuple[bytes, ...] = ()

    @property
    def architecture(self) -> str:
        """``"llama"``, or whatever the file names; empty if it names none."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def file_type(self) -> str:
        """The quantization by its usual name, or ``"?"``."""
        number = self.metadata.get("general.file_type")
        return FILE_TYPES.get(int(number), "?") if isinstance(number, int) else "?"

    @property
    def n_ctx_train(self) -> int:
        """The context length that the model was trained for; 0 if the file does not say."""
        length = self.metadata.get(f"{self.architecture}.context_length", 0)
        return int(length) if isinstance(length, int) else 0

    @property
    def num_parameters(self) -> int:
        """Elements of all tensors of this file."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)


def read_header(path: Path, *, texts: str = "") -> Header:
    """The header of the GGUF file at ``path``.

    Args:
        texts: Key of an array of texts to read as well.

    Raises:
        ModelNotFoundError: There is no such file.
        InvalidModelError: It is no GGUF, or its header is damaged.
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise InvalidModelError(
                    f"{path} is not a GGUF file", hint="sus-local convert makes one", path=str(path)
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return _Reader(view, texts).header()
    except FileNotFoundError as error:
        hint = "sus-local models list"
        raise ModelNotFoundError(f"there is no file {path}", hint=hint, path=str(path)) from error
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error
    except (struct.error, ValueError, OverflowError) as error:
        raise InvalidModelError(
            f"the header of {path} is damaged: {error}",
            hint="convert or download it again",
            path=str(path),
        ) from error


class _Reader:
    """A cursor over the bytes of a header; every read past the end is a ``struct.error``."""

    def __init__(self, view: mmap.mmap, texts: str) -> None:
        self._view = view
        self._at = 4
        self._wanted = texts
        self._texts: tuple[bytes, ...] = ()

    def header(self) -> Header:
        version = self._number("I")
        if version not in (2, 3):
            raise ValueError(f"GGUF version {version} is unknown")
        num_tensors, num_keys = self._number("Q"), self._number("Q")
        metadata: dict[str, Value] = {}
        arrays: dict[str, int] = {}
        for _ in range(num_keys):
            key, kind = self._string(), self._number("I")
            if kind == _ARRAY:
                arrays[key] = self._array(keep=key == self._wanted)
            else:
                metadata[key] = self._value(kind)
        tensors = tuple(self._tensor() for _ in range(num_tensors))
        alignment = int(metadata.get("general.alignment", 32)) or 32
        start = -(-self._at // alignment) * alignment
        return Header(metadata, tensors, start, arrays, self._texts)

    def _number(self, code: str) -> int:
        (number,) = self._unpack(code)
        return int(number)

    def _unpack(self, code: str) -> tuple[Value, ...]:
        values = struct.unpack_from("<" + code, self._view, self._at)
        self._at += struct.calcsize("<" + code)
        return values

    def _string(self) -> str:
        length = self._number("Q")
        if length > len(self._view) - self._at:
            raise ValueError(f"a text of {length} bytes does not fit the file")
        text = self._view[self._at : self._at + length].decode("utf-8", "replace")
        self._at += length
        return text

    def _value(self, kind: int) -> Value:
        if kind in _SCALARS:
            return self._unpack(_SCALARS[kind])[0]
        if kind == _STRING:
            return self._string()
        raise ValueError(f"type {kind} of a value is unknown")

    def _array(self, *, keep: bool) -> int:
        """Step over an array, or keep its texts; gives its length."""
        kind, count = self._number("I"), self._number("Q")
        start = self._at
        if kind in _SCALARS:
            self._at += count * struct.calcsize("<" + _SCALARS[kind])
        elif kind == _STRING:
            self._skip_strings(count)
        else:
            raise ValueError(f"an array of type {kind} is unknown")
        if self._at > len(self._view):
            raise ValueError(f"an array of {count} values does not fit the file")
        if keep and kind == _STRING:
            self._texts = tuple(self._strings(start, count))
        return count

    def _strings(self, at: int, count: int) -> Iterator[bytes]:
        unpack_from, view = struct.Struct("<Q").unpack_from, self._view
        for _ in range(count):
            end = at + 8 + unpack_from(view, at)[0]
            yield view[at + 8 : end]
            at = end

    def _skip_strings(self, count: int) -> None:
        unpack_from, view, at = struct.Struct("<Q").unpack_from, self._view, self._at
        for _ in range(count):
            at += 8 + unpack_from(view, at)[0]
        self._at = at

    def _tensor(self) -> TensorEntry:
        name, num_dimensions = self._string(), self._number("I")
        if num_dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"tensor {name!r} has {num_dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(num_dimensions))
        return TensorEntry(name, shape, self._number("I"), self._number("Q"))


def split_parts(path: Path) -> tuple[Path, ...]:
    """All parts of the split GGUF that ``path`` belongs to, or ``path`` alone.

    >>> [part.name for part in split_parts(Path("a-00002-of-00002.gguf"))]
    ['a-00001-of-00002.gguf', 'a-00002-of-00002.gguf']
    """
    stem, _, total = split_name(path.stem)
    if not total or path.suffix != ".gguf":
        return (path,)
    names = (f"{stem}-{part:05d}-of-{total:05d}.gguf" for part in range(1, total + 1))
    return tuple(path.with_name(name) for name in names)


def split_name(stem: str) -> tuple[str, int, int]:
    """A file's name without its counting, its number and their count; 0, 0 if it is not split.

    >>> split_name("a-00002-of-00002"), split_name("a-00003-of-00002")
    (('a', 2, 2), ('a-00003-of-00002', 0, 0))
    """
    match = _SPLIT.fullmatch(stem)
    name, part, total = (match[1], int(match[2]), int(match[3])) if match else (stem, 0, 0)
    return (name, part, total) if 1 <= part <= total else (stem, 0, 0)
