"""What is here of a file that is under way, and what it is a part of.

Bytes go to ``<path>.part``. ``<path>.part.etag`` beside it names the content that they belong to,
so that those of another revision are never continued.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sus_local.errors import OutputHeldError
from sus_local.locks import LockFile

PARTIAL_SUFFIX = ".part"
ETAG_SUFFIX = ".etag"


@dataclass(frozen=True, slots=True)
class Partial:
    """A file under way.

    Attributes:
        path: The file's name when it is whole.
        etag: What names its content.
        size: Its bytes when it is whole.
    """

    path: Path
    etag: str
    size: int

    @property
    def file(self) -> Path:
        """Where the bytes are."""
        return self.path.with_name(self.path.name + PARTIAL_SUFFIX)

    @property
    def record(self) -> Path:
        """Where it stands what they belong to."""
        return self.file.with_name(self.file.name + ETAG_SUFFIX)

    @property
    def num_held(self) -> int:
        """Bytes on the disk, whatever they are."""
        return self.file.stat().st_size if self.file.is_file() else 0

    @property
    def num_bytes(self) -> int:
        """Bytes to go on from; none if they are of other content, or too many."""
        num_held = self.num_held
        return num_held if num_held <= self.size and self._recorded() == self.etag else 0

    def _recorded(self) -> str:
        try:
            return self.record.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def begin(self) -> None:
        """Keep what can be gone on from, and nothing else."""
        if self.num_bytes:
            return
        self.file.unlink(missing_ok=True)
        # Before any byte: a kill never leaves bytes that belong to nobody.
        self.record.write_text(self.etag, encoding="utf-8")

    def open(self) -> BinaryIO:
        """Read what is there and append to it."""
        self.begin()
        return self.file.open("a+b")

    def finish(self) -> None:
        """Give the file its name."""
        os.replace(self.file, self.path)
        with suppress(OSError):
            self.record.unlink()

    def remove(self) -> None:
        """Delete it."""
        self.file.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)


@contextmanager
def held(path: Path, *, lock: str = "") -> Iterator[None]:
    """Keep other processes from a file under way: two must not append to one.

    Args:
        path: The file's name when it is whole.
        lock: Name of the lock file beside it, which is there meanwhile; by default pull's.

    Raises:
        OutputHeldError: Another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = LockFile(path.with_name(lock or f".{path.name}.lock"))
    if not holder.acquire():
        raise OutputHeldError(
            f"another process writes {path.name}", hint="wait for it", path=str(path)
        )
    try:
        yield
    finally:
        holder.release()
