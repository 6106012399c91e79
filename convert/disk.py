"""What a disk holds, read around the system's cache where the system lets one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

_ALIGNMENT = 1 << 12
"""Of offsets, lengths and memory: enough for every disk."""

_READ_BYTES = 1 << 19


class DiskReader:
    """Reads ranges of a file from its disk.

    Around the system's cache, for that costs more than the reading: fresh memory, and a copy. Where
    there is no way around it, as on macOS and Windows, through it.

    Args:
        file: Open for reading, unbuffered; it is opened by its name once more.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._direct = _open_direct(file)
        room = np.empty(_READ_BYTES + _ALIGNMENT, np.uint8)
        first = -room.ctypes.data % _ALIGNMENT
        self._room = room.data[first : first + _READ_BYTES]

    def read(self, offset: int, size: int) -> Iterator[memoryview]:
        """The bytes of a range; fewer where the file ends. A piece is valid until the next one."""
        end = offset + size
        while offset < end:
            skipped = offset % _ALIGNMENT
            wanted = min(skipped + end - offset, _READ_BYTES)
            count = min(self._fill(offset - skipped, wanted), wanted)
            if count <= skipped:
                return
            yield self._room[skipped:count]
            offset += count - skipped

    def close(self) -> None:
        """Let the file go, as far as this opened it."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def _fill(self, offset: int, size: int) -> int:
        if self._direct is not None:
            try:
                whole = self._room[: -(-size // _ALIGNMENT) * _ALIGNMENT]
                return os.preadv(self._direct, [whole], offset)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # Some file systems tell only now that they cannot.
                self.close()
        self._file.seek(offset)
        return self._file.readinto(self._room[:size])  # type: ignore[attr-defined, no-any-return]


def _open_direct(file: BinaryIO) -> int | None:
    flag = getattr(os, "O_DIRECT", None)
    if flag is None:
        return None
    try:
        return os.open(file.name, os.O_RDONLY | os.O_CLOEXEC | flag)
    except OSError:
        return None
