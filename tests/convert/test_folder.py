from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sus_local.convert.folder import FolderSource
from sus_local.convert.mapped import MappedShard
from sus_local.convert.source import Shard, open_source
from sus_local.convert.weights import parse_index
from sus_local.errors import (
    CheckpointError,
    PermissionDeniedError,
    ShardError,
    SourceNotFoundError,
    TensorError,
)

from .checkpoints import random_tensors, safetensors_bytes, write_checkpoint, write_json
from .hub_reading import read_all

INDEX = "model.safetensors.index.json"
SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "sharded", num_shards=3)


def edit_index(folder: Path, **changes: str | None) -> None:
    index = json.loads((folder / INDEX).read_text())
    for name, shard in changes.items():
        index["weight_map"].pop(name, None)
        if shard is not None:
            index["weight_map"][name] = shard
    write_json(folder / INDEX, index)


def test_shards_hold_what_one_file_holds(tmp_path: Path, sharded: Path) -> None:
    single = open_source(str(write_checkpoint(tmp_path / "single")))
    several = open_source(str(sharded))
    assert [s.name for s in single.shards] == ["model.safetensors"]
    assert [s.name for s in several.shards] == SHARDS
    assert read_all(single) == read_all(several)


def test_folder_tells_what_it_is(sharded: Path) -> None:
    source = open_source(str(sharded))
    assert source.label == str(sharded)
    assert source.repository is None
    assert source.revision is None
    assert source.config["hidden_size"] == 64
    assert source.generation_config["eos_token_id"] == 2
    assert source.path("tokenizer.model") == sharded / "tokenizer.model"
    assert source.path("tokenizer.json") is None
    assert source.path("../sharded/config.json") is None
    assert source.peak_disk_bytes == 0
    assert source.spool is None


def test_generation_config_may_be_missing(sharded: Path) -> None:
    (sharded / "generation_config.json").unlink()
    assert open_source(str(sharded)).generation_config == {}


def test_reading_writes_nothing(sharded: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in sharded.iterdir()}
    read_all(open_source(str(sharded)))
    assert {p: p.stat().st_mtime_ns for p in sharded.iterdir()} == before


def test_ranges_of_a_tensor_are_views_and_survive_dropping(sharded: Path) -> None:
    source = open_source(str(sharded))
    tensor = source.tensors["model.embed_tokens.weight"]
    shard = next(s for s in source.shards if s.name == tensor.shard)
    with source.open(shard) as reader:
        whole = bytes(reader.read(tensor))
        assert len(whole) == tensor.num_bytes
        view = reader.read(tensor, 100, 300)
        assert view.readonly
        assert bytes(view) == whole[100:300]
        reader.drop(tensor, 100, 300)
        reader.drop(tensor)
        assert bytes(view) == whole[100:300]
        assert np.frombuffer(reader.read(tensor), dtype=np.uint16).size == tensor.num_values
        view.release()


@pytest.mark.parametrize(("start", "end"), [(-1, 4), (4, 3), (0, 1 << 40)])
def test_range_outside_a_tensor_is_a_bug_of_the_caller(sharded: Path, start: int, end: int) -> None:
    source = open_source(str(sharded))
    tensor = next(iter(source.tensors.values()))
    with source.open(source.shards[0]) as reader, pytest.raises(ValueError, match="bytes"):
        reader.read(tensor, start, end)


def test_view_outlives_its_reader(sharded: Path) -> None:
    source = open_source(str(sharded))
    tensor = next(t for t in source.tensors.values() if t.shard == SHARDS[0])
    with source.open(source.shards[0]) as reader:
        view = reader.read(tensor)
        expected = bytes(view)
    assert bytes(view) == expected


def test_hash_is_that_of_the_whole_file(sharded: Path) -> None:
    source = open_source(str(sharded))
    with source.open(source.shards[1]) as reader:
        assert reader.path == sharded / SHARDS[1]
        expected = hashlib.sha256((sharded / SHARDS[1]).read_bytes()).hexdigest()
        assert reader.sha256() == expected
        assert reader.sha256() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_dropped_bytes_leave_memory(tmp_path: Path) -> None:
    content = safetensors_bytes({"w": ("F32", (16 << 20,), bytes(64 << 20))})
    (tmp_path / "m.safetensors").write_bytes(content)
    shard = Shard("m.safetensors", len(content))
    from sus_local.convert.safetensors_file import parse

    [tensor] = parse(content, name=shard.name, size=shard.size)
    step = 1 << 20
    before, peak = resident_bytes(), 0
    with MappedShard(tmp_path / shard.name, shard) as reader:
        for start in range(0, tensor.num_bytes, step):
            sum(reader.read(tensor, start, start + step)[::4096])
            reader.drop(tensor, start, start + step)
            peak = max(peak, resident_bytes() - before)
    assert peak < 16 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such folder") as caught:
        open_source(str(tmp_path / "absent"))
    assert "org/name on the hub" in caught.value.hint


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "./a/b", "a//b", "~nobody/x", "-a/b", "a/"])
def test_what_names_neither_folder_nor_repository(name: str) -> None:
    with pytest.raises(SourceNotFoundError, match="no such folder"):
        open_source(name)


def test_file_is_not_a_folder(sharded: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="is a file, not a folder"):
        open_source(str(sharded / SHARDS[0]))


def test_folder_without_config(sharded: Path) -> None:
    (sharded / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        open_source(str(sharded))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "\x00", "[" * 100_000])
def test_config_that_is_no_object(sharded: Path, text: str) -> None:
    (sharded / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json is not") as caught:
        open_source(str(sharded))
    assert "\n" not in caught.value.message


def test_config_may_start_with_a_byte_order_mark(sharded: Path) -> None:
    text = (sharded / "config.json").read_bytes()
    (sharded / "config.json").write_bytes(b"\xef\xbb\xbf" + text)
    assert open_source(str(sharded)).config["hidden_size"] == 64


def test_folder_without_weights(sharded: Path) -> None:
    for name in [INDEX, *SHARDS]:
        (sharded / name).unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        open_source(str(sharded))


def test_folder_of_gguf_files_points_to_chat(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError) as caught:
        open_source(str(tmp_path))
    assert caught.value.hint.endswith(f"sus-local chat {tmp_path / 'a.gguf'}")


def test_shards_without_an_index(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    with pytest.raises(ShardError, match="has 3 shards such as model-00001-of-00003"):
        open_source(str(sharded))


def test_missing_shard(sharded: Path) -> None:
    (sharded / SHARDS[1]).unlink()
    (sharded / SHARDS[2]).unlink()
    with pytest.raises(ShardError, match="2 of 3 shards are missing") as caught:
        open_source(str(sharded))
    assert caught.value.shard == SHARDS[1]
    assert caught.value.num_missing == 2


def test_index_entry_without_a_tensor(sharded: Path) -> None:
    edit_index(sharded, **{"model.layers.9.bias": SHARDS[0]})
    with pytest.raises(TensorError, match="1 tensors of the index are in no shard") as caught:
        open_source(str(sharded))
    assert caught.value.tensor == "model.layers.9.bias"


def test_tensor_without_an_index_entry(sharded: Path) -> None:
    edit_index(sharded, **{"model.norm.weight": None})
    with pytest.raises(TensorError, match="the index does not name it"):
        open_source(str(sharded))


def test_tensor_in_another_shard_than_the_index_says(sharded: Path) -> None:
    edit_index(sharded, **{"model.norm.weight": SHARDS[0]})
    with pytest.raises(TensorError, match=f"the index says {SHARDS[0]}"):
        open_source(str(sharded))


def test_tensor_in_two_shards(sharded: Path) -> None:
    twice = random_tensors({"model.embed_tokens.weight": (2, 2)})
    (sharded / SHARDS[2]).write_bytes(safetensors_bytes(twice))
    with pytest.raises(TensorError, match="is in two shards"):
        open_source(str(sharded))


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": []},
        {"weight_map": {}},
        {"weight_map": {"w": 7}},
        {"weight_map": {"w": "../../etc/passwd"}},
        {"weight_map": {"w": "/etc/passwd"}},
        {"weight_map": {"w": "C:evil"}},
        {"weight_map": {"w": "a\\b"}},
        {"weight_map": {"w": ".."}},
        {"weight_map": {"w": ""}},
        {"weight_map": {"w": "nul\0"}},
    ],
)
def test_hostile_index(index: dict[str, Any]) -> None:
    with pytest.raises(ShardError):
        parse_index(json.dumps(index).encode(), name=INDEX)


def test_truncated_shard(sharded: Path) -> None:
    content = (sharded / SHARDS[1]).read_bytes()
    (sharded / SHARDS[1]).write_bytes(content[:-1])
    with pytest.raises(ShardError, match=f"{SHARDS[1]} is truncated") as caught:
        open_source(str(sharded))
    assert (caught.value.size, caught.value.expected_size) == (len(content) - 1, len(content))


def test_shard_that_shrinks_after_its_header_was_read(sharded: Path) -> None:
    source = open_source(str(sharded))
    content = (sharded / SHARDS[1]).read_bytes()
    (sharded / SHARDS[1]).write_bytes(content[:-1])
    with pytest.raises(ShardError, match="changed while it was in use"):
        source.open(source.shards[1]).__enter__()


def test_shard_that_vanishes_after_its_header_was_read(sharded: Path) -> None:
    source = open_source(str(sharded))
    (sharded / SHARDS[1]).unlink()
    with pytest.raises(ShardError, match="is gone"):
        source.open(source.shards[1]).__enter__()


def test_error_of_the_reader_is_not_taken_for_one_of_the_shard(sharded: Path) -> None:
    source = open_source(str(sharded))
    with pytest.raises(OSError, match="somebody else's"), source.open(source.shards[0]):
        raise OSError("somebody else's")


def test_shard_that_is_a_folder(sharded: Path) -> None:
    (sharded / SHARDS[1]).unlink()
    (sharded / SHARDS[1]).mkdir()
    with pytest.raises(ShardError, match="1 of 3 shards are missing"):
        open_source(str(sharded))


def test_dangling_link_is_a_missing_shard(sharded: Path) -> None:
    (sharded / SHARDS[1]).unlink()
    try:
        (sharded / SHARDS[1]).symlink_to(sharded / "gone")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(ShardError, match="1 of 3 shards are missing"):
        open_source(str(sharded))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_shard(sharded: Path) -> None:
    (sharded / SHARDS[1]).chmod(0)
    with pytest.raises(PermissionDeniedError, match=f"no permission while reading .*{SHARDS[1]}"):
        open_source(str(sharded))


def test_permission_is_told_as_such(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionDeniedError, match="no permission while reading"):
        FolderSource(sharded, label="here")
