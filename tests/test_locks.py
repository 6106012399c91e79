"""A lock file keeps other processes out, and stops nobody where no file can be locked."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sus_local.locks import LockFile

CODES = ["ENOSYS", "ENOLCK", "ENOTSUP", "EOPNOTSUPP"]

_HOLD = """
import sys
from pathlib import Path
from sus_local.locks import LockFile
lock = LockFile(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> LockFile:
    return LockFile(tmp_path / "lock")


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the file system refuse each lock with an error."""
    pytest.importorskip("fcntl")

    def choose(code: int) -> None:
        def flock(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("fcntl.flock", flock)

    return choose


def test_one_process_holds_it_until_it_is_released_or_killed(lock: LockFile) -> None:
    command = [sys.executable, "-c", _HOLD, str(lock.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not lock.acquire()
        holder.kill()
    assert lock.acquire(timeout=20)
    again = LockFile(lock.path)
    assert not again.acquire()
    lock.release()
    assert not lock.path.exists()
    assert again.acquire()
    again.release()


@pytest.mark.parametrize("code", CODES)
def test_where_no_file_can_be_locked_everybody_holds_it(
    lock: LockFile, refuse: Callable[[int], None], code: str
) -> None:
    refuse(getattr(errno, code))
    other = LockFile(lock.path)
    assert lock.acquire()
    assert other.acquire(timeout=-1)
    lock.release()
    other.release()
    assert not lock.path.exists()


def test_whatever_else_fails_is_told(lock: LockFile, refuse: Callable[[int], None]) -> None:
    refuse(errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        lock.acquire()
