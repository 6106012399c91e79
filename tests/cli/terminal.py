"""The program in a pseudo-terminal, and the screen that a user would see."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pyte

SCRIPTED = Path(__file__).with_name("scripted.py")
SECONDS = 60.0
BEGIN, END = b"\x1b[?2026h", b"\x1b[?2026l"
"""The marks of a frame."""


class Terminal:
    """A running program and its screen; a context manager.

    Args:
        args: What stands after ``sus-local``.
        scripted: With a scripted model, see ``scripted.py``.
        rows, columns: Of the screen.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        scripted: bool = True,
        rows: int = 40,
        columns: int = 80,
        env: Mapping[str, str] | None = None,
    ) -> None:
        start = [str(SCRIPTED)] if scripted else ["-m", "sus_local"]
        variables = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})}
        self.screen = pyte.HistoryScreen(columns, rows, history=5000)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.frames: list[str] = []
        self.began = time.monotonic()
        self._child = pexpect.spawn(
            sys.executable, [*start, *args], env=variables, dimensions=(rows, columns), timeout=None
        )
        self._child.delaybeforesend = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended yet."""
        return bool(self._child.isalive())

    @property
    def text(self) -> str:
        """What is on the screen, without empty lines at the end."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def scrolled(self) -> str:
        """What was ever printed: lines that scrolled away, and the screen."""
        top = [
            "".join(line[column].data for column in sorted(line)).rstrip()
            for line in self.screen.history.top
        ]
        return "\n".join([*top, self.text])

    def wait_for(self, text: str, *, seconds: float = SECONDS) -> float:
        """Wait until ``text`` is on the screen; gives the seconds since the start."""
        return self.wait_until(lambda: text in self.text, f"{text!r} to appear", seconds=seconds)

    def wait_gone(self, text: str) -> None:
        """Wait until ``text`` is on the screen no more."""
        self.wait_until(lambda: text not in self.text, f"{text!r} to go")

    def wait_until(self, condition: object, what: str, *, seconds: float = SECONDS) -> float:
        """Read what the program writes until ``condition()`` holds."""
        assert callable(condition)
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what}; the screen:\n{self.text}")
            self._read(0.05)
        return time.monotonic() - self.began

    def _read(self, seconds: float) -> None:
        try:
            self._take(self._child.read_nonblocking(1 << 16, timeout=seconds))
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            time.sleep(seconds)

    def _take(self, written: bytes) -> None:
        """Show what was written; where a frame ends in it, keep what the screen shows then."""
        self.written += written
        *whole, rest = written.split(END)
        for frame in whole:
            self._stream.feed(frame + END)
            self.frames.append(self.text)
        self._stream.feed(rest)

    def type(self, keys: str) -> None:
        """Press keys."""
        self._child.send(keys)

    def send(self, line: str) -> None:
        """Type a line and press Enter."""
        self.type(line + "\r")

    def paste(self, text: str) -> None:
        """Paste, as terminals do it."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        self.screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    @property
    def modes(self) -> list[Any]:
        """Of the terminal: whether it shows what is typed, and the like."""
        return termios.tcgetattr(self._child.child_fd)

    def signal(self, number: int) -> None:
        """Send the program a signal."""
        self._child.kill(number)

    def kill(self) -> None:
        """End the program as a power cut would."""
        self._child.kill(signal.SIGKILL)
        self._child.wait()

    def wait_end(self) -> int:
        """Wait until the program has ended; gives its exit status."""
        end = time.monotonic() + SECONDS
        while self._child.isalive():
            if time.monotonic() > end:
                raise AssertionError(f"the program does not end; the screen:\n{self.text}")
            self._read(0.05)
        self._read(0.05)
        return int(self._child.exitstatus if self._child.exitstatus is not None else -1)
