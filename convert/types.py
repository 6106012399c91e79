"""The types of GGUF: those of one tensor, and the mixtures of them that a file has.

Both go by llama.cpp's names.

>>> row_bytes("Q4_K", 256), FILE_TYPES["Q4_K_M"].base
(144, 'Q4_K')
"""

from __future__ import annotations

from dataclasses import dataclass

from sus_local import header
from sus_local.errors import ConvertError


@dataclass(frozen=True, slots=True)
class TensorType:
    """How one tensor is stored.

    Attributes:
        id: ggml's number of the type.
        block: Elements that are stored together; a row has a multiple of it.
        bytes: Bytes of a block.
    """

    id: int
    block: int
    bytes: int


_SIZES = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74),
    "IQ3_XXS": (256, 98),
    "IQ1_S": (256, 50),
    "IQ4_NL": (32, 18),
    "IQ3_S": (256, 110),
    "IQ2_S": (256, 82),
    "IQ4_XS": (256, 136),
    "IQ1_M": (256, 56),
    "TQ1_0": (256, 54),
    "TQ2_0": (256, 66),
}
_TENSOR_IDS = {name: number for number, name in header.TENSOR_TYPES.items()}
TENSOR_TYPES = {name: TensorType(_TENSOR_IDS[name], *sizes) for name, sizes in _SIZES.items()}
"""The types of a tensor."""

PLAIN = ("F32", "F16", "BF16")
"""The types that are not quantized."""


@dataclass(frozen=True, slots=True)
class FileType:
    """A mixture.

    Attributes:
        id: llama.cpp's number, ``general.file_type``.
        base: The type of most tensors.
    """

    id: int
    base: str


_BASES = {
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "Q8_0": "Q8_0",
    "Q4_0": "Q4_0",
    "Q4_1": "Q4_1",
    "Q5_0": "Q5_0",
    "Q5_1": "Q5_1",
    "Q2_K": "Q2_K",
    "Q2_K_S": "Q2_K",
    "Q3_K_S": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K",
    "Q4_K_M": "Q4_K",
    "Q5_K_S": "Q5_K",
    "Q5_K_M": "Q5_K",
    "Q6_K": "Q6_K",
    "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS",
    "IQ3_XXS": "IQ3_XXS",
    "IQ3_XS": "IQ3_S",
    "IQ3_S": "IQ3_S",
    "IQ3_M": "IQ3_S",
    "IQ2_XXS": "IQ2_XXS",
    "IQ2_XS": "IQ2_XS",
    "IQ2_S": "IQ2_XS",
    "IQ2_M": "IQ2_S",
    "IQ1_S": "IQ1_S",
    "IQ1_M": "IQ1_M",
    "TQ1_0": "TQ1_0",
    "TQ2_0": "TQ2_0",
}
_FILE_IDS = {name: number for number, name in header.FILE_TYPES.items()}
FILE_TYPES = {name: FileType(_FILE_IDS[name], base) for name, base in _BASES.items()}
"""The mixtures that a file can be written in."""


def file_type(name: str) -> str:
    """The canonical name of a mixture.

    >>> file_type("q4_k_m")
    'Q4_K_M'

    Raises:
        ConvertError: There is none of that name.
    """
    found = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}.get(name.upper(), name.upper())
    if found not in FILE_TYPES:
        raise ConvertError(f"no type {name!r}", hint=f"types: {', '.join(FILE_TYPES)}", type=name)
    return found


def row_bytes(tensor_type: str, columns: int) -> int:
    """Bytes of a row of ``columns`` elements, a multiple of the type's block."""
    stored = TENSOR_TYPES[tensor_type]
    return columns // stored.block * stored.bytes
