"""An answer on the screen: finished blocks, which are printed once, and the tail, which changes."""

from __future__ import annotations

from typing import NamedTuple

from sus_local.cli.chat.markdown import split_finished, split_long_paragraph, to_ansi
from sus_local.cli.printable import printable


class Tail(NamedTuple):
    """The unfinished part of an answer.

    Attributes:
        text: As the model wrote it.
        gap: What stands before it: a newline after a finished block.
    """

    text: str = ""
    gap: str = ""


class AnswerView:
    """Takes the text of an answer as it comes.

    Args:
        plain: The text as it is, line by line, instead of Markdown.
        colors: Whether escape sequences are wanted.
    """

    def __init__(self, *, plain: bool, colors: bool) -> None:
        self._plain = plain
        self._colors = colors
        self._text = ""
        self._gap = ""
        self._drawn: tuple[tuple[Tail, int], str] = ((Tail(), 0), "")

    @property
    def tail(self) -> Tail:
        """What is not finished yet."""
        return Tail(self._text, self._gap)

    def add(self, text: str, *, width: int) -> str:
        """More text came; gives what is finished by it, drawn, to be printed now."""
        text = printable(text)
        self._text += text
        if self._plain:
            finished, newline, self._text = self._text.rpartition("\n")
            return finished + newline
        if "\n" not in text:  # blocks end with lines
            split = split_long_paragraph(self._text, width)
        else:
            split = split_finished(self._text)
        self._text = split.lead + split.rest
        return self._block(split.finished, width, goes_on=split.goes_on)

    def finish(self, *, width: int) -> str:
        """The answer is whole; gives the rest, drawn."""
        rest, self._text = self._text, ""
        if self._plain:
            return rest + "\n" if rest else ""
        return self._block(rest, width)

    def _block(self, text: str, width: int, *, goes_on: bool = False) -> str:
        """A finished part, drawn; ``goes_on`` tells whether the next one follows without a gap."""
        drawn = to_ansi(text, width=width, colors=self._colors) if text.strip() else ""
        if not drawn:
            return ""
        gap, self._gap = self._gap, "" if goes_on else "\n"
        return f"{gap}{drawn}\n"

    def draw_tail(self, tail: Tail, *, width: int, rows: int) -> str:
        """The last ``rows`` lines of a tail, drawn."""
        tail = Tail(_end_of(tail.text, 2 * max(rows, 1)), tail.gap)
        if self._drawn[0] != (tail, width):
            text = tail.text
            whole = text if self._plain else to_ansi(text, width=width, colors=self._colors)
            self._drawn = ((tail, width), tail.gap + whole if whole.strip() else "")
        return "\n".join(self._drawn[1].split("\n")[-max(rows, 1) :])


def _end_of(text: str, num_lines: int) -> str:
    """The last lines of a long block, so that drawing it costs the same however long it grows.

    >>> _end_of("```py\\na\\nb\\nc", 2)
    '```py\\nb\\nc'
    """
    lines = text.split("\n")
    if len(lines) <= num_lines:
        return text
    fence = lines[:1] if lines[0].lstrip().startswith(("```", "~~~")) else []
    return "\n".join(fence + lines[-num_lines:])
