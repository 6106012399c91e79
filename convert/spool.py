"""Where shards lie between the hub and the converter.

A shard that is fetched here is deleted when it is released. Its folder is called after its hash:
another commit of the repository goes on with what is the same. One that the hub client's own cache
holds is read there and never deleted; shards bypass that cache and its chunk store, unless they
are to be kept.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from sus_local import hub
from sus_local.download import Download
from sus_local.errors import OutputHeldError
from sus_local.hub import Repository
from sus_local.locks import LockFile
from sus_local.partial import Partial

from .source import Shard, Waiting

T = TypeVar("T")

_POLL_S = 0.2
_STOP_S = 2.0
_KEY_LENGTH = 16


class Spool:
    """The shards of one repository on this machine, and those under way.

    Args:
        repository: Where they come from.
        folder: Where they lie.
        keep: Fetch into the client's own cache instead, to stay there.
    """

    def __init__(self, repository: Repository, folder: Path, *, keep: bool = False) -> None:
        self.folder = folder
        self.keep = keep
        self._repository = repository
        self._fetches: dict[str, Fetch[Path]] = {}
        self._lock: LockFile | None = None

    def path(self, shard: Shard) -> Path:
        """Where a shard lies, or would lie, in the folder."""
        return self.folder / self._key(shard.name) / shard.name

    def _key(self, name: str) -> str:
        # What a server says goes into no path as it is.
        return re.sub(r"\W", "-", self._repository.etag(name)[:_KEY_LENGTH])

    def find(self, shard: Shard) -> Path | None:
        """A shard that is on this machine and whole: in the folder or in the client's cache."""
        path = self.path(shard)
        if path.is_file() and path.stat().st_size == shard.size:
            return path
        return hub.find_cached(self._repository, shard.name)

    def missing_bytes(self, shard: Shard) -> int:
        """What a shard will take on disk beyond what is there."""
        if self.find(shard) is not None:
            return 0
        # The client begins anew, elsewhere.
        return shard.size - (0 if self.keep else self._partial(shard).num_bytes)

    def fetch(self, shard: Shard) -> Fetch[Path]:
        """Start to fetch a shard, unless that is under way.

        Raises:
            OutputHeldError: Another process uses the folder.
        """
        if shard.name not in self._fetches:
            self._fetches[shard.name] = self._begin(shard)
        return self._fetches[shard.name]

    def wait(self, shard: Shard, waiting: Waiting) -> Path:
        """A shard's file, as soon as it is here.

        Args:
            waiting: Told a few times a second how many bytes of it are here.

        Raises:
            HubError: It cannot be fetched.
            StorageError: It cannot be written.
            OutputHeldError: Another process uses the folder.
        """
        path = self.find(shard) or self.fetch(shard).wait(waiting)
        if path == self.path(shard):
            self._hold()
        self._fetches.pop(shard.name, None)
        return path

    def release(self, shard: Shard) -> None:
        """Delete a shard from the folder, as far as it is there, and stop to fetch it."""
        fetch = self._fetches.pop(shard.name, None)
        if fetch is not None:
            fetch.stop()
        partial = self._partial(shard)
        for rest in (partial.path, partial.file, partial.record):
            if rest.exists():
                self._hold()
                # Windows refuses while a view is alive; the next attempt finds the file.
                with suppress(OSError):
                    rest.unlink()
        with suppress(OSError):
            partial.path.parent.rmdir()

    def close(self) -> None:
        """Stop what is under way. Finished and partial shards stay for the next attempt."""
        for fetch in self._fetches.values():
            fetch.stop()
        self._fetches.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        with suppress(OSError):
            self.folder.rmdir()

    def _begin(self, shard: Shard) -> Fetch[Path]:
        if self.keep:
            return Fetch(lambda: self._fetch_into_cache(shard))
        self._hold()
        path = self.path(shard)
        download = Download(self._repository, shard.name, path)

        def run() -> Path:
            download.run()
            return path

        return Fetch(run, download)

    def _fetch_into_cache(self, shard: Shard) -> Path:
        hub.remember_revision(self._repository)
        return hub.fetch(self._repository, shard.name)

    def _hold(self) -> None:
        """Two processes must not append to one partial file, nor delete each other's shards."""
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = LockFile(self.folder.with_name(self.folder.name + ".lock"))
        if not lock.acquire():
            raise OutputHeldError(
                f"another conversion fetches {self._repository.name} to {self.folder}",
                hint="wait for it; one run takes several -q at once",
                path=str(self.folder),
            )
        self._lock = lock
        self._clear()

    def _clear(self) -> None:
        """Delete what an attempt at another commit left, and this one has no use for."""
        wanted = {self._key(name) for name in self._repository.files}
        for left in self.folder.iterdir():
            if left.name not in wanted:
                shutil.rmtree(left, ignore_errors=True)

    def _partial(self, shard: Shard) -> Partial:
        return Partial(self.path(shard), self._repository.etag(shard.name), shard.size)


class Fetch(Generic[T]):
    """Something that is fetched on a thread of its own, which never keeps the process alive.

    Args:
        run: Fetches it.
        download: What ``run`` runs, if it is one that tells how far it is and can be stopped.
    """

    def __init__(self, run: Callable[[], T], download: Download | None = None) -> None:
        self._run = run
        self._download = download
        self._found: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, name="sus-local-fetch", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            self._found.append(self._run())
        except BaseException as error:
            self._error = error

    def wait(self, waiting: Waiting = lambda num_bytes: None) -> T:
        """What was fetched, or the error that stopped it. Ctrl-C is heard on every platform."""
        while self._thread.is_alive():
            if self._download is not None:
                waiting(self._download.num_bytes)
            self._thread.join(_POLL_S)
        if self._error is not None:
            raise self._error
        return self._found[0]

    def stop(self) -> None:
        """End it soon, and let go of the file."""
        if self._download is not None:
            self._download.stop()
            self._thread.join(_STOP_S)
