"""What was written is read again from the disk and compared, while the rest is still being made.

So a conversion ends moments after its last weight is quantized, not a second pass later.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import BinaryIO

import numpy as np

from sus_local.convert.disk import DiskReader
from sus_local.convert.estimates import BATCH_BYTES
from sus_local.convert.quantize import Bytes
from sus_local.convert.writer import ALIGNMENT, Part, Place
from sus_local.errors import VerificationError

_BATCH_S = 0.5
_READ_BYTES = 1 << 18
_CACHE_BLOCK_BYTES = 1 << 21
"""Linux caches in aligned blocks of up to this size; one that is dropped in part stays."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One partial file.

    Attributes:
        path: For messages: the name that it will have.
        written: Open for writing, to be synced.
        read: The same file, open for reading; unbuffered.
        part: What it should be.
        places: Of its tensors, in the order of its bytes.
    """

    path: Path
    written: BinaryIO
    read: BinaryIO
    part: Part
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class _Piece:
    place: Place
    offset: int
    data: memoryview

    @property
    def start(self) -> int:
        """Its first byte in the file."""
        return self.place.offset + self.offset

    @property
    def end(self) -> int:
        """One past its last byte in the file."""
        return self.start + len(self.data)


class Readback:
    """Checks pieces behind their writer, on a thread of its own.

    They are gathered for half a second or 16 MB, then synced, dropped from the system's cache where
    it takes such advice, read and compared with what was to be written. The pieces of a tensor come
    in order. An error is raised by the next call.

    Args:
        files: Of one output.
        done: Names of the tensors that are checked; those of an earlier attempt, at first.
        checked: Told each tensor and its SHA-256 once it is on the disk; it adds to ``done``.
    """

    def __init__(
        self,
        files: Sequence[Opened],
        done: Container[str],
        checked: Callable[[Place, str], None],
    ) -> None:
        self._files, self._done, self._checked = files, done, checked
        self._disks = [DiskReader(file.read) for file in files]
        self._wholes = [_FileDigest(*pair) for pair in zip(files, self._disks, strict=True)]
        self._digests: dict[str, hashlib._Hash] = {}
        self._batch: list[_Piece] = []
        self._batch_bytes, self._batch_since = 0, time.monotonic()
        self._queue: Queue[list[_Piece] | None] = Queue(maxsize=1)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="readback", daemon=True)
        self._thread.start()

    def add(self, place: Place, offset: int, data: memoryview) -> None:
        """Bytes that were written, ``offset`` from the first of a tensor; nobody changes them."""
        self._batch.append(_Piece(place, offset, data))
        self._batch_bytes += len(data)
        waited = time.monotonic() - self._batch_since
        if self._batch_bytes >= BATCH_BYTES or waited >= _BATCH_S:
            self._hand_over()

    def drain(self) -> None:
        """Wait until everything so far is on the disk and checked.

        Raises:
            VerificationError: What is on disk is not what was written.
        """
        self._hand_over()
        self._queue.join()
        self._raise()

    def finish(self, progress: Callable[[int], None]) -> list[str]:
        """Check what is left; the SHA-256 of every file.

        Args:
            progress: Told the bytes of tensors that each step covers.

        Raises:
            VerificationError: What is on disk is not what was written.
        """
        self.drain()
        for whole in self._wholes:
            progress(whole.tensor_bytes)
            for size in whole.advance(self._done):
                progress(size)
        return [whole.finish() for whole in self._wholes]

    def close(self) -> None:
        """Check what was written so far, as well as that goes, and end the thread."""
        if self._thread.is_alive():
            self._queue.put(self._batch)
            self._queue.put(None)
            self._thread.join()
            for disk in self._disks:
                disk.close()

    def _hand_over(self) -> None:
        self._raise()
        self._queue.put(self._batch)
        self._batch, self._batch_bytes = [], 0
        self._batch_since = time.monotonic()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            # After an error batches are only taken away, so that their writer never waits.
            if self._error is None:
                try:
                    self._check(batch)
                except Exception as error:
                    self._error = error
            self._queue.task_done()

    def _check(self, batch: Sequence[_Piece]) -> None:
        for number in {piece.place.part for piece in batch}:
            self._settle(number, [piece for piece in batch if piece.place.part == number])
            self._follow(number)
        for piece in batch:
            self._check_piece(piece)

    def _settle(self, number: int, batch: Sequence[_Piece]) -> None:
        """Bring a file's pieces to the disk, and out of memory."""
        written = self._files[number].written
        _sync(written)
        # At once: then the system reads ahead from piece to piece.
        _forget(written, min(piece.start for piece in batch), max(piece.end for piece in batch))

    def _follow(self, number: int) -> None:
        deque(self._wholes[number].advance(self._done), maxlen=0)

    def _check_piece(self, piece: _Piece) -> None:
        place, path = piece.place, self._files[piece.place.part].path
        digest = self._digests.setdefault(place.spec.name, hashlib.sha256())
        start, expected = piece.start, np.frombuffer(piece.data, np.uint8)
        for found in self._disks[place.part].read(start, len(expected)):
            if not _are_equal(np.frombuffer(found, np.uint8), expected[: len(found)]):
                raise differs(path, place.spec.name)
            digest.update(found)
            self._wholes[place.part].take(start, found)
            start, expected = start + len(found), expected[len(found) :]
        if len(expected):
            raise differs(path, place.spec.name)
        if start == place.offset + place.size:
            self._checked(place, self._digests.pop(place.spec.name).hexdigest())
            self._follow(place.part)


def _are_equal(one: Bytes, other: Bytes) -> bool:
    """Whether two rows of bytes are the same; eight at once are compared several times as fast."""
    whole = len(one) - len(one) % 8
    return (
        len(one) == len(other)
        and np.array_equal(one[:whole].view(np.uint64), other[:whole].view(np.uint64))
        and np.array_equal(one[whole:], other[whole:])
    )


class _FileDigest:
    """The SHA-256 of a file, taken in the order of its bytes as far as they are done."""

    def __init__(self, file: Opened, disk: DiskReader) -> None:
        self._file, self._disk = file, disk
        self._digest, self._position = hashlib.sha256(), 0
        self._places = deque(file.places)
        self.tensor_bytes = 0

    def take(self, start: int, data: memoryview) -> None:
        """Bytes of a tensor as they were read; what is not next is read again later."""
        if start == self._position:
            self._update(data)
            self.tensor_bytes += len(data)

    def advance(self, done: Container[str]) -> Iterator[int]:
        """Go through the tensors that are done and next; yields the sizes of the steps."""
        if not self._position:
            self._header()
        while self._places and self._places[0].spec.name in done:
            place = self._places.popleft()
            left = place.offset + place.size - self._position
            for data in self._disk.read(self._position, left):
                self._update(data)
                self.tensor_bytes += len(data)
                yield len(data)
            self._padding(place)

    def finish(self) -> str:
        """The digest; everything has to be done."""
        size = self._file.part.size
        if self._position != size or self._file.read.seek(0, os.SEEK_END) != size:
            raise differs(self._file.path, "its length")
        return self._digest.hexdigest()

    def _header(self) -> None:
        header = self._file.part.header
        found = b"".join(read_range(self._file.read, 0, len(header)))
        if found != header:
            raise differs(self._file.path, "its header")
        self._update(found)

    def _padding(self, place: Place) -> None:
        padding = b"".join(read_range(self._file.read, self._position, -place.size % ALIGNMENT))
        if any(padding):
            raise differs(self._file.path, f"the padding after {place.spec.name}")
        self._update(padding)

    def _update(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._position += len(data)


def read_range(file: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    """The bytes of a range in small pieces; fewer where the file ends."""
    file.seek(offset)
    while size > 0:
        piece = file.read(min(size, _READ_BYTES))
        if not piece:
            return
        size -= len(piece)
        yield piece


def _sync(file: BinaryIO) -> None:
    sync = getattr(os, "fdatasync", os.fsync)
    sync(file.fileno())


def _forget(file: BinaryIO, start: int, end: int) -> None:
    """Have the next reading come from the disk; macOS and Windows take no such advice."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None:
        start -= start % _CACHE_BLOCK_BYTES
        advise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)


def differs(path: Path, what: str) -> VerificationError:
    """The error for a file that is not on disk as it was written."""
    return VerificationError(
        f"{what} of {path.name} is not on disk as it was written",
        hint="the disk may be failing: convert again, to another one",
        path=str(path),
    )
