"""The command line called in this process: what it is given, its status, output and notes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from sus_local.cli import main


class Typed(io.StringIO):
    """Standard input at which somebody sits."""

    def isatty(self) -> bool:
        return True


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    status = main.run(args)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def value(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    """What a command that succeeds gives with ``--json``."""
    status, out, err = call(capsys, *args, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)
