"""Asking before something is lost."""

from __future__ import annotations

import sys

import click

from sus_local.cli.output import note
from sus_local.cli.text import t

YES = ("y", "yes", "是", "好", "对")
"""What means yes, in every language."""


def confirm(question: str) -> None:
    """Ask on standard error; anything but yes ends the command.

    Raises:
        click.UsageError: Nobody can be asked.
        click.Abort: The answer is no.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: give --yes")
    if not is_agreed(question):
        raise click.Abort


def is_agreed(question: str) -> bool:
    """Ask on standard error; says so where the answer is not yes."""
    note(f"{question} {t('[y/N]')} ", end="")
    agreed = is_yes(sys.stdin.readline())
    if not agreed:
        note(t("Not done."))
    return agreed


def is_yes(answer: str) -> bool:
    """Whether an answer means yes.

    >>> is_yes("Yes "), is_yes("是"), is_yes(""), is_yes("no")
    (True, True, False, False)
    """
    return answer.strip().lower() in YES
