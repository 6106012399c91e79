"""One large file from the hub: resumed, verified, renamed when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from sus_local import hub, ranges
from sus_local.errors import HubError, from_os_error
from sus_local.hub import HubFile, Repository
from sus_local.partial import Partial

_PATIENCE = 8
_READ_BYTES = 1 << 20
_SLICE_S = 0.2
_GIT_HASH = re.compile(r"[0-9a-f]{40}")


class DownloadStopped(Exception):  # noqa: N818 - not a failure
    """Somebody asked for the download to end before it was done."""


class Checksum:
    """The SHA-256 of bytes as they come, and whether they are the hub's.

    Args:
        file: What they should be.
    """

    def __init__(self, file: HubFile) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        # Of a small file the hub tells git's own hash alone.
        has_git_hash = file.sha256 is None and _GIT_HASH.fullmatch(file.blob_id or "")
        start = b"blob %d\0" % file.size
        self._git = hashlib.sha1(start, usedforsecurity=False) if has_git_hash else None

    @property
    def is_known(self) -> bool:
        """Whether the hub tells any hash of the content."""
        return self._file.sha256 is not None or self._git is not None

    @property
    def is_right(self) -> bool:
        """Whether the bytes are what the hub tells, as far as it does."""
        if self._git is not None:
            return self._git.hexdigest() == self._file.blob_id
        return self._file.sha256 in (None, self.hexdigest())

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(piece)
        if self._git is not None:
            self._git.update(piece)

    def hexdigest(self) -> str:
        """The SHA-256."""
        return self._sha256.hexdigest()

    def read(self, file: BinaryIO) -> Checksum:
        """Take a whole open file, and leave it at its end."""
        file.seek(0)
        while piece := file.read(_READ_BYTES):
            self.update(piece)
        return self


class Download:
    """Fetches one file of a repository.

    Bytes go to ``<path>.part``; those of the same content that lie there already, from a broken
    connection or a killed process, are kept and continued. The file gets its name, in place of one
    that has it, only when its size and its SHA-256 are what the hub says.

    Args:
        repository: Where it is.
        name: The file.
        path: Where it goes.
        on_bytes: Called with the number of bytes that each step brought; negative where they turned
            out to be wrong and are fetched again.

    Attributes:
        num_bytes: What is here so far; any thread may look.
    """

    def __init__(
        self,
        repository: Repository,
        name: str,
        path: Path,
        *,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self.path = path
        self._repository = repository
        self._file: HubFile = repository.files[name]
        self.partial = Partial(path, repository.etag(name), self._file.size)
        self._on_bytes = on_bytes or (lambda count: None)
        self._stop = threading.Event()
        self.num_bytes = self.partial.num_bytes

    def stop(self) -> None:
        """Make :meth:`run` end soon, with :class:`DownloadStopped`. The partial file stays."""
        self._stop.set()

    def run(self) -> str:
        """Fetch what is missing; the SHA-256 of the whole file.

        Raises:
            HubError: The hub said no, stayed out of reach, or sent other content than it promised.
            StorageError: The file cannot be written.
            DownloadStopped: :meth:`stop` was called.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Bytes may be damaged on their way or on the disk: once more, from the beginning.
            digest = self._attempt() or self._attempt()
        except OSError as error:
            raise from_os_error(error, doing="writing", path=self.partial.file) from error
        if digest is None:
            raise HubError(
                f"{self._file.name} arrived with another SHA-256 than the hub told, twice",
                hint="try again later, or from another network",
                file=self._file.name,
                sha256=self._file.sha256,
            )
        return digest

    def _attempt(self) -> str | None:
        """Complete the partial file and name it; None (and it is gone) if it is not right."""
        with self.partial.open() as out:
            checksum = Checksum(self._file).read(out)
            self.num_bytes = out.tell()
            self._fill(out, checksum)
            out.flush()
            os.fsync(out.fileno())
        if checksum.is_right:
            self.partial.finish()
            return checksum.hexdigest()
        self.partial.remove()
        self._on_bytes(-self.num_bytes)
        self.num_bytes = 0
        return None

    def _fill(self, out: BinaryIO, checksum: Checksum) -> None:
        failures = 0
        while (start := out.tell()) < self._file.size:
            try:
                self._receive(out, checksum, start)
                error = None
            except HubError as raised:
                if not raised.numbers.get("transient"):
                    raise
                error = raised
            failures = 0 if out.tell() > start else failures + 1
            if failures > _PATIENCE:
                raise error or HubError(
                    f"the hub sends no more bytes of {self._file.name}",
                    hint="run the same command again later: it goes on where it was",
                )
            if failures:
                self._wait(failures, error)

    def _receive(self, out: BinaryIO, checksum: Checksum, start: int) -> None:
        pieces = ranges.stream(self._repository, self._file.name, start, self._file.size)
        with contextlib.closing(pieces):
            for piece in pieces:
                self._check()
                out.write(piece)
                checksum.update(piece)
                self.num_bytes += len(piece)
                self._on_bytes(len(piece))

    def _wait(self, failures: int, error: HubError | None) -> None:
        seconds = hub.wait_s(failures, error)
        hub.tell_wait(seconds, error)
        # On Windows Ctrl-C does not end a wait for an event: it takes effect between two.
        while seconds > 0 and not self._stop.wait(min(seconds, _SLICE_S)):
            seconds -= _SLICE_S
        self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise DownloadStopped(self._file.name)
