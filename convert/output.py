"""One output in the making: its partial files, its journal, and its end.

Files are written as ``NAME.partial``. A tensor is done when it is written, synced and read back; an
output when all are, and it has its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from sus_local.convert.journal import Journal, OutputLock
from sus_local.convert.readback import Opened, Readback, read_range
from sus_local.convert.writer import ALIGNMENT, Layout, Place, part_name
from sus_local.errors import NonFiniteError, OutputHeldError
from sus_local.models import manifest_path, read_manifest, write_manifest


class Output:
    """One output, this process's alone while its context is entered; after :meth:`begin`, open.

    Before that an earlier attempt's files stay as they are: a run begins when it holds all outputs.

    A file grows as it is written: on some systems one cannot be lengthened without writing zeros.

    Args:
        path: The final path; of several files, the path without their numbers.
        layout: What lies where.
        fingerprint: Of everything that decides the bytes.

    Attributes:
        done: SHA-256 of every tensor that is on the disk; before :meth:`begin`, as an earlier
            attempt says.
    """

    def __init__(self, path: Path, layout: Layout, fingerprint: str, *, mixture: str) -> None:
        self.path, self.layout, self.mixture = path, layout, mixture
        self.fingerprint = fingerprint
        count = len(layout.parts)
        self.paths = [path.with_name(part_name(path.name, n, count)) for n in range(count)]
        self.partial = [path.with_name(path.name + ".partial") for path in self.paths]
        self.journal = Journal(path.with_name(path.name + ".journal"), fingerprint)
        self._files: list[Opened] = []
        self._stack = ExitStack()
        self._readback: Readback

    @property
    def done(self) -> dict[str, str]:
        """SHA-256 of every tensor that is on the disk, as far as that is checked."""
        return self.journal.tensors

    def finished(self) -> list[str] | None:
        """The SHA-256 of every file, if this very output was made before and is still there.

        One that ``sus-local models verify`` found damaged is made anew.
        """
        manifest = read_manifest(self.paths[0])
        if manifest.get("fingerprint") != self.fingerprint or manifest.get("damaged"):
            return None
        sizes = [path.stat().st_size if path.is_file() else -1 for path in self.paths]
        digests = _digests(manifest.get("files"))
        if sizes != [part.size for part in self.layout.parts] or len(digests) != len(sizes):
            return None
        return digests

    def held_bytes(self) -> int:
        """Bytes that the files of an earlier attempt take on disk already."""
        held = [path for path in self.partial if path.exists()]
        if Journal.open(self.journal.path, self.fingerprint).tensors:
            held += [path for _, path in self._named_early()]
        return sum(_taken(path) for path in held)

    def clear(self) -> None:
        """Remove what an attempt that was killed at its very end left beside a finished output."""
        rests = [path for path in (self._lock_path, self.journal.path) if path.exists()]
        if rests:
            with contextlib.suppress(OutputHeldError), self._lock():
                self.journal.path.unlink(missing_ok=True)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    def _lock(self) -> OutputLock:
        return OutputLock(self._lock_path, self.journal.path)

    def __enter__(self) -> Output:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(self._lock())
            self.journal = Journal.open(self.journal.path, self.fingerprint)
            for name in self.done.keys() - self.layout.places.keys():
                del self.done[name]
            self._stack = stack.pop_all()
        return self

    def claim(self) -> None:
        """Say in the journal who holds it, once a run has entered all its outputs.

        Until then it may be the journal of another conversion, which goes on where this one cannot.
        """
        self.journal.begin()
        self._stack.push(self._clean_up)

    def begin(self, progress: Callable[[int], None]) -> None:
        """Check what an earlier attempt wrote to a claimed output, and open the files.

        Args:
            progress: Told the bytes of each step, :attr:`resumable_bytes` in all.
        """
        self._take_back() if self.done else self._clear_partial()
        for name, digest in list(self.done.items()):
            if self._digest(self.layout.places[name], progress) != digest:
                del self.done[name]
        if not self.done:
            self.journal.shards.clear()
        with ExitStack() as stack:
            self._files = [self._open(number, stack) for number in range(len(self.partial))]
            self.journal.begin()
            self._readback = Readback(self._files, self.done, self._finish_tensor)
            stack.callback(self._readback.close)
            self._stack.push(stack.pop_all())

    def _take_back(self) -> None:
        """Go on where an attempt was killed while it gave the files their names."""
        for partial, path in self._named_early():
            os.replace(path, partial)

    def _named_early(self) -> list[tuple[Path, Path]]:
        """The partial files that have their names, though no manifest says that all have."""
        if manifest_path(self.paths[0]).exists():
            return []
        pairs = zip(self.partial, self.paths, strict=True)
        return [pair for pair in pairs if pair[1].exists() and not pair[0].exists()]

    def _clear_partial(self) -> None:
        """Remove what another conversion to this output left, in however many files."""
        counted = rf"{re.escape(self.path.stem)}(-\d{{5}}-of-\d{{5}})?\.(?i:gguf)\.partial"
        for path in self.path.parent.iterdir():
            if re.fullmatch(counted, path.name) and path not in self.partial:
                path.unlink()

    @property
    def resumable_bytes(self) -> int:
        """Of the tensors that an earlier attempt says it wrote."""
        return sum(self.layout.places[name].size for name in self.done)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _clean_up(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what nobody can go on with, while the output is held and its files are closed."""
        useless = isinstance(error, NonFiniteError) and self._must_fail(error)
        for path in self.partial if useless else ():
            path.unlink(missing_ok=True)
        if useless or not self.done:
            self.journal.path.unlink(missing_ok=True)

    def _must_fail(self, error: NonFiniteError) -> bool:
        """Whether the weight that stopped it is one for every type, or for this one's here."""
        tensor, kind = error.numbers.get("tensor"), error.numbers.get("type")
        types = [p.type for p in self.layout.places.values() if p.spec.source == tensor]
        return kind is None or kind in types

    def _digest(self, place: Place, progress: Callable[[int], None]) -> str | None:
        digest = hashlib.sha256()
        try:
            with self.partial[place.part].open("rb") as file:
                for piece in read_range(file, place.offset, place.size):
                    digest.update(piece)
                    progress(len(piece))
        except OSError:
            return None
        return digest.hexdigest()

    def _open(self, number: int, stack: ExitStack) -> Opened:
        part, path = self.layout.parts[number], self.partial[number]
        # No rest of another conversion stays, which may have been longer.
        resumed = bool(self.done) and path.exists()
        file = stack.enter_context(path.open("r+b" if resumed else "w+b", buffering=0))
        write_all(file, part.header)
        read = stack.enter_context(path.open("rb", buffering=0))
        places = [place for place in self.layout.places.values() if place.part == number]
        return Opened(self.paths[number], file, read, part, places)

    def write(self, place: Place, offset: int, data: memoryview) -> None:
        """Write bytes of a tensor, ``offset`` from its first; nobody may change them afterwards.

        Raises:
            VerificationError: Something written before is not on disk as it was written.
        """
        file = self._files[place.part].written
        file.seek(place.offset + offset)
        write_all(file, data)
        if offset + len(data) == place.size:
            write_all(file, bytes(-place.size % ALIGNMENT))
        self._readback.add(place, offset, data)

    def _finish_tensor(self, place: Place, digest: str) -> None:
        self.journal.add_tensor(place.spec.name, digest)

    def finish_shard(self, shard: str, digest: str) -> None:
        """Everything that comes from a shard is written: make it last, for the shard may go."""
        self._readback.drain()
        self.journal.add_shard(shard, digest)

    def verify(self, progress: Callable[[int], None]) -> list[str]:
        """See that everything is on disk as it was written; the SHA-256 of every file.

        Args:
            progress: Told the bytes of each step.

        Raises:
            VerificationError: It is not.
        """
        digests = self._readback.finish(progress)
        for file in self._files:
            os.fsync(file.written.fileno())
        return digests

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """Give the files their names and a manifest; the journal's work is over.

        Killed at any moment, no manifest lies beside files that are not its own.
        """
        for file in self._files:
            file.written.close()
            file.read.close()
        manifest_path(self.paths[0]).unlink(missing_ok=True)
        for partial, path in zip(self.partial, self.paths, strict=True):
            os.replace(partial, path)
        write_manifest(self.paths[0], manifest)
        sync_folder(self.path.parent)
        self.journal.path.unlink(missing_ok=True)


def _digests(files: object) -> list[str]:
    """The checksums that a manifest lists; none if it is damaged."""
    entries = files if isinstance(files, list) else []
    found = [entry.get("sha256") for entry in entries if isinstance(entry, dict)]
    return [digest for digest in found if isinstance(digest, str)]


def _taken(path: Path) -> int:
    """Bytes of a file on its disk: it may have holes; where the system does not tell, all."""
    stat = path.stat()
    blocks = getattr(stat, "st_blocks", None)
    return stat.st_size if blocks is None else min(blocks * 512, stat.st_size)


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write everything, however little the system takes at once."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def sync_folder(folder: Path) -> None:
    """Make a rename last, where the system can be told so (Windows cannot)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
