"""The budget of a folder in which several processes keep the blocks of several models."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sus_local.kv.blocks import KEY_BYTES, MAX_HEADER_BYTES, Block, unpack_header
from sus_local.locks import LockFile

SUFFIX = ".kv"
PARTIAL = ".part"
_KEY = "[0-9a-f]" * (2 * KEY_BYTES)
BLOCK_NAMES = f"{_KEY}{SUFFIX}"
"""The pattern of a block's file name: the folder may hold files of other programs, which stay."""

_ABANDONED_S = 3600
_LOCK = ".sus-local-kv.lock"


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    num_bytes: int
    used_at: float


class SharedFolder:
    """Keeps all blocks below a folder to one budget, whoever wrote them.

    Nobody asks the others before a write. Each process counts what it wrote since it last looked,
    looks again after a sixteenth of the budget, and then leaves an eighth free: enough for two
    that write at once. One process looks at a time; who finds another one at it writes on.

    Args:
        folder: Holds one folder a model.
        budget_bytes: Of all files together.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder = folder
        self._budget = budget_bytes
        self._num_unseen = 0

    def make_room(self, num_bytes: int) -> None:
        """See that a file of this size may be written."""
        self._num_unseen += num_bytes
        if self._num_unseen > self._budget // 16 and self._trim(max(num_bytes, self._budget // 8)):
            self._num_unseen = num_bytes

    def tidy(self) -> None:
        """Keep to the budget, and delete what interrupted processes left."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{_KEY}/{BLOCK_NAMES}.*{PARTIAL}"):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink(missing_ok=True)
        self._trim(0)

    def _trim(self, num_free: int) -> bool:
        """Delete the oldest blocks until so many bytes are free; False if another process does."""
        lock = LockFile(self._folder / _LOCK)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not lock.acquire():
                return False
            try:
                self._delete_until(self._budget - num_free)
            finally:
                lock.release()
        except OSError:
            return False
        return True

    def _delete_until(self, limit: int) -> None:
        files = list(_files(self._folder))
        total = sum(file.num_bytes for file in files)
        if total <= limit:
            return
        for file in _oldest_first(files):
            with contextlib.suppress(OSError):  # on Windows, one that is being read stays
                file.path.unlink(missing_ok=True)
                total -= file.num_bytes
            if total <= limit:
                return


def _files(folder: Path) -> Iterator[_File]:
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{_KEY}/{BLOCK_NAMES}"):
            with contextlib.suppress(OSError):  # another process deletes, too
                status = path.stat()
                yield _File(path, status.st_size, status.st_mtime)


def _oldest_first(files: list[_File]) -> list[_File]:
    """A block is as new as the newest that follows it, and goes after all of those."""
    blocks = {file.path: _header(file.path) for file in files}
    used_at: dict[bytes, float] = {}
    for file in files:
        if (block := blocks[file.path]) is not None:
            used_at[block.key] = file.used_at
    for block in sorted(filter(None, blocks.values()), key=lambda block: -block.start):
        if block.parent in used_at:
            used_at[block.parent] = max(used_at[block.parent], used_at[block.key])

    def age(file: _File) -> tuple[float, int]:
        block = blocks[file.path]
        return (0.0, 0) if block is None else (used_at[block.key], -block.start)

    return sorted(files, key=age)


def _header(path: Path) -> Block | None:
    try:
        with open(path, "rb") as file:
            header = unpack_header(file.read(MAX_HEADER_BYTES))
    except OSError:
        return None
    return None if header is None else header[0]
