"""Lock files: how a process keeps others from what it writes."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems say that cannot lock: NFS without its lock daemon, SMB, some of FUSE."""


class LockFile:
    """A file that one process at a time holds; it is there meanwhile.

    Where no file can be locked everybody holds it.

    Args:
        path: In a folder that exists.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        self.path = path
        # Else it would take the file's existence for a lock there, and a kill would leave it.
        self._lock = FileLock(path, fallback_to_soft=False)

    def acquire(self, *, timeout: float = 0.0) -> bool:
        """Hold it, unless another process does.

        Args:
            timeout: Seconds to wait for that one; -1 for as long as it takes.

        Returns:
            Whether it is held.

        Raises:
            OSError: The file cannot be made.
        """
        from filelock import Timeout

        try:
            self._lock.acquire(timeout=timeout)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True

    def release(self) -> None:
        """Delete the file and let go of it, in this order: afterwards it may be another's."""
        with suppress(OSError):
            self.path.unlink()
        self._lock.release()
