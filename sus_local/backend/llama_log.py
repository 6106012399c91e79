"""llama.cpp's log: silent, but for the last lines, which an error message needs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from llama_cpp import llama_cpp as c

_REASON = "error loading model: "
"""What llama.cpp says before the reason; a line without one follows."""


class Log:
    """Takes llama.cpp's log: silent, but for the last lines that an error message needs."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=50)
        self._installed = False
        self._callback = c.llama_log_callback(self._take)

    def install(self) -> None:
        """Take what llama.cpp says from now on; before anything else is asked of it, for it greets
        with the GPUs that it finds."""
        if not self._installed:
            c.llama_log_set(self._callback, ctypes.c_void_p(0))
            c.llama_backend_init()
            self._installed = True

    @contextlib.contextmanager
    def collecting(self) -> Iterator[deque[str]]:
        """The lines that come meanwhile."""
        self.install()
        self._lines.clear()
        yield self._lines

    def last(self) -> str:
        """Why a model was not loaded, or the last line that says something went wrong."""
        for line in self._lines:
            _, found, reason = line.partition(_REASON)
            if found:
                return " ".join(reason.split())
        words = ("error", "fail", "invalid", "unable", "not ")
        wrong = [line for line in self._lines if any(word in line.lower() for word in words)]
        return (wrong or list(self._lines) or ["no reason was given"])[-1]

    def _take(self, level: int, text: bytes, _: Any) -> None:
        line = text.decode("utf-8", errors="replace").rstrip()
        if line and level != 1:
            self._lines.append(line)
        if os.environ.get("SUS_LOCAL_DEBUG") == "1" and line:
            print(line, file=sys.stderr)


log = Log()
