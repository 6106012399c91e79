"""RAM over disk: budgets, order, and files that are torn, altered, foreign or cannot be written."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sus_local.kv import tiers
from sus_local.kv.blocks import (
    Block,
    digest,
    header_size,
    make_block,
    pack_header,
    root_key,
)
from sus_local.kv.tiers import DiskTier, RamTier

ROOT = root_key("model")


def block_of(number: int, size: int = 100) -> tuple[Block, bytes]:
    payload = bytes([number % 256]) * size
    return make_block(ROOT, 0, (number, 1, 2), payload), payload


def file_size(size: int = 100) -> int:
    block, _ = block_of(0, size)
    return header_size(block) + size


def reopened(folder: Path, budget_bytes: int = 1 << 20) -> DiskTier:
    tier = DiskTier(folder, budget_bytes)
    for _ in tier.scan():
        pass
    return tier


def written(folder: Path, *numbers: int) -> None:
    tier = reopened(folder)
    for number in numbers:
        tier.put(*block_of(number))
    tier.close()


# RAM


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=40))
def test_ram_never_exceeds_its_budget(puts: list[tuple[int, int]]) -> None:
    tier, held = RamTier(100), {}
    for number, size in puts:
        block, payload = block_of(number, size)
        if block.key in tier:
            continue
        held[block.key] = payload
        for key in tier.put(block, payload):
            del held[key]
        assert tier.num_bytes == sum(map(len, held.values())) <= 100
        assert all(key in tier for key in held)


def test_ram_lets_the_oldest_go_first() -> None:
    tier = RamTier(300)
    blocks = [block_of(number)[0] for number in range(4)]
    for number in range(3):
        assert tier.put(*block_of(number)) == []
    tier.touch([blocks[0].key])
    assert tier.put(*block_of(3)) == [blocks[1].key]
    assert blocks[0].key in tier


def test_ram_refuses_what_does_not_fit_and_keeps_the_rest() -> None:
    tier = RamTier(150)
    tier.put(*block_of(0))
    large, payload = block_of(1, 151)
    assert tier.put(large, payload) == [large.key]
    assert tier.get(block_of(0)[0]) is not None


def test_ram_keeps_the_blocks_before_a_new_one() -> None:
    tier = RamTier(200)
    tier.put(*block_of(0))
    tier.put(*block_of(1))
    block, payload = block_of(2)
    keep = [block_of(0)[0].key, block_of(1)[0].key]
    assert tier.put(block, payload, keep) == [block.key]
    assert all(key in tier for key in keep)


# Disk


def test_blocks_outlast_the_process(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    tier = reopened(tmp_path)
    for number in (1, 2):
        block, payload = block_of(number)
        assert tier.get(block) == payload
    assert tier.num_bytes == 2 * file_size()


def test_a_block_can_be_read_before_it_is_written(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 1 << 20)
    block, payload = block_of(1)
    tier.put(block, payload)
    assert tier.get(block) == payload
    tier.close()


def damage(change: Callable[[bytearray], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)

    return apply


def flip(place: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        content[place] ^= 1

    return change


def rewrite_as_other(path: Path) -> None:
    """A whole block, but under the name of another."""
    block, payload = block_of(77)
    path.write_bytes(pack_header(block, digest(payload)) + payload)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "torn header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "torn payload": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "altered magic": damage(flip(0)),
    "altered token": damage(flip(70)),
    "altered payload": damage(flip(-1)),
    "foreign content": lambda path: path.write_bytes(b"GGUF" * 100),
    "another block": rewrite_as_other,
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("when", ["before the start", "while open"])
def test_what_is_not_whole_is_dropped_and_deleted(tmp_path: Path, name: str, when: str) -> None:
    written(tmp_path, 1, 2)
    tier = reopened(tmp_path)
    block, _ = block_of(1)
    path = tmp_path / f"{block.key.hex()}.kv"
    DAMAGES[name](path)
    if when == "before the start":
        tier.close()
        tier = reopened(tmp_path)
    assert tier.get(block) is None
    assert block.key not in tier
    assert tier.get(block_of(2)[0]) == block_of(2)[1]
    tier.close()
    assert not path.exists()
    assert tier.num_bytes == file_size()


@given(st.lists(st.integers(0, 30), max_size=30))
def test_disk_never_exceeds_its_budget(numbers: list[int]) -> None:
    tier = DiskTier(Path("unused"), 5 * file_size())
    tier._order = lambda verb, what: None  # type: ignore[method-assign]
    for number in numbers:
        tier.put(*block_of(number))
        assert tier.num_bytes == len(tier._sizes) * file_size() <= 5 * file_size()


def test_files_on_disk_keep_to_the_budget(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 3 * file_size())
    for number in range(10):
        tier.put(*block_of(number))
    tier.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{block_of(number)[0].key.hex()}.kv" for number in (7, 8, 9)}


def test_a_smaller_budget_lets_the_oldest_go(tmp_path: Path) -> None:
    written(tmp_path, *range(6))
    tier = reopened(tmp_path, 2 * file_size())
    assert len(tier.trim()) == 4
    tier.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 2 * file_size()
    assert tier.num_bytes == 2 * file_size()


def test_no_folder_gets_more_files_than_a_start_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "MAX_DISK_BLOCKS", 3)
    written(tmp_path, *range(6))
    assert len(list(tmp_path.iterdir())) == 3


def test_order_of_use_outlasts_the_process(tmp_path: Path) -> None:
    written(tmp_path, 1, 2, 3)
    for age, number in enumerate((3, 1, 2)):
        path = tmp_path / f"{block_of(number)[0].key.hex()}.kv"
        os.utime(path, ns=(age * 10**9, age * 10**9))
    assert [block.token_ids[0] for block in DiskTier(tmp_path, 1 << 20).scan()] == [3, 1, 2]
    tier = reopened(tmp_path)
    assert tier.get(block_of(3)[0]) is not None
    tier.close()
    assert [block.token_ids[0] for block in DiskTier(tmp_path, 1 << 20).scan()] == [1, 2, 3]


def test_a_folder_that_cannot_be_made_costs_blocks_and_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    tier = DiskTier(tmp_path / "file" / "kv", 1 << 20)
    assert list(tier.scan()) == []
    block, payload = block_of(1)
    tier.put(block, payload)
    tier.close()
    assert tier.get(block) is None


def test_a_full_disk_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tiers.os, "replace", full)
    tier = DiskTier(tmp_path, 1 << 20)
    tier.put(*block_of(1))
    tier.close()
    assert list(tmp_path.iterdir()) == []
    assert tier.get(block_of(1)[0]) is None
    assert tier.num_bytes == 0
    monkeypatch.undo()
    tier.put(*block_of(1))
    tier.close()
    assert tier.get(block_of(1)[0]) == block_of(1)[1]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_nobody_else_may_read_the_folder(tmp_path: Path) -> None:
    written(tmp_path / "kv", 1)
    assert stat.S_IMODE((tmp_path / "kv").stat().st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    written(tmp_path, 1)
    block, _ = block_of(2)
    os.mkfifo(tmp_path / f"{block.key.hex()}.kv")
    assert [found.token_ids[0] for found in DiskTier(tmp_path, 1 << 20).scan()] == [1]


class Behind(DiskTier):
    """Its thread writes nothing before it may go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 1 << 20)
        self.go = threading.Event()

    def _carry_out(self, verb: str, key: bytes) -> None:
        assert self.go.wait(20)
        super()._carry_out(verb, key)


class Freed(bytes):
    """Tells when its memory is free."""

    freed: threading.Event

    def __del__(self) -> None:
        self.freed.set()


def test_a_block_that_is_dropped_before_it_is_written_frees_its_memory(tmp_path: Path) -> None:
    tier = Behind(tmp_path)
    block, payload = block_of(1)
    held = Freed(payload)
    held.freed = freed = threading.Event()
    tier.put(block, held)
    del held
    assert not freed.is_set()
    tier.drop(block.key)
    assert freed.is_set()
    tier.go.set()
    tier.close()
    assert list(tmp_path.iterdir()) == []


def test_the_disk_is_behind_while_too_much_waits_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "MAX_PENDING_BYTES", 200)
    tier = Behind(tmp_path)
    tier.put(*block_of(1))
    assert not tier.is_behind
    tier.put(*block_of(2))
    assert tier.is_behind
    tier.go.set()
    tier.close()
    assert not tier.is_behind
    assert len(list(tmp_path.iterdir())) == 2


def test_the_disk_takes_no_block_without_the_one_before_it(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 1 << 20)
    first, payload = block_of(1)
    second = make_block(first.key, first.end, (4, 5), payload)
    assert tier.put(second, payload) == [second.key]
    assert [tier.put(block, payload) for block in (first, second)] == [[], []]
    tier.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_block_that_is_put_dropped_and_put_again_is_written(tmp_path: Path) -> None:
    """Also where the thread that writes is behind, and carries it all out afterwards."""
    tier = Behind(tmp_path)
    block, payload = block_of(1)
    tier.put(block, payload)
    tier.drop(block.key)
    assert tier.get(block) is None
    tier.put(block, payload)
    assert tier.get(block) == payload
    tier.go.set()
    tier.close()
    assert block.key in tier
    assert reopened(tmp_path).get(block) == payload
