"""Asking before something is lost."""

from __future__ import annotations

import sys

import click

from sus_local.cli.output import note
from sus_local.cli.text import t
from sus_local.errors import SusLocalError

YES = ("y", "yes", "是", "好", "对")
"""What means yes, in every language."""


class DeclinedError(SusLocalError):
    """The user was asked, and did not say yes."""


def confirm(question: str) -> None:
    """Ask on standard error; anything but yes ends the command.

    Raises:
        click.UsageError: Nobody can be asked.
        DeclinedError: The answer is no.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: give --yes")
    if not _is_yes_to(question):
        raise DeclinedError("not done: the answer was not yes")


def is_agreed(question: str) -> bool:
    """Ask on standard error; says so where the answer is not yes."""
    agreed = _is_yes_to(question)
    if not agreed:
        note(t("Not done."))
    return agreed


def _is_yes_to(question: str) -> bool:
    note(f"{question} {t('[y/N]')} ", end="")
    return is_yes(sys.stdin.readline())


def is_yes(answer: str) -> bool:
    """Whether an answer means yes.

    >>> is_yes("Yes "), is_yes("是"), is_yes(""), is_yes("no")
    (True, True, False, False)
    """
    return answer.strip().lower() in YES
