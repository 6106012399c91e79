"""How things look in the chat: escape sequences for quiet, loud and said."""

from __future__ import annotations

from dataclasses import dataclass

from sus_local.cli.printable import printable

PROMPT = ">>> "
CONTINUED = "... "


@dataclass(frozen=True)
class Paint:
    """Draws lines, without control characters.

    Attributes:
        colors: Whether escape sequences are wanted.
    """

    colors: bool = True

    def quiet(self, text: str) -> str:
        """A line of the program's own."""
        return self._wrap("2", text)

    def loud(self, text: str) -> str:
        """A line to be noticed."""
        return self._wrap("33", text)

    def said(self, text: str) -> str:
        """What the user said.

        >>> Paint(colors=False).said("one\\ntwo")
        '>>> one\\n... two'
        """
        return self._wrap("1", PROMPT + text.replace("\n", "\n" + CONTINUED))

    def _wrap(self, code: str, text: str) -> str:
        text = printable(text)
        if not self.colors or not text:
            return text
        return "\n".join(f"\x1b[{code}m{line}\x1b[0m" if line else "" for line in text.split("\n"))
