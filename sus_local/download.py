"""One large file from the hub: resumed, verified, renamed when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sus_local import hub
from sus_local.errors import HubError, from_os_error
from sus_local.hub import HubFile, Repository

if TYPE_CHECKING:
    from hashlib import _Hash

PARTIAL_SUFFIX = ".part"
_PATIENCE = 8
_READ_BYTES = 1 << 20


class DownloadStopped(Exception):  # noqa: N818 - not a failure
    """Somebody asked for the download to end before it was done."""


class Download:
    """Fetches one file of a repository.

    Bytes go to ``<path>.part``; whatever lies there already, from a broken connection or a killed
    process, is kept and continued. The file gets its name only when its size and its SHA-256 are
    what the hub says.

    Args:
        repository: Where it is.
        name: The file.
        path: Where it goes.
        on_bytes: Called with the number of bytes that each step brought.

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
        self.partial = path.with_name(path.name + PARTIAL_SUFFIX)
        self._repository = repository
        self._file: HubFile = repository.files[name]
        self._on_bytes = on_bytes or (lambda count: None)
        self._stop = threading.Event()
        self.num_bytes = self.partial.stat().st_size if self.partial.exists() else 0

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
            # What was there before may be of another state: once more, from the beginning.
            digest = self._attempt() or self._attempt()
        except OSError as error:
            raise from_os_error(error, doing="writing", path=self.partial) from error
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
        with self.partial.open("a+b") as out:
            digest = _digest_of(out, self._file.size)
            self.num_bytes = out.tell()
            self._fill(out, digest)
            out.flush()
            os.fsync(out.fileno())
        if self._file.sha256 not in (None, digest.hexdigest()):
            self.partial.unlink()
            return None
        os.replace(self.partial, self.path)
        return digest.hexdigest()

    def _fill(self, out: BinaryIO, digest: _Hash) -> None:
        failures = 0
        while (start := out.tell()) < self._file.size:
            try:
                self._receive(out, digest, start)
                error = None
            except HubError as raised:
                if not raised.numbers.get("transient"):
                    raise
                error = raised
            failures = 0 if out.tell() > start else failures + 1
            if failures > _PATIENCE:
                raise error or HubError(f"the hub sends no more bytes of {self._file.name}")
            if failures:
                self._wait(failures, error)

    def _receive(self, out: BinaryIO, digest: _Hash, start: int) -> None:
        pieces = hub.stream(self._repository, self._file.name, start, self._file.size)
        with contextlib.closing(pieces):
            for piece in pieces:
                self._check()
                out.write(piece)
                digest.update(piece)
                self.num_bytes += len(piece)
                self._on_bytes(len(piece))

    def _wait(self, failures: int, error: HubError | None) -> None:
        seconds = hub.wait_s(failures, error)
        hub.tell_wait(seconds, error)
        self._stop.wait(seconds)
        self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise DownloadStopped(self._file.name)


def _digest_of(out: BinaryIO, size: int) -> _Hash:
    """The hash of what a file holds; a file that is too long starts again. Ends at its end."""
    if out.seek(0, os.SEEK_END) > size:
        out.truncate(0)
    out.seek(0)
    digest = hashlib.sha256()
    while piece := out.read(_READ_BYTES):
        digest.update(piece)
    return digest
