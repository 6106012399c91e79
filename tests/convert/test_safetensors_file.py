from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from sus_local.convert.safetensors_file import MAX_HEADER_BYTES, header_length, parse, read_header
from sus_local.errors import CheckpointError, ShardError, TensorError

from .checkpoints import random_tensors, safetensors_bytes, with_header

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def read(content: bytes) -> list[Any]:
    return list(parse(content, name="m.safetensors", size=len(content)))


def with_entry(num_bytes: int = 8, **changes: Any) -> bytes:
    return with_header({"w": {**ENTRY, **changes}}) + bytes(num_bytes)


def test_tensors_come_in_file_order_with_offsets_into_the_file() -> None:
    content = safetensors_bytes(random_tensors({"b": (2, 3), "a": (4,)}))
    first, second = read(content)
    assert [first.name, second.name] == ["b", "a"]
    assert second.start == first.end
    assert second.end == len(content)
    assert first.num_bytes == 2 * 3 * 2


def test_header_is_read_without_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes(random_tensors({"w": (3, 4)}, dtype="F16")))
    [tensor] = read_header(path)
    assert (tensor.dtype, tensor.shape, tensor.shard) == ("F16", (3, 4), "m.safetensors")


@pytest.mark.parametrize("size", [0, 1, 7])
def test_file_shorter_than_a_length_is_truncated(size: int) -> None:
    with pytest.raises(ShardError, match=f"truncated: it has {size} bytes of 8"):
        read(bytes(size))


def test_every_truncation_is_noticed() -> None:
    content = safetensors_bytes(random_tensors({"w": (3, 4), "v": (5,)}))
    for size in range(len(content)):
        with pytest.raises(ShardError) as caught:
            read(content[:size])
        assert caught.value.size == size
        assert caught.value.expected_size > size


def test_bytes_after_the_last_tensor_are_refused() -> None:
    with pytest.raises(ShardError, match="3 more than its header tells"):
        read(with_entry(num_bytes=11))


def test_header_of_a_terabyte_is_refused_before_it_is_read() -> None:
    with pytest.raises(ShardError, match="not a safetensors file"):
        header_length((1 << 40).to_bytes(8, "little"), name="m", size=1 << 41)


def test_longest_allowed_header_must_fit_the_file() -> None:
    with pytest.raises(ShardError, match="truncated"):
        header_length(MAX_HEADER_BYTES.to_bytes(8, "little"), name="m", size=100)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"w": NaN}',
        b'{"w": 1, "w": 2}',
        b"[" * 100_000,
        b"9" * 5_000,
        b'{"\\ud800": {}}',
    ],
)
def test_header_that_is_no_object_of_tensors_is_damaged(text: bytes) -> None:
    with pytest.raises(ShardError, match="damaged safetensors header") as caught:
        read(len(text).to_bytes(8, "little") + text)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": None},
        {"shape": 2},
        {"shape": [-2]},
        {"shape": [2.0]},
        {"shape": [True, 2]},
        {"shape": ["2"]},
        {"shape": [1 << 63]},
        {"shape": [1] * 33},
        {"data_offsets": [0]},
        {"data_offsets": [0, 4, 8]},
        {"data_offsets": [8, 0]},
        {"data_offsets": [-8, 0]},
        {"data_offsets": [0, 1e3]},
        {"data_offsets": [0, 1 << 64]},
        {"data_offsets": "0-8"},
    ],
)
def test_hostile_numbers_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ShardError, match="damaged safetensors header"):
        read(with_entry(**changes))


@pytest.mark.parametrize("key", ["dtype", "shape", "data_offsets"])
def test_entry_without_a_key_is_refused(key: str) -> None:
    entry = {name: value for name, value in ENTRY.items() if name != key}
    with pytest.raises(ShardError, match="no dtype, shape and data_offsets"):
        read(with_header({"w": entry}) + bytes(8))


@pytest.mark.parametrize("dtype", ["Q4_0", "f32", "", 32, None, ["F32"]])
def test_unknown_type_is_named(dtype: object) -> None:
    with pytest.raises(TensorError, match="unknown type") as caught:
        read(with_entry(dtype=dtype))
    assert caught.value.tensor == "w"


@pytest.mark.parametrize("shape", [[], [1], [3], [2, 2], [1 << 62, 1 << 62], [0]])
def test_shape_and_length_must_agree(shape: list[int]) -> None:
    with pytest.raises(TensorError, match="has 8 bytes, not"):
        read(with_entry(shape=shape))


@pytest.mark.parametrize(("start", "why"), [(4, "overlaps"), (12, "leaves a gap")])
def test_tensors_must_follow_each_other(start: int, why: str) -> None:
    header = {"a": ENTRY, "b": {**ENTRY, "data_offsets": [start, start + 8]}}
    with pytest.raises(ShardError, match=f"'b' {why}"):
        read(with_header(header) + bytes(start + 8))


def test_first_tensor_must_follow_the_header() -> None:
    with pytest.raises(ShardError, match="leaves a gap"):
        read(with_entry(num_bytes=16, data_offsets=[8, 16]))


def test_empty_tensors_and_scalars_are_tensors() -> None:
    header = {
        "none": {"dtype": "F32", "shape": [0, 4], "data_offsets": [0, 0]},
        "one": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
    }
    assert [t.num_values for t in read(with_header(header) + bytes(4))] == [0, 1]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["F32", "BF16"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NUMBERS = st.integers() | st.integers(0, 64) | st.floats() | st.booleans()
ENTRIES = st.dictionaries(
    st.text(max_size=8) | st.just("__metadata__"),
    st.fixed_dictionaries(
        {},
        optional={
            "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "F4"]) | JSON,
            "shape": st.lists(NUMBERS, max_size=4) | JSON,
            "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2) | JSON,
        },
    )
    | JSON,
    max_size=4,
)


def accepts(content: bytes) -> bool:
    """Whether it parses; anything but a CheckpointError escapes and fails the test."""
    try:
        read(content)
        return True
    except CheckpointError as error:
        message = error.message
    assert "\n" not in message
    assert len(message) < 1000
    return False


def library_accepts(content: bytes) -> bool:
    try:
        safetensors.deserialize(content)
    except safetensors.SafetensorError:
        return False
    return True


@given(content=st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(content: bytes) -> None:
    accepts(content)
    accepts(len(content).to_bytes(8, "little") + content)


@given(header=ENTRIES, tail=st.binary(max_size=64))
@settings(max_examples=300)
def test_what_it_accepts_the_library_accepts(header: dict[str, Any], tail: bytes) -> None:
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + tail
    if accepts(content):
        assert library_accepts(content)


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=5),
    dtypes=st.lists(
        st.sampled_from(["float32", "float16", "int8", "uint64", "bool"]), min_size=5, max_size=5
    ),
)
def test_it_reads_what_the_library_writes(shapes: list[list[int]], dtypes: list[str]) -> None:
    arrays = {
        f"t{i}": np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
        for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=False))
    }
    content = safetensors.numpy.save(arrays)
    tensors = read(content)
    assert {t.name: t.shape for t in tensors} == {n: a.shape for n, a in arrays.items()}
    for tensor in tensors:
        assert content[tensor.start : tensor.end] == arrays[tensor.name].tobytes()


@given(flips=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300)
def test_damaged_headers_are_refused_or_still_agree_with_the_library(
    flips: list[tuple[int, int]],
) -> None:
    content = bytearray(safetensors_bytes(random_tensors({"a": (2, 3), "b": (4,)})))
    for place, value in flips:
        content[place] = value
    if accepts(bytes(content)):
        assert library_accepts(bytes(content))


def test_the_library_reads_what_the_tests_write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        path.write_bytes(safetensors_bytes(random_tensors({"w": (2, 2)}, dtype="F32")))
        with safetensors.safe_open(path, "np") as file:
            assert file.get_tensor("w").shape == (2, 2)
