"""The chat without a screen: a line in, an answer out, as plain text."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sus_local.cli.ask import is_agreed
from sus_local.cli.chat.dialogue import Dialogue
from sus_local.cli.chat.message import is_open, leaves, unquoted
from sus_local.cli.chat.paint import CONTINUED, PROMPT
from sus_local.cli.chat.ui import OutputLostError
from sus_local.cli.output import as_shown, note

_GOES_ON = "\\\n"


class Lines:
    """A :class:`~sus_local.cli.chat.ui.Ui` of plain lines: answers to standard output."""

    def __init__(self) -> None:
        self._leaving = False
        self._ended_line = True

    def run(self, dialogue: Dialogue, prepare: Callable[[], None]) -> None:
        """Take every message of standard input; none where what comes before them failed.

        Raises:
            SusLocalError: The model or the conversation to go on with could not be loaded.
            OSError: Standard output takes no more.
        """
        dialogue.session.load()
        try:
            prepare()
            self._leaving |= dialogue.failed and not sys.stdin.isatty()
            while not self._leaving and (message := self._read_message()):
                if leaves(message):
                    self.leave()
                else:
                    dialogue.handle(unquoted(message))
        except OutputLostError as lost:
            raise lost.error from None

    def _read_message(self) -> str:
        """The next message: a line, or several that belong together; empty at the end."""
        text = self._read(PROMPT)
        while text.endswith(_GOES_ON) or is_open(text):
            more = self._read(CONTINUED)
            if not more:
                break
            text = text.removesuffix(_GOES_ON) + "\n" * text.endswith(_GOES_ON) + more
        return text

    def _read(self, prompt: str) -> str:
        """The next line; empty at the end. A terminal that can do no more gets a prompt."""
        if sys.stdin.isatty():
            note(prompt, end="")
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
            self._write(as_shown(text))
            self._ended_line = text.endswith("\n")

    def end_answer(self) -> None:
        """End the line."""
        if not self._ended_line:
            self._write("\n")

    def _write(self, text: str) -> None:
        try:
            print(text, end="", flush=True)
        except OSError as error:
            raise OutputLostError(error) from error

    def fill(self, text: str) -> None:
        """Nothing: there is no input line to fill."""

    def confirm(self, question: str, action: Callable[[], None]) -> None:
        """Ask who is at a terminal; who sends a command in a pipe means it."""
        if not sys.stdin.isatty() or is_agreed(question):
            action()

    def leave(self) -> None:
        """Take no more lines."""
        self._leaving = True
