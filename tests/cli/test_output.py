"""What is written: for programs, for people, to files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sus_local.cli import main
from sus_local.cli.output import emit_json, note
from sus_local.errors import StorageError
from sus_local.textfile import write_named

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": "中\U0001f642"}, {"a": "中\U0001f642"}),
        ({"a": "\ud800"}, {"a": "\ud800"}),
        ({"a": [NAN, 1.5, (INFINITE, -INFINITE)]}, {"a": [None, 1.5, [None, None]]}),
        ({"a": {"b": NAN}, "c": "\udfff"}, {"a": {"b": None}, "c": "\udfff"}),
    ],
)
def test_every_value_is_json_on_one_line(
    capsys: pytest.CaptureFixture[str], value: Any, read: Any
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    emit_json(value)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.encode("utf-8")
    assert json.loads(out, parse_constant=refuse) == read


@pytest.mark.skipif(sys.platform == "win32", reason="modes and pipes of POSIX")
def test_a_file_that_is_named_is_written_over_as_what_it_was(tmp_path: Path) -> None:
    path, link = tmp_path / "notes.md", tmp_path / "link.md"
    path.write_text("before")
    path.chmod(0o600)
    link.symlink_to(path)
    write_named(link, "after")
    assert link.is_symlink()
    assert path.read_text() == "after"
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_folder_is_made_for_a_file_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or directory while writing"):
        write_named(tmp_path / "none" / "notes.md", "text")
    with pytest.raises(StorageError, match="is a directory while writing"):
        write_named(tmp_path, "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="modes and pipes of POSIX")
def test_what_is_no_file_gets_the_text_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_named(pipe, "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_note_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    note("a\x1b]0;title\x07b\tc\x9b")
    assert capsys.readouterr().err == "a]0;titleb\tc\n"


def test_a_home_of_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUS_LOCAL_HOME", "~nosuchuser/x")
    for command in (["history", "list"], ["presets", "list"]):
        assert main.run(command) == 1
        assert capsys.readouterr().err == (
            "error: no such file or directory while reading or writing ~nosuchuser/x\n"
            "hint: check the path, and the disk that it is on\n"
        )
