"""The examples run as they are."""

from __future__ import annotations

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
    assert lines[1].startswith("[0 of ")
    assert "Beijing" in lines[2]
    assert not lines[3].startswith("[0 of ")


def test_the_desktop_tool_asks_two_at_once_and_cancels() -> None:
    english, chinese, cancelled = run("desktop_tool.py").splitlines()
    assert "Beijing" in english
    assert "巴黎" in chinese
    assert cancelled == "cancelled: True"
