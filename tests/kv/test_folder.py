"""One budget for a folder, whichever processes write the blocks of whichever models into it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from sus_local.kv.blocks import Block, digest, header_size, make_block, pack_header, root_key
from sus_local.kv.folder import SharedFolder
from sus_local.kv.tiers import DiskTier

ROOT = root_key("model")
SIZE = 1000
A, B = "a" * 32, "b" * 32
"""The folders of two models."""


def block_of(number: int, parent: bytes = ROOT, start: int = 0) -> tuple[Block, bytes]:
    payload = bytes([number % 256]) * SIZE
    return make_block(parent, start, (number, 1, 2), payload), payload


FILE_SIZE = header_size(block_of(0)[0]) + SIZE


def num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/*.kv"))


def written(path: Path, block: Block, payload: bytes, seconds: int) -> Path:
    """A block's file, used last so many seconds after the epoch."""
    path = path / f"{block.key.hex()}.kv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pack_header(block, digest(payload)) + payload)
    os.utime(path, (seconds, seconds))
    return path


@pytest.mark.parametrize("places", [(A, A), (A, B)], ids=["one model", "two models"])
def test_two_processes_together_keep_to_the_budget(tmp_path: Path, places: tuple[str, str]) -> None:
    budget = 32 * FILE_SIZE
    tiers = [
        DiskTier(tmp_path / place, budget, shared=SharedFolder(tmp_path, budget))
        for place in places
    ]
    most = 0
    for number in range(100):
        tier = tiers[number % 2]
        tier.put(*block_of(number))
        tier.close()
        most = max(most, num_bytes(tmp_path))
    assert budget // 2 < most <= budget
    newest = block_of(99)[0]
    assert tiers[1].get(newest) is not None
    tiers[1].close()


def test_a_process_that_has_a_full_folder_to_itself_keeps_most_of_it(tmp_path: Path) -> None:
    budget = 32 * FILE_SIZE
    tier = DiskTier(tmp_path / A, budget, shared=SharedFolder(tmp_path, budget))
    for number in range(100):
        tier.put(*block_of(number))
    tier.close()
    assert budget * 3 // 4 < num_bytes(tmp_path) <= budget
    assert tier.get(block_of(0)[0]) is None
    tier.close()


def test_processes_that_write_at_once_lose_nothing_but_blocks(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from sus_local.kv.folder import SharedFolder
        from sus_local.kv.tiers import DiskTier
        from tests.kv.test_folder import A, FILE_SIZE, block_of
        folder, first = Path(sys.argv[1]), int(sys.argv[2])
        budget = 32 * FILE_SIZE
        class Telling(DiskTier):
            def _carry_out(self, verb, key):
                try:
                    super()._carry_out(verb, key)
                except OSError as error:
                    print(error)
        tier = Telling(folder / A, budget, shared=SharedFolder(folder, budget))
        for number in range(first, first + 200):
            tier.put(*block_of(number))
            tier.get(block_of(number // 2)[0])
        tier.close()
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(first)], stdout=subprocess.PIPE, text=True)
        for first in (0, 200)
    ]
    assert [process.communicate()[0].strip() for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]
    SharedFolder(tmp_path, 32 * FILE_SIZE).tidy()
    assert num_bytes(tmp_path) <= 32 * FILE_SIZE


def test_while_another_process_looks_writing_goes_on(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path / A, 1 << 20, shared=SharedFolder(tmp_path, 1))
    with FileLock(tmp_path / ".sus-local-kv.lock"):
        tier.put(*block_of(1))
        tier.close()
    assert tier.get(block_of(1)[0]) == block_of(1)[1]
    tier.put(*block_of(2))
    tier.close()
    assert num_bytes(tmp_path) == FILE_SIZE


def test_the_budget_is_kept_where_no_file_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    for number in range(3):
        written(tmp_path / A, *block_of(number), number)
    SharedFolder(tmp_path, 2 * FILE_SIZE).tidy()
    assert num_bytes(tmp_path) == 2 * FILE_SIZE


def test_the_oldest_of_all_models_goes_first(tmp_path: Path) -> None:
    old = written(tmp_path / A, *block_of(1), 10)
    new = written(tmp_path / B, *block_of(2), 20)
    SharedFolder(tmp_path, FILE_SIZE).tidy()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_beginning_is_as_new_as_what_follows_it(tmp_path: Path) -> None:
    """Beginnings are written first and read least: they look older than what needs them."""
    first, payload = block_of(1)
    second, _ = block_of(2, first.key, first.end)
    third, _ = block_of(3, second.key, second.end)
    beginning = written(tmp_path / A, first, payload, 10)
    middle = written(tmp_path / A, second, payload, 30)
    end = written(tmp_path / A, third, payload, 20)
    other = written(tmp_path / B, *block_of(9), 25)
    left = {beginning, middle, end, other}
    for goes in (end, other, middle):
        left.remove(goes)
        SharedFolder(tmp_path, len(left) * FILE_SIZE).tidy()
        assert {path for path in (beginning, middle, end, other) if path.exists()} == left


def test_what_is_no_block_goes_before_all_blocks(tmp_path: Path) -> None:
    whole = written(tmp_path / A, *block_of(1), 10)
    torn = written(tmp_path / A, *block_of(2), 20)
    torn.write_bytes(torn.read_bytes()[:30] * 40)
    SharedFolder(tmp_path, FILE_SIZE).tidy()
    assert (whole.exists(), torn.exists()) == (True, False)


def test_abandoned_partial_files_are_deleted(tmp_path: Path) -> None:
    name = f"{block_of(1)[0].key.hex()}.kv"
    left, fresh = (tmp_path / A / f"{name}.{number}.part" for number in (123, 124))
    left.parent.mkdir()
    for path in (left, fresh):
        path.write_bytes(b"being written")
    os.utime(left, (10, 10))
    SharedFolder(tmp_path, 1 << 20).tidy()
    assert (left.exists(), fresh.exists()) == (False, True)


def test_files_of_other_programs_stay(tmp_path: Path) -> None:
    """``load(kv_dir=Path.home())``: the folder may hold anything."""
    name = f"{block_of(1)[0].key.hex()}.kv"
    foreign = [
        tmp_path / ".lock",
        tmp_path / "Downloads" / "film.mkv.part",
        tmp_path / "Downloads" / f"{name}.1.part",
        tmp_path / "app" / "screen.kv",
        tmp_path / "app" / name,
        tmp_path / A / "screen.kv",
        tmp_path / A / "film.part",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"foreign" * 100)
        os.utime(path, (10, 10))
    shared = SharedFolder(tmp_path, FILE_SIZE)
    shared.tidy()
    tier = DiskTier(tmp_path / A, FILE_SIZE, shared=shared)
    assert list(tier.scan()) == []
    tier.put(*block_of(1))
    tier.put(*block_of(2))
    tier.close()
    assert [path for path in foreign if not path.exists()] == []
    assert tier.get(block_of(2)[0]) is not None
    tier.close()


def test_a_folder_that_cannot_be_made_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    shared = SharedFolder(tmp_path / "file" / "kv", 100)
    shared.tidy()
    shared.make_room(1000)
