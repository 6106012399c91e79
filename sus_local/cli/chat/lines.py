"""The chat without a terminal: a line in, an answer out, as plain text."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sus_local.cli.chat.dialogue import Dialogue
from sus_local.cli.output import note


class Lines:
    """A :class:`~sus_local.cli.chat.ui.Ui` of plain lines: answers to standard output."""

    def __init__(self) -> None:
        self._leaving = False
        self._ended_line = True

    def run(self, dialogue: Dialogue, prepare: Callable[[], None]) -> None:
        """Take every line of standard input.

        Raises:
            SusLocalError: The model could not be loaded.
        """
        dialogue.session.load()
        dialogue.attempt(prepare)
        for line in sys.stdin:
            if line.strip():
                dialogue.handle(line.strip())
            if self._leaving:
                return

    def say(self, text: str) -> None:
        """To standard error."""
        note(text)

    def warn(self, text: str) -> None:
        """To standard error."""
        note(text)

    def show(self, markdown: str) -> None:
        """To standard error: it is no new answer."""
        note(markdown)

    def echo(self, message: str) -> None:
        """Nothing: who sends lines knows them."""

    def begin_answer(self) -> None:
        """Nothing yet."""
        self._ended_line = True

    def add_text(self, text: str) -> None:
        """To standard output."""
        if text:
            print(text, end="", flush=True)
            self._ended_line = text.endswith("\n")

    def end_answer(self) -> None:
        """End the line."""
        if not self._ended_line:
            print(flush=True)

    def fill(self, text: str) -> None:
        """Nothing: there is no input line to fill."""

    def confirm(self, question: str, action: Callable[[], None]) -> None:
        """Nobody can be asked; who sends a command in a pipe means it."""
        action()

    def leave(self) -> None:
        """Take no more lines."""
        self._leaving = True
