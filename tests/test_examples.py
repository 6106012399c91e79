"""The examples run as they are."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = pytest.mark.model


def run(name: str, text: str = "") -> str:
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(
        command, input=text, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_chat_answers_line_by_line_and_tells_what_was_cached() -> None:
    lines = run("chat.py", "hi\nWhat is the capital of China?\n").splitlines()
    assert lines[0].startswith(">>> Hello")
    assert lines[1].startswith("[0 of ")
    assert "Beijing" in lines[2]
    assert not lines[3].startswith("[0 of ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_leaves_a_chat_that_waits_for_a_line() -> None:
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / "chat.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.read(4) == b">>> "
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=60)
    assert (program.returncode, told) == (0, b"")


def test_the_desktop_tool_asks_two_at_once_and_cancels() -> None:
    english, chinese, cancelled = run("desktop_tool.py").splitlines()
    assert "Beijing" in english
    assert "巴黎" in chinese
    assert re.fullmatch("cancelled: True, after ['\"].+['\"]", cancelled)
