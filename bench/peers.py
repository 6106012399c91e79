"""The chats that are compared in a terminal: how each is started, and what is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pexpect
import psutil
import pyte

ROWS, COLUMNS = 50, 160
SECONDS = 120.0
_OWN_LINES = re.compile(r"^\s*(>|⠋|⠙|⠹|⠸|⠼|⠴|⠦|⠧|⠇|⠏|\.\.\.)")
_PROMPT = re.compile(r"^>+$")
WORD = re.compile(r"\bw\d+\b")
"""A word of the random model."""


class Peer(Protocol):
    """A program with a chat."""

    @property
    def name(self) -> str:
        """For the table's head."""
        ...

    def command(self, model: Path, *, resume: bool) -> list[str] | None:
        """The chat's command line; None where nothing can be resumed."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Variables of its own."""
        ...

    def kept(self) -> str:
        """The last conversation, as the program itself gives it back."""
        ...


@dataclass(frozen=True)
class SusLocalChat:
    """This project."""

    home: Path
    name: str = "sus-local chat"

    def command(self, model: Path, *, resume: bool) -> list[str] | None:
        """As a user calls it."""
        what = ["--continue"] if resume else [str(model)]
        return [sys.executable, "-m", "sus_local", "chat", *what, "--temp", "0"]

    def environment(self) -> Mapping[str, str]:
        """Everything it writes goes under ``home``."""
        return {"SUS_LOCAL_HOME": str(self.home)}

    def kept(self) -> str:
        """The latest conversation of the history."""
        return _output([sys.executable, "-m", "sus_local", "history", "show"], self)


@dataclass(frozen=True)
class LlamaCli:
    """llama.cpp's own chat, which keeps nothing."""

    program: Path
    name: str = "llama-cli"

    def command(self, model: Path, *, resume: bool) -> list[str] | None:
        """As a user calls it."""
        return None if resume else [str(self.program), "-m", str(model), "--temp", "0"]

    def environment(self) -> Mapping[str, str]:
        """None."""
        return {}

    def kept(self) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True)
class Llm:
    """``llm chat`` with the plugin llm-gguf."""

    program: Path
    home: Path
    name: str = "llm chat (llm-gguf)"

    def command(self, model: Path, *, resume: bool) -> list[str] | None:
        """As a user calls it, once the model is registered."""
        if resume:
            return [str(self.program), "chat", "-c"]
        register = [str(self.program), "gguf", "register-model", model.stem, str(model)]
        _output(register, self)
        return [str(self.program), "chat", "-m", f"gguf/{model.stem}"]

    def environment(self) -> Mapping[str, str]:
        """Everything it writes goes under ``home``."""
        return {"LLM_USER_PATH": str(self.home)}

    def kept(self) -> str:
        """The last logged response."""
        return _output([str(self.program), "logs", "list", "-n", "1", "--json"], self)


def _output(command: list[str], peer: Peer) -> str:
    done = subprocess.run(
        command, env={**os.environ, **peer.environment()}, capture_output=True, check=False
    )
    return done.stdout.decode("utf-8", "replace")


@dataclass
class TerminalChat:
    """A chat in a pseudo-terminal; a context manager."""

    peer: Peer
    command: list[str]
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        variables = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self.screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10000, ratio=1.0)
        self._stream = pyte.ByteStream(self.screen)
        self._child = pexpect.spawn(
            self.command[0],
            self.command[1:],
            env={**variables, **self.peer.environment()},
            dimensions=(ROWS, COLUMNS),
            timeout=None,
        )
        self._child.delaybeforesend = None

    def __enter__(self) -> TerminalChat:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def lines(self) -> list[str]:
        """The screen."""
        return [line.rstrip() for line in self.screen.display]

    def words(self) -> int:
        """How many words of the random model were ever shown."""
        top = ["".join(row[i].data for i in sorted(row)) for row in self.screen.history.top]
        return len(WORD.findall("\n".join([*top, *self.lines()])))

    def is_ready(self) -> bool:
        """Whether the prompt stands at the end and nothing is going on."""
        lines = [line for line in self.lines() if line]
        busy = any("working …" in line or "loading " in line for line in lines[-3:])
        return bool(lines) and bool(_PROMPT.match(lines[-1])) and not busy

    def shows_prompt(self) -> bool:
        """Whether one can type, whatever is going on."""
        lines = [line for line in self.lines() if line]
        return bool(lines) and bool(_PROMPT.match(lines[-1]))

    def has_ended(self) -> bool:
        """Whether the program is gone."""
        return not self._child.isalive()

    def type(self, keys: str) -> None:
        """Press keys."""
        self._child.send(keys)

    def wait(self, condition: Callable[[], bool], seconds: float = SECONDS) -> float:
        """Read until ``condition()``; gives the seconds that it took."""
        took = self.wait_at_most(condition, seconds)
        if took is None:
            raise SystemExit(f"{self.peer.name} hangs:\n" + "\n".join(self.lines()))
        return took

    def wait_at_most(self, condition: Callable[[], bool], seconds: float) -> float | None:
        """As ``wait``; None where it takes longer than ``seconds``."""
        began = time.perf_counter()
        while not condition():
            if time.perf_counter() - began > seconds:
                return None
            self.read(0.005)
        return time.perf_counter() - began

    def read(self, seconds: float) -> None:
        """Take what the program writes."""
        try:
            self._stream.feed(self._child.read_nonblocking(1 << 16, timeout=seconds))
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            time.sleep(seconds)

    def read_for(self, seconds: float) -> None:
        """Take what the program writes in this time."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.read(0.01)

    def ask(self, question: str) -> float:
        """Type a question; gives the seconds from Enter to the first letters of the answer."""
        self.type(question)
        self.wait(lambda: self._after(question) is not None)
        self.type("\r")
        return self.wait(lambda: bool(re.search(r"\w\w", self._after(question) or "")))

    def _after(self, question: str) -> str | None:
        """What the screen shows below the question, without the program's own lines."""
        whole = "".join(self.screen.display)
        end = whole.rfind(question[-20:])
        if end < 0:
            return None
        rows = self.lines()[(end + 20) // COLUMNS + 1 :]
        return "\n".join(row for row in rows if not _OWN_LINES.match(row))

    def kill(self) -> None:
        """As a power cut would."""
        self._child.kill(signal.SIGKILL)
        self._child.wait()

    def memory(self) -> int:
        """Bytes of memory in use by the program."""
        return sum(each.memory_info().rss for each in self._processes())

    def processor_seconds(self) -> float:
        """Processor time spent so far."""
        times = [each.cpu_times() for each in self._processes()]
        return sum(each.user + each.system for each in times)

    def _processes(self) -> list[psutil.Process]:
        process = psutil.Process(self._child.pid)
        return [process, *process.children(recursive=True)]
