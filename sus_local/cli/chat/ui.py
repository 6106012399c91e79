"""What the chat needs of whatever shows it: a terminal screen, or plain lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class OutputLostError(BaseException):
    """Nobody can be told anything any more: no mistake of a command, but the end of the chat.

    Attributes:
        error: Why.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class Ui(Protocol):
    """Shows things and takes input; its methods may be called from any thread."""

    def say(self, text: str) -> None:
        """Show a quiet line of the program's own."""
        ...

    def warn(self, text: str) -> None:
        """Show a line that should be noticed: an error, a warning."""
        ...

    def show(self, markdown: str) -> None:
        """Show a piece of a transcript or of help, as Markdown."""
        ...

    def echo(self, message: str) -> None:
        """Show what the user said, as it looks after sending."""
        ...

    def begin_answer(self) -> None:
        """An answer is about to come."""
        ...

    def add_text(self, text: str) -> None:
        """More of the answer."""
        ...

    def end_answer(self) -> None:
        """The answer is whole."""
        ...

    def fill(self, text: str) -> None:
        """Put a text into the input, for the user to change and send."""
        ...

    def confirm(self, question: str, action: Callable[[], None]) -> None:
        """Ask; do ``action`` if the answer is yes."""
        ...

    def leave(self) -> None:
        """End the chat."""
        ...
