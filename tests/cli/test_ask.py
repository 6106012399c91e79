"""Asking before something is lost."""

from __future__ import annotations

import io
import sys

import click
import pytest

from sus_local.cli import text
from sus_local.cli.ask import DeclinedError, confirm
from tests.cli.calling import Typed


@pytest.mark.parametrize("answer", ["y\n", "YES\n", "是\n"])
def test_yes_goes_on(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(answer))
    confirm("Remove it?")


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "what?\n"])
def test_anything_else_ends_the_command(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(answer))
    with pytest.raises(DeclinedError):
        confirm("Remove it?")


def test_ctrl_c_at_the_question_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> str:
        raise KeyboardInterrupt

    typed = Typed()
    monkeypatch.setattr(typed, "readline", interrupt)
    monkeypatch.setattr(sys, "stdin", typed)
    with pytest.raises(KeyboardInterrupt):
        confirm("Remove it?")


def test_nobody_is_asked_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(click.UsageError, match="give --yes"):
        confirm("Remove it?")


def test_the_question_goes_to_standard_error_in_the_language_in_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed("否\n"))
    text.use("zh")
    try:
        with pytest.raises(DeclinedError):
            confirm("删除吗？")
    finally:
        text.use("en")
    assert capsys.readouterr() == ("", "删除吗？ [y/N] ")
