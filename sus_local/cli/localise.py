"""Commands in the user's language, and with the options that every command has."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterable

import click

from sus_local.cli import text
from sus_local.cli.table import wrap
from sus_local.cli.text import t

_EXAMPLE = re.compile(r"(\s*\S.*?\s{2,})(\S.*)")
_DEFAULT = re.compile(r"\[default: (.+)\]")


class Formatter(click.HelpFormatter):
    """click's help, with its headings and remarks in the language in use."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """As click's."""
        super().write_usage(prog, args, t("Usage: ") if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        """As click's."""
        self.write(" " * self.current_indent + t("{heading}:", heading=t(heading)) + "\n")

    def write_text(self, text: str) -> None:
        """As click's, with lines of Chinese broken where they may be."""
        width = max(self.width - self.current_indent, 11)
        super().write_text("\n\n".join(_broken(part, width) for part in text.split("\n\n")))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """As click's."""
        rows = list(rows)
        first = min(max((len(left) for left, _ in rows), default=0), col_max) + col_spacing
        width = max(self.width - self.current_indent - first, 10)
        told = [(left, _broken(_remarks(right), width)) for left, right in rows]
        super().write_dl(told, col_max, col_spacing)


def _remarks(line: str) -> str:
    """The right side of a row of options: its text, and what click adds to it."""
    line = _DEFAULT.sub(lambda found: t("[default: {value}]", value=found[1]), t(line))
    return line.replace("[required]", t("[required]"))


def _broken(paragraph: str, width: int) -> str:
    r"""A paragraph of Chinese in lines, marked as such for click (``\b``); others as they are."""
    if paragraph.startswith("\b") or paragraph.isascii():
        return paragraph
    return "\b\n" + "\n".join(wrap(paragraph, width))


class Context(click.Context):
    """A context whose help is written by :class:`Formatter`."""

    formatter_class = Formatter


def localised(command: click.Command) -> click.Command:
    """A copy of ``command``, its help in the language in use, that also takes ``--lang``."""
    twin = copy.copy(command)
    twin.context_class = Context
    twin.params = [_localised_param(param) for param in command.params] + [_language_option()]
    twin.options_metavar = t("[OPTIONS]")
    if isinstance(twin, click.Group):
        twin.subcommand_metavar = t("COMMAND [ARGS]...")
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
    if english.startswith("\b"):
        return "\n".join(_example(line) for line in english.split("\n"))
    key = " ".join(english.split())
    translated = t(key)
    return english if translated == key else translated


def _example(line: str) -> str:
    """A line of examples: a heading, or a command and a remark."""
    found = _EXAMPLE.fullmatch(line)
    return t(line) if found is None else found[1] + t(found[2])


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
