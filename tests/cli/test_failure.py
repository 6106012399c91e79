"""How failures become exit statuses, where the systems differ."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sus_local.cli import main, output
from sus_local.cli.failure import report


@contextmanager
def as_on_windows(path: Path) -> Iterator[None]:
    """Standard output into a file."""
    with pytest.MonkeyPatch.context() as patch, path.open("w", encoding="ascii") as file:
        patch.setattr(sys, "stdout", file)
        output.know_closed_pipe("nt")
        yield


class Refusing(io.FileIO):
    """As a pipe of Windows without a reader."""

    number = errno.EINVAL

    def write(self, content: Any, /) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(errno.EINVAL, 141, ""), (errno.EPIPE, 141, ""), (errno.EIO, 1, "error: input/output error")],
)
def test_a_reader_that_went_away_is_known_on_windows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    status: int,
    said: str,
) -> None:
    refusing = type("Refusing", (output._Output, Refusing), {"number": number})
    monkeypatch.setattr(output, "_Output", refusing)
    with as_on_windows(tmp_path / "output"):
        assert main.run(["history", "list", "--json"]) == status
    assert capsys.readouterr().err.startswith(said)


def test_an_argument_that_is_invalid_elsewhere_is_told(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with as_on_windows(path):
        assert report(OSError(errno.EINVAL, "Invalid argument"), as_json=True) == 1
    assert "invalid argument" in path.read_text(encoding="utf-8")


def test_standard_output_of_windows_takes_every_text(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with as_on_windows(path):
        print("\U0001f642")
    assert path.read_text(encoding="utf-8") == "\U0001f642\n"
