"""Commands in the user's language, and with the options that every command has."""

from __future__ import annotations

import copy
import inspect

import click

from sus_local.cli import text
from sus_local.cli.text import t


def localised(command: click.Command) -> click.Command:
    """A copy of ``command``, its help in the language in use, that also takes ``--lang``."""
    twin = copy.copy(command)
    twin.params = [_localised_param(param) for param in command.params] + [_language_option()]
    if isinstance(twin, click.Group):
        twin.commands = {name: localised(each) for name, each in twin.commands.items()}
    for attribute in ("help", "short_help", "epilog"):
        english = getattr(twin, attribute)
        setattr(twin, attribute, paragraphs(english) if english else english)
    return twin


def paragraphs(english: str) -> str:
    """A help text, each of its paragraphs in the language in use.

    >>> text.use("zh")
    >>> paragraphs("Answer one prompt.\\n\\n    Not translated.")
    '回答一个提示。\\n\\nNot translated.'
    >>> text.use("en")
    """
    parts = inspect.cleandoc(english).split("\n\n")
    return "\n\n".join(_paragraph(part) for part in parts)


def _paragraph(english: str) -> str:
    key = " ".join(english.split())
    translated = t(key)
    return english if translated == key else translated


def _localised_param(param: click.Parameter) -> click.Parameter:
    twin = copy.copy(param)
    if isinstance(twin, click.Option) and twin.help:
        twin.help = t(twin.help)
    return twin


def _language_option() -> click.Option:
    """``--lang``: :func:`text.choose` read it already; here it is only let through."""
    return click.Option(
        ["--lang"],
        type=click.Choice(text.LANGUAGES),
        expose_value=False,
        help=t("Language of the texts; by default that of the locale."),
    )
