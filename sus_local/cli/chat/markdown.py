"""Markdown for the terminal: which blocks of a growing text are finished, and how they look."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from rich.markdown import Markdown


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt().enable("strikethrough").enable("table")


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
    from rich.markdown import CodeBlock, Heading, Markdown, TableElement
    from rich.syntax import Syntax
    from rich.table import Table

    class LeftHeading(Heading):
        """A heading at the left, where one reads, without a frame."""

        def __rich_console__(self, console: Any, options: Any) -> Any:
            self.text.justify = "left"
            yield self.text

    class BareCode(CodeBlock):
        """Code without padding, so that it can be copied from the screen."""

        def __rich_console__(self, console: Any, options: Any) -> Any:
            code = str(self.text).rstrip()
            yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True)

    class OpenTable(TableElement):
        """A table without empty lines around it."""

        def __rich_console__(self, console: Any, options: Any) -> Any:
            for part in super().__rich_console__(console, options):
                if isinstance(part, Table):
                    part.show_edge = False
                yield part

    class Chat(Markdown):
        """Markdown whose line breaks are kept, as chat models mean them."""

        elements = {  # noqa: RUF012
            **Markdown.elements,
            "heading_open": LeftHeading,
            "code_block": BareCode,
            "fence": BareCode,
            "table_open": OpenTable,
        }

    markdown = Chat(text, code_theme="ansi_dark", hyperlinks=False)
    for token in markdown.parsed:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return markdown
