from __future__ import annotations

import importlib.util
import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sus_local.convert import convert
from sus_local.convert.source import open_source
from sus_local.convert.torch_file import file_sha256
from sus_local.errors import ConvertError, ShardError, TensorError

from .checkpoints import write_checkpoint, write_json

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="the extra torch is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose weights are still missing."""
    folder = write_checkpoint(tmp_path / "checkpoint")
    (folder / "model.safetensors").unlink()
    return folder


def save(path: Path, content: Any, **options: Any) -> None:
    import torch

    torch.save(content, path, **options)


def test_without_torch_the_error_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConvertError, match="bin needs torch") as caught:
        open_source(str(folder))
    assert 'pip install "sus-local[torch]"' in caught.value.hint
    assert caught.value.extra == "torch"


def test_safetensors_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = write_checkpoint(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"not looked at")
    assert open_source(str(folder)).shards[0].name == "model.safetensors"


@needs_torch
@pytest.mark.parametrize(
    ("dtype", "told"), [("bfloat16", "BF16"), ("float16", "F16"), ("float32", "F32")]
)
def test_tensors_are_those_that_torch_saved(folder: Path, dtype: str, told: str) -> None:
    import torch

    values = torch.randn(6, 4).to(getattr(torch, dtype))
    save(folder / "pytorch_model.bin", {"a": values, "b": values[1:3], "c": values.T})
    source = open_source(str(folder))
    assert {name: t.shape for name, t in source.tensors.items()} == {
        "a": (6, 4),
        "b": (2, 4),
        "c": (4, 6),
    }
    assert {t.dtype for t in source.tensors.values()} == {told}
    [shard] = source.shards
    with source.open(shard) as reader:
        for name, tensor in {"a": values, "b": values[1:3], "c": values.T}.items():
            expected = tensor.contiguous().view(torch.uint8).numpy().tobytes()
            info = source.tensors[name]
            assert bytes(reader.read(info)) == expected
            assert bytes(reader.read(info, 4, 12)) == expected[4:12]
            reader.drop(info)
        assert len(reader.sha256()) == 64


def test_hashing_ends_when_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(3 << 20))
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) == 2

    with pytest.raises(ValueError, match="was closed"):
        file_sha256(path, stopped=stopped)
    assert len(asked) == 2


@needs_torch
def test_shards_follow_their_index(folder: Path) -> None:
    import torch

    names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    save(folder / names[0], {"a": torch.zeros(2)})
    save(folder / names[1], {"b": torch.ones(3)})
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    write_json(folder / "pytorch_model.bin.index.json", index)
    source = open_source(str(folder))
    assert [shard.name for shard in source.shards] == names
    assert source.tensors["b"].shard == names[1]


class Hostile:
    """Would run a command, if anybody unpickled it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hostile",)


@needs_torch
def test_code_in_a_file_is_refused_and_does_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    save(folder / "pytorch_model.bin", {"a": Hostile()})
    with pytest.raises(ShardError, match="is damaged") as caught:
        open_source(str(folder))
    assert "\n" not in caught.value.message
    assert not (folder / "hostile").exists()


@needs_torch
@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {1: 2}, None])
def test_what_holds_no_tensors_is_refused(folder: Path, content: Any) -> None:
    save(folder / "pytorch_model.bin", content)
    with pytest.raises(ShardError, match="hold"):
        open_source(str(folder))


@needs_torch
def test_sparse_tensors_are_refused(folder: Path) -> None:
    import torch

    save(folder / "pytorch_model.bin", {"a": torch.eye(3).to_sparse()})
    with pytest.raises(TensorError, match="not densely"):
        open_source(str(folder))


@needs_torch
def test_truncation_is_noticed(folder: Path) -> None:
    import torch

    path = folder / "pytorch_model.bin"
    save(path, {"a": torch.zeros(1000)})
    content = path.read_bytes()
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ShardError, match="is damaged"):
            open_source(str(folder))


@needs_torch
def test_a_zip_that_is_no_torch_file_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as file:
        file.writestr("hello.txt", "hello")
    with pytest.raises(ShardError, match="is damaged"):
        open_source(str(folder))


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_the_old_format_cannot_be_mapped_and_is_refused(folder: Path) -> None:
    import torch

    path = folder / "pytorch_model.bin"
    save(path, {"a": torch.zeros(10)}, _use_new_zipfile_serialization=False)
    with pytest.raises(ShardError, match="is in torch's old format"):
        open_source(str(folder))


def test_the_old_format_is_not_called_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, **options: Any) -> None:
        raise RuntimeError("mmap can only be used with files saved with …")

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=load))
    path = folder / "pytorch_model.bin"
    path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    with pytest.raises(ShardError, match="is in torch's old format") as caught:
        open_source(str(folder))
    assert "torch.save(torch.load('pytorch_model.bin')" in caught.value.hint
    path.write_bytes(b"<html>")
    with pytest.raises(ShardError, match="is damaged: mmap can only"):
        open_source(str(folder))


@needs_torch
@pytest.mark.model
def test_a_torch_checkpoint_becomes_what_its_safetensors_become(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = write_checkpoint(tmp_path / "in", dtype="F16")
    whole = convert(str(folder), types=["Q4_K_M"], output=tmp_path / "a.gguf").outputs[0]
    save(folder / "pytorch_model.bin", load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    made = convert(str(folder), types=["Q4_K_M"], output=tmp_path / "b.gguf").outputs[0]
    assert made.sha256 == whole.sha256
