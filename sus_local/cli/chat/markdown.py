"""Markdown for the terminal: which blocks of a growing text are finished, and how they look."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from rich.markdown import Markdown


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    """CommonMark with tables; HTML is text, for an answer that speaks of a tag must show it."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")


def split_finished(text: str) -> tuple[str, str]:
    """Cut ``text`` before its last block: all before it can change no more, whatever follows.

    >>> split_finished("A paragraph.\\n\\n- one\\n- two")
    ('A paragraph.\\n\\n', '- one\\n- two')
    >>> split_finished("still one")
    ('', 'still one')
    """
    starts = [
        token.map[0]
        for token in _parser().parse(text)
        if token.level == 0 and token.map is not None
    ]
    if len(starts) < 2:
        return "", text
    lines = text.splitlines(keepends=True)
    return "".join(lines[: starts[-1]]), "".join(lines[starts[-1] :])


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
