"""A shard on this machine, mapped into memory instead of read."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import threading
from pathlib import Path

from sus_local.errors import ShardError

from .source import Shard, TensorInfo

_READ_BYTES = 1 << 18


class MappedShard:
    """A :class:`~sus_local.convert.source.ShardReader` over a memory map.

    It is hashed as its bytes are dropped, while they are still in memory.

    Args:
        path: The file.
        shard: What it is expected to be; its size is checked before the map is made.
        digest: Its SHA-256 where somebody has computed it already.

    Raises:
        ShardError: The file has another size than its header was read with.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path, shard: Shard, *, digest: str | None = None) -> None:
        self.path = path
        self._digest = digest
        self._expected = shard.sha256
        self._closed = False
        self._hash, self._hashed = hashlib.sha256(), 0
        self._hashing = threading.Lock()
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size != shard.size:
                raise ShardError(
                    f"{shard.name} changed while it was in use: {size} bytes, before {shard.size}",
                    hint="run the same command again",
                    shard=shard.name,
                    size=size,
                    expected_size=shard.size,
                )
            self._map, self._size = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), size
        self._advise("MADV_SEQUENTIAL", 0, size)

    def __enter__(self) -> MappedShard:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the map go; views that somebody still holds keep it alive until they are gone."""
        self._closed = True
        with contextlib.suppress(BufferError):
            self._map.close()

    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the whole file.

        Raises:
            ShardError: It is not the expected one.
            ValueError: The shard was closed meanwhile.
        """
        if self._digest is None:
            with self._hashing:
                self._hash_to(self._size)
            self._digest = self._hash.hexdigest()
        if self._expected not in (None, self._digest):
            raise ShardError(
                f"{self.path.name} is corrupt: its SHA-256 is {self._digest}, "
                f"the hub's is {self._expected}",
                hint=f"delete {self.path}, then run the same command again",
                sha256=self._digest,
                expected_sha256=self._expected,
            )
        return self._digest

    def read(self, tensor: TensorInfo, start: int = 0, end: int | None = None) -> memoryview:
        """Bytes ``start`` to ``end`` of a tensor, not copied."""
        first, last = _range(tensor, start, end)
        return memoryview(self._map)[first:last]

    def drop(self, tensor: TensorInfo, start: int = 0, end: int | None = None) -> None:
        """Let those bytes leave memory; reading them again is correct, only slower."""
        first, last = _range(tensor, start, end)
        # Who finds another thread at it goes on: the next one hashes these bytes, too.
        if self._digest is None and self._hashing.acquire(blocking=False):
            try:
                self._hash_to(last)
            finally:
                self._hashing.release()
        self._forget(first, last)

    def _hash_to(self, end: int) -> None:
        """Go on to hash up to there; the lock is held. Pieces, for Ctrl-C must not wait long."""
        while self._hashed < end:
            if self._closed:
                raise ValueError(f"{self.path.name} was closed while it was read")
            first, last = self._hashed, min(self._hashed + _READ_BYTES, end)
            self._hash.update(memoryview(self._map)[first:last])
            self._hashed = last
            self._forget(first, last)

    def _forget(self, first: int, last: int) -> None:
        first -= first % mmap.PAGESIZE
        if last > first:
            self._advise("MADV_DONTNEED", first, last - first)

    def _advise(self, advice: str, start: int, length: int) -> None:
        # Windows has no madvise: its working set is trimmed under pressure anyway.
        number = getattr(mmap, advice, None)
        if number is not None:
            self._map.madvise(number, start, length)


def _range(tensor: TensorInfo, start: int, end: int | None) -> tuple[int, int]:
    stop = tensor.num_bytes if end is None else end
    if not 0 <= start <= stop <= tensor.num_bytes:
        raise ValueError(f"bytes {start} to {stop} of {tensor.num_bytes} in {tensor.name}")
    return tensor.start + start, tensor.start + stop
