"""The chat without a terminal: a line in, an answer out, as plain text."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sus_local.cli.chat.dialogue import Dialogue
from sus_local.cli.chat.message import LEAVING
from sus_local.cli.chat.paint import PROMPT
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
        while not self._leaving and (line := self._read()):
            if line.strip() in LEAVING:
                self.leave()
            elif line.strip():
                dialogue.handle(line.strip())

    def _read(self) -> str:
        """The next line; empty at the end. A terminal that can do no more gets a prompt."""
        if sys.stdin.isatty():
            note(PROMPT, end="")
        return sys.stdin.readline()

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
