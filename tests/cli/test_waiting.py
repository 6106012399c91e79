"""The line that tells what is waited for."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable

import pytest

from sus_local.cli import waiting
from sus_local.cli.waiting import Waiting

WAIT_S = 10.0


class Stream(io.StringIO):
    """Standard error, of a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Stream]:
    def use(terminal: bool) -> Stream:
        made = Stream(terminal=terminal)
        monkeypatch.setattr(sys, "stderr", made)
        monkeypatch.setenv("TERM", "xterm-256color")
        return made

    return use


def wait_for(stream: Stream, text: str) -> None:
    end = time.monotonic() + WAIT_S
    while text not in stream.getvalue():
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.01)


def test_the_words_are_asked_again_and_again(
    stderr: Callable[[bool], Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_PATIENCE_S", 0.0)
    stream = stderr(True)
    with Waiting() as line:
        line.words = lambda: "loading … 10%"
        wait_for(stream, "loading … 10%")
        line.words = lambda: "loading … 20%"
        wait_for(stream, "loading … 20%")
    assert stream.getvalue().endswith("\x1b[2K")  # the line is erased


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_shown_of_what_is_over_at_once_or_where_nobody_looks(
    stderr: Callable[[bool], Stream], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(waiting, "_PATIENCE_S", 30.0 if terminal else 0.0)
    stream = stderr(terminal)
    with Waiting() as line:
        line.end()
        line.end()
    assert stream.getvalue() == ""
    assert line._timer.finished.is_set()
