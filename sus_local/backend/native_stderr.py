"""What native code writes to the standard error, past Python: :func:`captured`."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

_STDERR = 2
_lock = threading.Lock()


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Keep what is written meanwhile: lines that are in the list afterwards.

    It is the whole process's standard error, so the time should be short. Nothing is kept where
    there is none, or no place for a temporary file.

    >>> with captured() as lines:
    ...     done = os.write(2, b"one\\ntwo")
    >>> lines
    ['one', 'two']
    """
    lines: list[str] = []
    with _lock, contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile())
            before = os.dup(_STDERR)
        except OSError:
            yield lines
            return
        os.dup2(file.fileno(), _STDERR)
        try:
            yield lines
        finally:
            os.dup2(before, _STDERR)
            os.close(before)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()
