"""Every tensor is, byte for byte, what llama.cpp's own quantizer makes of the unquantized file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sus_local.convert import convert
from sus_local.convert.imatrix import read_imatrix
from sus_local.convert.mixture import parse_overrides
from sus_local.convert.types import FILE_TYPES

from .checkpoints import write_checkpoint
from .imatrices import random_importances, write_legacy
from .reference import Importances, llama_quantize, read_tensors

LOWEST = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S"]
QUANTIZED = [name for name in FILE_TYPES if name not in ("F32", "F16", "BF16")]
FREE = [name for name in QUANTIZED if name not in LOWEST and name != "IQ3_XS"]


def compare(
    folder: Path,
    dtype: str,
    mixtures: Sequence[str],
    output: Path,
    *,
    imatrix: Path | None = None,
    overrides: Sequence[str] = (),
    pure: bool = False,
) -> None:
    """Convert in one pass to all mixtures; have llama.cpp quantize the unquantized file."""
    options: Mapping[str, Any] = {"imatrix": imatrix, "tensor_types": overrides, "pure": pure}
    convert(str(folder), types=[dtype], output=output / "base.gguf")
    report = convert(str(folder), types=mixtures, output=output / "all", **options)
    importances: Importances | None = None
    if imatrix is not None:
        importances = read_imatrix(imatrix).entries
    patterns = [(each.pattern.pattern, each.type) for each in parse_overrides(overrides)]
    assert [made.type for made in report.outputs] == list(mixtures)
    for made in report.outputs:
        expected = output / "expected.gguf"
        llama_quantize(
            output / "base.gguf",
            expected,
            made.type,
            imatrix=importances,
            overrides=patterns,
            pure=pure,
        )
        assert_same(made.path, expected, made.type)


def assert_same(found: Path, expected: Path, what: str) -> None:
    ours, theirs = read_tensors(found), read_tensors(expected)
    assert ours.keys() == theirs.keys()
    for name, (kind, data) in theirs.items():
        assert ours[name][0] == kind, (what, name)
        assert ours[name][1] == data, (what, name, kind)


@pytest.mark.model
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_equals_llama_cpp_in_every_type_without_importances(tmp_path: Path, dtype: str) -> None:
    folder = write_checkpoint(
        tmp_path / "in", hidden=256, ffn=256, num_heads=8, num_kv_heads=2, dtype=dtype, num_shards=2
    )
    mixtures = FREE if dtype == "BF16" else ["Q4_K_M", "Q8_0", "Q5_1", "IQ4_NL", "BF16", "F16"]
    compare(folder, dtype, [name for name in mixtures if name != dtype], tmp_path)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("shape", [{"num_kv_heads": 8}, {"num_kv_heads": 2, "tied": True}])
def test_equals_llama_cpp_in_every_type_with_importances(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    folder = write_checkpoint(tmp_path / "in", hidden=256, ffn=256, num_heads=8, **shape)
    imatrix = write_legacy(tmp_path / "imatrix.dat", random_importances(256, 256, 2))
    compare(folder, "BF16", QUANTIZED, tmp_path, imatrix=imatrix)


@pytest.mark.model
@pytest.mark.parametrize(
    "shape",
    [
        {"num_layers": 60, "hidden": 32, "ffn": 256, "num_heads": 8, "num_kv_heads": 1},
        {"num_layers": 60, "hidden": 64, "ffn": 96, "num_heads": 8, "num_kv_heads": 4},
        {"num_layers": 4, "hidden": 256, "ffn": 512, "num_heads": 4, "tied": True},
        {"num_layers": 3, "hidden": 96, "ffn": 160, "num_heads": 4, "num_kv_heads": 4},
        {"num_layers": 3, "hidden": 40, "ffn": 256, "num_heads": 4, "bias": True},
    ],
)
def test_equals_llama_cpp_in_every_shape(tmp_path: Path, shape: dict[str, Any]) -> None:
    folder = write_checkpoint(tmp_path / "in", num_shards=3, **shape)
    mixtures = ["Q4_K_M", "Q5_K_M", "Q3_K_L", "Q2_K", "Q4_K_S", "Q6_K", "Q5_0", "IQ4_XS", "TQ2_0"]
    compare(folder, "BF16", mixtures, tmp_path)


@pytest.mark.model
@pytest.mark.parametrize("pure", [False, True])
def test_equals_llama_cpp_with_overrides_and_pure(tmp_path: Path, pure: bool) -> None:
    folder = write_checkpoint(tmp_path / "in", hidden=256, ffn=256, num_heads=8, num_layers=8)
    overrides = ["ffn_down=Q8_0", "blk.1.attn_v=f16", "token_embd=bf16", "ffn_up=F32"]
    compare(folder, "BF16", ["Q4_K_M", "Q4_0"], tmp_path, overrides=overrides, pure=pure)


@pytest.mark.model
def test_chunks_of_large_tensors_meet_without_a_seam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.convert.stream.CHUNK_BYTES", 4 * 256 * 24)
    folder = write_checkpoint(tmp_path / "in", hidden=256, ffn=320, num_heads=8, bias=True)
    compare(folder, "BF16", ["Q4_K_M", "Q8_0", "F32"], tmp_path)


@pytest.mark.model
def test_rows_of_queries_and_keys_come_in_rotary_pairs(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "in", hidden=64, num_heads=4, num_kv_heads=2, dtype="F32")
    report = convert(str(folder), types=["F32"], output=tmp_path / "out.gguf")
    tensors = read_tensors(report.outputs[0].path)
    from safetensors.numpy import load_file

    source = load_file(folder / "model.safetensors")
    for name, letter, heads in (("attn_q", "q", 4), ("attn_k", "k", 2)):
        rows = source[f"model.layers.0.self_attn.{letter}_proj.weight"]
        expected = np.stack(
            [
                rows[16 * head + 8 * half + pair]
                for head in range(heads)
                for pair in range(8)
                for half in range(2)
            ]
        )
        assert tensors[f"blk.0.{name}.weight"][1] == expected.tobytes()
