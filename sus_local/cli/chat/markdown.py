"""Markdown for the terminal: which blocks of a growing text are finished, and how they look."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from rich.markdown import Markdown

_FEWEST_ROWS = 2
_MARKUP = re.compile(r"[\n\t*_`\[\]<>|~&\\]|://")
_FEWEST_CODE_LINES = 12
"""So many lines of code are drawn together at least, so that its colours are right."""


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    """CommonMark with tables; HTML is text, for an answer that speaks of a tag must show it."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")


def get_ready() -> None:
    """Import what drawing takes, a tenth of a second, so that the first answer need not wait."""
    to_ansi("```py\n0\n```", width=20)


class Split(NamedTuple):
    """A growing text in two parts.

    Attributes:
        finished: It can change no more, whatever follows.
        rest: What may still change.
        lead: What the rest needs before it to mean the same: the line that opened its code.
        goes_on: The cut is inside of a list or of code, which goes on without a gap.
    """

    finished: str
    rest: str
    lead: str = ""
    goes_on: bool = False


def split_finished(text: str) -> Split:
    """Cut ``text`` before what can still change: its last block, the last item of a list there.

    >>> split_finished("A paragraph.\\n\\n- one\\n- two")
    Split(finished='A paragraph.\\n\\n- one\\n', rest='- two', lead='', goes_on=True)
    >>> split_finished("still one")
    Split(finished='', rest='still one', lead='', goes_on=False)
    """
    tokens = _parser().parse(text)
    blocks = [token for token in tokens if token.level == 0 and token.map is not None]
    if not blocks:
        return Split("", text)
    lines = text.splitlines(keepends=True)
    start = (blocks[-1].map or [0])[0]
    cut, lead = start, ""
    if blocks[-1].type in ("bullet_list_open", "ordered_list_open"):
        cut = _last_item(tokens, start)
    elif blocks[-1].type == "fence":
        cut = start + _finished_code(lines[start:])
        lead = lines[start] if cut > start else ""
    return Split("".join(lines[:cut]), "".join(lines[cut:]), lead, cut > start)


def split_long_paragraph(text: str, width: int) -> Split:
    """Cut a paragraph that grows long before the last of its rows in a window of this width.

    Only where it is one line without any markup, which could still change how the rows look, and
    where the rest begins with a letter: alone, ``- so`` would be a list.

    >>> split_long_paragraph("one two three four five six seven eight nine ten", 20).finished
    'one two three four '
    """
    if len(text) <= _FEWEST_ROWS * width or not text[0].isalpha() or _MARKUP.search(text):
        return Split("", text)
    rows = to_ansi(text, width=width, colors=False).split("\n")
    for num_rows in range(len(rows) - _FEWEST_ROWS, 0, -1):
        cut = _end_of_rows(text, rows[:num_rows])
        if text[cut : cut + 1].isalpha():
            return Split(text[:cut], text[cut:], goes_on=True)
    return Split("", text)


def _end_of_rows(text: str, rows: Sequence[str]) -> int:
    """Where in ``text`` the first word after its first rows begins."""
    cut = 0
    for character in "".join(rows).replace(" ", ""):
        cut = text.find(character, cut) + 1
    return cut + len(text[cut:]) - len(text[cut:].lstrip())


def _last_item(tokens: Sequence[Token], start: int) -> int:
    """The line on which the last item of the list at line ``start`` begins."""
    items = (t.map[0] for t in tokens if t.type == "list_item_open" and t.level == 1 and t.map)
    return max(items, default=start)


def _finished_code(lines: Sequence[str]) -> int:
    """How many lines of a block of code, with the one that opens it, may be drawn by themselves.

    A cut is between two lines that are not empty, and not inside of a long string or comment.
    """
    for cut in range(len(lines) - 2, _FEWEST_CODE_LINES, -1):
        code = "".join(lines[1:cut])
        whole = all(code.count(mark) % 2 == 0 for mark in ('"""', "'''"))
        if whole and code.count("/*") == code.count("*/") and lines[cut - 1].strip():
            return cut if lines[cut].strip() else 0
    return 0


def to_ansi(text: str, *, width: int, colors: bool = True) -> str:
    """``text`` as Markdown, drawn for a terminal ``width`` cells wide.

    Lines have no trailing spaces; there are no empty lines around it, and no newline at its end.
    """
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out,
        width=max(width, 20),
        force_terminal=True,
        color_system="standard" if colors else None,
        legacy_windows=False,
        highlight=False,
    )
    console.print(_markdown(text))
    lines = [line.rstrip(" ") for line in out.getvalue().split("\n")]
    return "\n".join(lines).strip("\n")


def _markdown(text: str) -> Markdown:
    markdown = _chat_markdown()(text, code_theme="ansi_dark", hyperlinks=False)
    markdown.parsed = _parser().parse(text)
    for token in markdown.parsed:
        for child in token.children or ():
            # Chat models mean their line breaks.
            if child.type == "softbreak":
                child.type = "hardbreak"
    return markdown


@lru_cache(maxsize=1)
def _chat_markdown() -> type[Markdown]:
    """rich's Markdown with the elements that look different in a chat."""
    from rich.markdown import Markdown

    from sus_local.cli.chat import elements

    class ChatMarkdown(Markdown):
        """Markdown as it is drawn in the chat."""

    ChatMarkdown.elements = {
        **Markdown.elements,
        "heading_open": elements.LeftHeading,
        "code_block": elements.BareCode,
        "fence": elements.BareCode,
        "table_open": elements.OpenTable,
        "list_item_open": elements.NumberedItem,
    }
    return ChatMarkdown
