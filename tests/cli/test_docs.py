"""docs/cli.md is what the program says of itself, and every page's commands are the program's."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from sus_local.cli.main import PROGRAM, _invoke
from tests.test_pages import FENCED, PAGES, ROOT
from tools.cli_docs import TARGET, document

TYPED = re.compile(rf"(?:^|(?<!Usage)[$:|] +) *{PROGRAM} (.+?)(?: {{2}}.*)?$", re.MULTILINE)
"""A command within a block, whether or not something else stands before or behind it."""

MENTIONED = re.compile(rf"`{PROGRAM} ([^`]+)`")


def test_the_page_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == document(), "run: python tools/cli_docs.py"


def test_the_page_tells_every_command_of_the_chat() -> None:
    from sus_local.cli.chat.commands import COMMANDS

    page = TARGET.read_text(encoding="utf-8")
    assert all(f"| `{name}" in page for name in COMMANDS)


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command line is taken apart as ever, but nothing runs, and files need not be there."""

    def unread(_type: click.Path, value: Any, _param: object, _context: object) -> Any:
        return value

    monkeypatch.setattr(click.Path, "convert", unread)
    monkeypatch.setattr(click.Command, "invoke", lambda _command, _context: None)


def parse(line: str) -> None:
    """Take a command line apart.

    Raises:
        click.UsageError: There is no such command or option, or something is missing.
    """
    words = shlex.split(line, comments=True)
    ends = (place for place, word in enumerate(words) if word.startswith((">", "|")))
    _invoke(words[: next(ends, None)])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.usefixtures("dry")
def test_every_command_of_a_page_is_one(page: Path) -> None:
    content = page.read_text("utf-8")
    for _, block in FENCED.findall(content):
        for line in TYPED.findall(block):
            parse(line)
    for line in MENTIONED.findall(FENCED.sub("", content)):
        with contextlib.suppress(click.MissingParameter, click.exceptions.NoArgsIsHelpError):
            parse(line)


@pytest.mark.parametrize("line", ["talk", "chat --nonsense", "run", "run m --temp", "models rn x"])
@pytest.mark.usefixtures("dry")
def test_a_command_that_is_none_is_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)
