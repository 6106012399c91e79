"""Importance matrices in both formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sus_local.convert.imatrix import read_imatrix
from sus_local.errors import ImatrixError, StorageError

from .imatrices import random_importances, write_gguf, write_legacy

VALUES = random_importances(64, 96, 2)


@pytest.mark.parametrize("write", [write_legacy, write_gguf])
def test_both_formats_say_the_same(tmp_path: Path, write: object) -> None:
    path = write(tmp_path / "imatrix.x", VALUES)  # type: ignore[operator]
    imatrix = read_imatrix(path)
    assert imatrix.datasets == ("texts.txt",)
    assert imatrix.chunks == 3
    assert imatrix.entries.keys() == VALUES.keys()
    for name, expected in VALUES.items():
        np.testing.assert_allclose(imatrix.entries[name], expected, rtol=1e-6)
        assert imatrix.entries[name].dtype == np.float32


def test_a_tensor_that_was_never_used_has_importance_one(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "i.gguf", {"a.weight": np.ones(8, np.float32)}, count=0)
    assert read_imatrix(path).entries["a.weight"].tolist() == [1.0] * 8


def test_another_number_of_columns_is_refused(tmp_path: Path) -> None:
    imatrix = read_imatrix(write_legacy(tmp_path / "i.dat", VALUES))
    assert imatrix.importance("blk.0.ffn_down.weight", 96) is not None
    assert imatrix.importance("nothing", 96) is None
    with pytest.raises(ImatrixError, match=r"96 values .* 128 columns"):
        imatrix.importance("blk.0.ffn_down.weight", 128)


def test_the_embedding_may_differ_as_llama_cpp_allows(tmp_path: Path) -> None:
    values = {"token_embd.weight": np.ones(8, np.float32)}
    imatrix = read_imatrix(write_legacy(tmp_path / "i.dat", values))
    assert imatrix.importance("token_embd.weight", 16) is None


@pytest.mark.parametrize("keep", [0, 3, 10, 30, 200, -1])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_legacy(tmp_path / "i.dat", {"a.weight": np.ones(64, np.float32)})
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) - 30] if keep < 0 else raw[:keep])
    with pytest.raises(ImatrixError):
        read_imatrix(path)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "i.dat", {"a.weight": np.array([1, np.inf], np.float32)})
    with pytest.raises(ImatrixError, match="finite"):
        read_imatrix(path)


def test_a_gguf_of_another_kind_is_refused(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "i.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ImatrixError, match=r"imatrix\.datasets"):
        read_imatrix(tmp_path / "i.gguf")


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        read_imatrix(tmp_path / "nowhere")
