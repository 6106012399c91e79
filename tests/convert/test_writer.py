"""The front of a GGUF file, read back by gguf's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local.convert.fields import (
    Float32,
    Float32s,
    Int32,
    Int32s,
    Texts,
    UInt16,
    UInt32,
    Value,
)
from sus_local.convert.tensors import TensorSpec
from sus_local.convert.types import TENSOR_TYPES, file_type, row_bytes
from sus_local.convert.writer import ALIGNMENT, lay_out, part_name
from sus_local.errors import ConvertError

FIELDS: dict[str, Value] = {
    "general.architecture": "llama",
    "text": "你好",
    "yes": True,
    "u16": UInt16(7),
    "u32": UInt32(4_000_000_000),
    "i32": Int32(-5),
    "f32": Float32(0.5),
    "texts": Texts([b"a", "▁好".encode()]),
    "floats": Float32s([0.25, -1.0]),
    "ints": Int32s([1, -2, 3]),
}
SPECS = [
    TensorSpec("a.weight", "", (3, 32)),
    TensorSpec("b.weight", "", (5,)),
    TensorSpec("c.weight", "", (2, 256)),
]
TYPES = {"a.weight": "Q8_0", "b.weight": "F32", "c.weight": "Q4_K"}


def test_gguf_reads_what_was_written(tmp_path: Path) -> None:
    from gguf import GGUFReader

    layout = lay_out(FIELDS, SPECS, TYPES)
    path = tmp_path / "a.gguf"
    path.write_bytes(layout.parts[0].header.ljust(layout.size, b"\0"))
    reader = GGUFReader(path)
    for key, value in FIELDS.items():
        field = reader.get_field(key)
        assert field is not None
        expected = getattr(value, "value", getattr(value, "values", value))
        if isinstance(value, Texts):
            expected = [text.decode() for text in value.values]
        assert field.contents() == expected, key
    for spec, tensor in zip(SPECS, reader.tensors, strict=True):
        place = layout.places[spec.name]
        assert tensor.name == spec.name
        assert tuple(int(n) for n in tensor.shape) == spec.shape[::-1]
        assert int(tensor.data_offset) == place.offset
        assert int(tensor.n_bytes) == place.size
        assert place.offset % ALIGNMENT == 0


def test_a_split_output_has_llama_cpps_keys_and_all_tensors(tmp_path: Path) -> None:
    from gguf import GGUFReader

    layout = lay_out(FIELDS, SPECS, TYPES, split_size=150)
    assert len(layout.parts) == 3
    seen: list[str] = []
    for number, part in enumerate(layout.parts):
        path = tmp_path / part_name("a.gguf", number, 3)
        path.write_bytes(part.header.ljust(part.size, b"\0"))
        reader = GGUFReader(path)
        found = {key: reader.get_field(key) for key in ("split.no", "split.count", "text")}
        assert found["split.no"].contents() == number  # type: ignore[union-attr]
        assert found["split.count"].contents() == 3  # type: ignore[union-attr]
        assert (found["text"] is not None) == (number == 0)
        seen += [tensor.name for tensor in reader.tensors]
    assert seen == [spec.name for spec in SPECS]


@pytest.mark.parametrize("kind", TENSOR_TYPES)
def test_sizes_are_those_of_gguf(kind: str) -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    stored = TENSOR_TYPES[kind]
    assert GGMLQuantizationType[kind].value == stored.id
    assert GGML_QUANT_SIZES[GGMLQuantizationType[kind]] == (stored.block, stored.bytes)
    assert row_bytes(kind, 512) == 512 // stored.block * stored.bytes


def test_a_part_has_one_ending_whatever_its_capitals() -> None:
    assert part_name("M.GGUF", 1, 3) == "M-00002-of-00003.gguf"
    assert part_name("M.GGUF", 0, 1) == "M.GGUF"


def test_types_go_by_any_capitals() -> None:
    assert file_type("iq4_nl") == "IQ4_NL"
    assert file_type("q4_k") == "Q4_K_M"
    with pytest.raises(ConvertError, match="q9"):
        file_type("q9")
