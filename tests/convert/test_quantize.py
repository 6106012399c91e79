"""Rows in, bytes out; and the weights that are refused."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import pytest

from sus_local.convert.quantize import Rows, interleave, is_finite, quantize, to_float32
from sus_local.convert.types import TENSOR_TYPES, row_bytes
from sus_local.errors import NonFiniteError

from .checkpoints import encode


def rows_of(values: npt.NDArray[np.float32], dtype: str = "F32", first: int = 0) -> Rows:
    return Rows.of(encode(values, dtype), dtype, values.shape[1], "a", first)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_every_source_type_becomes_float32_exactly(dtype: str) -> None:
    values = np.array([[0.0, -0.0, 1.0, -2.5], [2.0**-14, 3.140625, -65504.0, 0.5]], np.float32)
    floats = to_float32(rows_of(values, dtype).values, dtype)
    expected = values
    if dtype == "BF16":
        expected = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert floats.tobytes() == expected.tobytes()


def test_rows_that_are_not_aligned_are_read_as_well() -> None:
    raw = b"x" + np.arange(8, dtype="<f4").tobytes()
    values = Rows.of(memoryview(raw)[1:], "F32", 4, "a").values
    assert values.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert values.flags.aligned


@pytest.mark.parametrize("kind", ["F32", "BF16", "F16", "Q8_0", "Q4_K"])
def test_gives_as_many_bytes_as_the_type_has(kind: str) -> None:
    made = quantize(rows_of(np.ones((3, 256), np.float32)), [kind])
    assert made[kind].nbytes == 3 * row_bytes(kind, 256)
    assert kind in TENSOR_TYPES


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_blocks_make_what_a_whole_makes(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows = rows_of(random.standard_normal((12, 512), np.float32), dtype)
    types, importance = ["Q4_K", "F32", "F16", "Q6_K", "BF16"], random.random(512, np.float32)
    whole = quantize(rows, types, head_dim=4, importance=importance)
    monkeypatch.setattr("sus_local.convert.quantize.BLOCK_BYTES", 4 * 512 * 5)
    assert quantize(rows, types, head_dim=4, importance=importance) == whole
    assert whole[dtype] == interleave(rows.values, 4).tobytes()
    assert whole["F32"] == to_float32(interleave(rows.values, 4), dtype).tobytes()
    assert all(quantize(rows, [kind], head_dim=4)[kind] == whole[kind] for kind in (dtype, "F32"))


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_names_the_first_weight_that_is_not_finite(
    value: float, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One row a block; in the order of the output the other one would come first.
    monkeypatch.setattr("sus_local.convert.quantize.BLOCK_BYTES", 1)
    values = np.zeros((4, 32), np.float32)
    values[1, 5] = values[2, 1] = value
    for types in ([dtype], ["Q8_0"]):
        with pytest.raises(NonFiniteError, match=r"a is .* at row 101, column 5") as caught:
            quantize(rows_of(values, dtype, first=100), types, head_dim=4)
        assert caught.value.index == (101, 5)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_knows_every_pattern_that_is_not_finite(dtype: str) -> None:
    patterns = np.arange(1 << 16, dtype="<u2").reshape(-1, 1)
    expected = np.isfinite(to_float32(patterns, dtype)).ravel().tolist()
    assert [is_finite(pattern, dtype) for pattern in patterns] == expected


def test_takes_the_largest_finite_weights() -> None:
    assert is_finite(np.array([[3.4e38, -3.4e38]], np.float32), "F32")


def test_a_thread_keeps_its_rows_while_another_converts() -> None:
    one = to_float32(rows_of(np.ones((2, 4), np.float32), "BF16").values, "BF16")
    zeros = rows_of(np.zeros((2, 4), np.float32), "BF16").values
    other = threading.Thread(target=lambda: to_float32(zeros, "BF16"), name="other")
    other.start()
    other.join()
    assert one.tolist() == [[1] * 4] * 2


def test_refuses_weights_too_large_for_f16() -> None:
    with pytest.raises(NonFiniteError, match="a has values too large for F16, up to 1e"):
        quantize(rows_of(np.full((1, 32), 1e6, np.float32)), ["F16"])


def test_interleaving_undoes_the_two_halves_of_each_head() -> None:
    # Row 10 h + i is the i-th of head h; halves 0-1 and 2-3 become pairs.
    rows = np.array([[0], [1], [2], [3], [10], [11], [12], [13]])
    assert interleave(rows, 4).ravel().tolist() == [0, 2, 1, 3, 10, 12, 11, 13]
