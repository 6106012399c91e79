"""The types of GGUF: those of one tensor, and the mixtures of them that a file has.

Both go by llama.cpp's names.

>>> row_bytes("Q4_K", 256), FILE_TYPES["Q4_K_M"].base
(144, 'Q4_K')
"""

from __future__ import annotations

from dataclasses import dataclass

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


TENSOR_TYPES = {
    "F32": TensorType(0, 1, 4),
    "F16": TensorType(1, 1, 2),
    "BF16": TensorType(30, 1, 2),
    "Q4_0": TensorType(2, 32, 18),
    "Q4_1": TensorType(3, 32, 20),
    "Q5_0": TensorType(6, 32, 22),
    "Q5_1": TensorType(7, 32, 24),
    "Q8_0": TensorType(8, 32, 34),
    "Q2_K": TensorType(10, 256, 84),
    "Q3_K": TensorType(11, 256, 110),
    "Q4_K": TensorType(12, 256, 144),
    "Q5_K": TensorType(13, 256, 176),
    "Q6_K": TensorType(14, 256, 210),
    "IQ2_XXS": TensorType(16, 256, 66),
    "IQ2_XS": TensorType(17, 256, 74),
    "IQ3_XXS": TensorType(18, 256, 98),
    "IQ1_S": TensorType(19, 256, 50),
    "IQ4_NL": TensorType(20, 32, 18),
    "IQ3_S": TensorType(21, 256, 110),
    "IQ2_S": TensorType(22, 256, 82),
    "IQ4_XS": TensorType(23, 256, 136),
    "IQ1_M": TensorType(29, 256, 56),
    "TQ1_0": TensorType(34, 256, 54),
    "TQ2_0": TensorType(35, 256, 66),
}
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


FILE_TYPES = {
    "F32": FileType(0, "F32"),
    "F16": FileType(1, "F16"),
    "BF16": FileType(32, "BF16"),
    "Q8_0": FileType(7, "Q8_0"),
    "Q4_0": FileType(2, "Q4_0"),
    "Q4_1": FileType(3, "Q4_1"),
    "Q5_0": FileType(8, "Q5_0"),
    "Q5_1": FileType(9, "Q5_1"),
    "Q2_K": FileType(10, "Q2_K"),
    "Q2_K_S": FileType(21, "Q2_K"),
    "Q3_K_S": FileType(11, "Q3_K"),
    "Q3_K_M": FileType(12, "Q3_K"),
    "Q3_K_L": FileType(13, "Q3_K"),
    "Q4_K_S": FileType(14, "Q4_K"),
    "Q4_K_M": FileType(15, "Q4_K"),
    "Q5_K_S": FileType(16, "Q5_K"),
    "Q5_K_M": FileType(17, "Q5_K"),
    "Q6_K": FileType(18, "Q6_K"),
    "IQ4_NL": FileType(25, "IQ4_NL"),
    "IQ4_XS": FileType(30, "IQ4_XS"),
    "IQ3_XXS": FileType(23, "IQ3_XXS"),
    "IQ3_XS": FileType(22, "IQ3_S"),
    "IQ3_S": FileType(26, "IQ3_S"),
    "IQ3_M": FileType(27, "IQ3_S"),
    "IQ2_XXS": FileType(19, "IQ2_XXS"),
    "IQ2_XS": FileType(20, "IQ2_XS"),
    "IQ2_S": FileType(28, "IQ2_XS"),
    "IQ2_M": FileType(29, "IQ2_S"),
    "IQ1_S": FileType(24, "IQ1_S"),
    "IQ1_M": FileType(31, "IQ1_M"),
    "TQ1_0": FileType(36, "TQ1_0"),
    "TQ2_0": FileType(37, "TQ2_0"),
}
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
