"""A shard that is hashed while it is read."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sus_local.convert.mapped import MappedShard
from sus_local.convert.source import Shard, TensorInfo

PIECE = 1000
"""No multiple of a page: neighbours share some."""
COUNT = 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes(random.Random(1).randbytes(PIECE * COUNT))
    return path


def mapped(path: Path) -> MappedShard:
    return MappedShard(path, Shard(path.name, path.stat().st_size))


def pieces(path: Path) -> list[TensorInfo]:
    starts = range(0, PIECE * COUNT, PIECE)
    return [TensorInfo("w", "F32", (PIECE // 4,), path.name, at, at + PIECE) for at in starts]


def shuffled(path: Path) -> list[TensorInfo]:
    found = pieces(path)
    random.Random(2).shuffle(found)
    return found


def by_one_thread(shard: MappedShard, order: list[TensorInfo]) -> None:
    for piece in order:
        shard.drop(piece)


def by_several_threads(shard: MappedShard, order: list[TensorInfo]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(shard.drop, order))


def of_the_first_half(shard: MappedShard, order: list[TensorInfo]) -> None:
    for piece in order[: COUNT // 2]:
        shard.drop(piece)


def of_none(shard: MappedShard, order: list[TensorInfo]) -> None:
    pass


@pytest.mark.parametrize(
    "dropping", [by_one_thread, by_several_threads, of_the_first_half, of_none]
)
@pytest.mark.parametrize("order", [pieces, shuffled])
def test_hash_is_the_files_whatever_is_dropped_and_when(
    path: Path,
    dropping: Callable[[MappedShard, list[TensorInfo]], None],
    order: Callable[[Path], list[TensorInfo]],
) -> None:
    with mapped(path) as shard:
        dropping(shard, order(path))
        assert shard.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bytes_are_hashed_as_they_are_dropped(path: Path) -> None:
    with mapped(path) as shard:
        for piece in pieces(path):
            shard.drop(piece)
        expected = hashlib.sha256(path.read_bytes()).hexdigest()
        # What is not in the file any more cannot be hashed now.
        with path.open("r+b") as file:
            file.write(bytes(PIECE * COUNT))
        assert shard.sha256() == expected


def test_hashing_ends_when_the_shard_is_closed(path: Path) -> None:
    shard = mapped(path)
    shard.close()
    with pytest.raises(ValueError, match="was closed"):
        shard.sha256()
