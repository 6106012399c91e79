"""Asking before something is lost."""

from __future__ import annotations

import sys

import click

from sus_local.cli.text import t


def confirm(question: str) -> None:
    """Ask on standard error; anything but yes ends the command.

    Raises:
        click.UsageError: Nobody can be asked.
        click.Abort: The answer is no.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(t("nobody can be asked here: give --yes"))
    click.confirm(question, abort=True, err=True)
