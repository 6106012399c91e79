"""What ``sus-local demo`` says at its end."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from sus_local.cli.demo import _say_how_to_go_on


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, in use, with a virtual environment whose programs are no commands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setattr("shutil.which", lambda _name: None)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    _say_how_to_go_on()
    return capsys.readouterr().err.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_how_the_program_becomes_a_command_comes_first(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = said(capsys)
    assert first == "Make it a command:    . .venv/bin/activate"
    assert second.index("sus-local demo") == first.index(". .venv")
    folder = elsewhere / "a b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert shlex.split(said(capsys)[0])[-1] == str(elsewhere / ".venv" / "bin" / "activate")


@pytest.mark.parametrize("is_command", [True, False])
def test_nothing_of_it_where_it_is_one_or_cannot_become_one(
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_command: bool,
) -> None:
    if is_command:
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    else:
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert len(said(capsys)) == 3
