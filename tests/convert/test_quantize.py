"""Rows in, bytes out; and the weights that are refused."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest

from sus_local.convert.quantize import (
    interleave,
    is_finite,
    not_finite,
    quantize,
    source_rows,
    to_float32,
)
from sus_local.convert.types import TENSOR_TYPES, row_bytes
from sus_local.errors import NonFiniteError

from .checkpoints import encode


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_every_source_type_becomes_float32_exactly(dtype: str) -> None:
    values = np.array([[0.0, -0.0, 1.0, -2.5], [2.0**-14, 3.140625, -65504.0, 0.5]], np.float32)
    rows = to_float32(source_rows(encode(values, dtype), dtype, 4), dtype)
    expected = values
    if dtype == "BF16":
        expected = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert rows.tobytes() == expected.tobytes()


def test_rows_that_are_not_aligned_are_read_as_well() -> None:
    raw = b"x" + np.arange(8, dtype="<f4").tobytes()
    rows = to_float32(source_rows(memoryview(raw)[1:], "F32", 4), "F32")
    assert rows.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rows.flags.aligned


@pytest.mark.parametrize("kind", ["F32", "BF16", "F16", "Q8_0", "Q4_K"])
def test_gives_as_many_bytes_as_the_type_has(kind: str) -> None:
    rows = np.ones((3, 256), np.float32)
    assert quantize(rows, kind, None, "a").nbytes == 3 * row_bytes(kind, 256)
    assert kind in TENSOR_TYPES


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_names_the_first_weight_that_is_not_finite(value: float) -> None:
    rows = np.zeros((4, 8), np.float32)
    rows[2, 5] = rows[3, 1] = value
    assert not is_finite(rows)
    error = not_finite(rows, "lm_head", 100)
    assert error.index == (102, 5)
    assert re.match(r"lm_head is .* at row 102, column 5", error.message)


def test_takes_the_largest_finite_weights() -> None:
    assert is_finite(np.array([[3.4e38, -3.4e38]], np.float32))


def test_a_thread_keeps_its_rows_while_another_converts() -> None:
    one = to_float32(source_rows(encode(np.ones((2, 4), np.float32), "BF16"), "BF16", 4), "BF16")
    other = threading.Thread(
        target=lambda: to_float32(source_rows(bytes(16), "BF16", 4), "BF16"), name="other"
    )
    other.start()
    other.join()
    assert one.tolist() == [[1] * 4] * 2


def test_refuses_weights_too_large_for_f16() -> None:
    with pytest.raises(NonFiniteError, match="too large for F16"):
        quantize(np.full((1, 32), 1e6, np.float32), "F16", None, "a")


def test_interleaving_undoes_the_two_halves_of_each_head() -> None:
    # Row 10 h + i is the i-th of head h; halves 0-1 and 2-3 become pairs.
    rows = np.array([[0], [1], [2], [3], [10], [11], [12], [13]])
    assert interleave(rows, 4).ravel().tolist() == [0, 2, 1, 3, 10, 12, 11, 13]
