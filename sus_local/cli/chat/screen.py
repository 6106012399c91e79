"""The chat on a terminal: the prompt is always there, everything else appears above it.

One prompt_toolkit application runs for the whole sitting, so that typing never waits. The model
works on a thread of its own (:class:`Pump`). Finished parts of an answer are printed above the
prompt once; the unfinished tail is part of the prompt's own drawing, which changes without flicker.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from click.exceptions import Exit
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory

from sus_local.cli.ask import is_yes
from sus_local.cli.chat.answer_view import AnswerView, Tail
from sus_local.cli.chat.completer import ChatCompleter
from sus_local.cli.chat.frames import Drawing, open_output
from sus_local.cli.chat.keys import editing_mode, key_bindings
from sus_local.cli.chat.markdown import get_ready
from sus_local.cli.chat.message import is_open, leaves, unquoted
from sus_local.cli.chat.paint import PROMPT, Paint
from sus_local.cli.chat.pump import Pump
from sus_local.cli.text import t

REDRAW_SECONDS = 0.04
_SPINNER_SECONDS = 0.12
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Screen:
    """A :class:`~sus_local.cli.chat.ui.Ui` that is a terminal.

    Args:
        plain: Answers as plain text instead of Markdown.
        input_history: File of earlier input.
        keep: Whether what is sent now is added to it.
    """

    def __init__(self, *, plain: bool, input_history: Path, keep: bool = True) -> None:
        self._colors = "NO_COLOR" not in os.environ
        self._plain = plain
        self._paint = Paint(self._colors)
        self._view = self._new_view()
        self._lock = threading.Lock()
        self._unprinted: list[str] = []
        self._next_tail = self._tail = Tail()
        self._question: Callable[[], None] | None = None
        self._warned_to_leave = False
        self._tail_is_due = False
        self._drawn_status = ""
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pump: Pump | None = None
        self._session = self._make_session(_InputHistory(input_history, keep=keep))
        self._drawing = Drawing(self.app, self._take_unprinted)

    def _new_view(self) -> AnswerView:
        return AnswerView(plain=self._plain, colors=self._colors)

    def _make_session(self, history: FileHistory) -> PromptSession[str]:
        begins_command = Condition(lambda: self._session.default_buffer.text.startswith("/"))
        session: PromptSession[str] = PromptSession(
            message=self._message,
            multiline=True,
            prompt_continuation="... ",
            history=history,
            completer=ChatCompleter(),
            complete_while_typing=begins_command,
            reserve_space_for_menu=6,
            key_bindings=key_bindings(self),
            erase_when_done=True,
            enable_suspend=True,
            editing_mode=editing_mode(),
            output=open_output(),
        )
        if hasattr(signal, "SIGWINCH"):
            session.app.terminal_size_polling_interval = None  # a resize is told
        return session

    @property
    def app(self) -> Application[str]:
        """The running application."""
        return self._session.app

    def run(self, pump: Pump) -> None:
        """Hold the chat until the user leaves.

        Raises:
            SusLocalError: The model could not be loaded.
        """
        self._pump = pump
        try:
            # The end of the input, a closed window, leaves as Ctrl-D does.
            with suppress(EOFError):
                self._session.prompt(pre_run=self._start)
        finally:
            pump.stop()
        self._print_rest()
        if self._error is not None:
            raise self._error

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.app.create_background_task(self._spin())
        self.app.after_render += self._start_pump

    def _start_pump(self, _app: Application[str]) -> None:
        """The prompt is on the screen: now the model may take the processor."""
        self.app.after_render -= self._start_pump
        if hasattr(signal, "SIGWINCH") and self._loop is not None:
            self._heed_signals(self._loop)
        if self._pump is not None:
            self._pump.start(on_failure=self._fail)
        if not self._plain:
            threading.Thread(target=get_ready, daemon=True).start()

    def _heed_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        # In place of prompt_toolkit's: the drawing is taken away in its own way.
        loop.add_signal_handler(signal.SIGWINCH, self.app.invalidate)
        for number in (signal.SIGTERM, signal.SIGHUP):  # they would leave the terminal raw
            loop.add_signal_handler(number, self._fail, Exit(128 + number))

    async def _spin(self) -> None:
        """Keep the line of what is going on alive, and take it away when that has ended."""
        while True:
            await asyncio.sleep(_SPINNER_SECONDS)
            if self._status() or self._drawn_status:
                self.app.invalidate()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self.leave()

    # What is drawn

    def _message(self) -> ANSI:
        self._drawn_status = self._status()
        status = self._paint.quiet(self._drawn_status)
        lines = [line for line in (self._drawn_tail(), status) if line]
        return ANSI("\n".join([*lines, self._prompt_text()]))

    def _drawn_tail(self) -> str:
        """The tail, in a third of the window's rows.

        In a window half as wide its lines take twice as many, and what leaves the window at its
        top cannot be taken away again.
        """
        size = shutil.get_terminal_size()
        return self._view.draw_tail(self._tail, width=size.columns, rows=size.lines // 3)

    def _prompt_text(self) -> str:
        return t("yes or no? ") if self._question is not None else PROMPT

    def _status(self) -> str:
        pump = self._pump
        if pump is None or not pump.activity:
            return ""
        spinner = _SPINNER[int(time.monotonic() / _SPINNER_SECONDS) % len(_SPINNER)]
        waiting = pump.num_waiting
        more = " · " + t("{count} waiting", count=waiting) if waiting else ""
        return f"{spinner} {pump.activity}{more}"

    # What the user does

    def submit(self) -> None:
        """Enter: a line is done, or the message is."""
        buffer = self._session.default_buffer
        if buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
            return
        if is_open(buffer.text):
            buffer.insert_text("\n")
            return
        typed, text = buffer.text, unquoted(buffer.text)
        self._warned_to_leave = False
        if text:
            buffer.append_to_history()
        buffer.reset()
        if self._question is not None:
            self._decide(text)
        elif leaves(typed):
            self.leave()
        elif self._pump is not None:
            self._pump.submit(text)

    def _decide(self, text: str) -> None:
        action, self._question = self._question, None
        if action is not None and is_yes(text) and self._pump is not None:
            self._pump.do(action)
        else:
            self.say(t("Not done."))

    def interrupt(self) -> None:
        """Ctrl-C: stop the answer, else clear the input, else leave at the second time."""
        buffer = self._session.default_buffer
        if self._pump is not None and self._pump.cancel():
            self._warned_to_leave = True
        elif buffer.text:
            buffer.append_to_history()
            buffer.reset()
            if self._pump is not None:
                self._pump.submit("")  # a question that was to be changed stays as it is
        elif self._warned_to_leave:
            self.leave()
        else:
            self._question, self._warned_to_leave = None, True
            self.say(t("(Ctrl-C once more, Ctrl-D or /bye leaves)"))

    # The Ui

    def say(self, text: str) -> None:
        """Print a quiet line."""
        self._print(self._paint.quiet(text) + "\n")

    def warn(self, text: str) -> None:
        """Print a line to be noticed."""
        self._print(self._paint.loud(text) + "\n")

    def echo(self, message: str) -> None:
        """Print what the user said."""
        self._print("\n" + self._paint.said(message) + "\n")

    def show(self, markdown: str) -> None:
        """Print a whole answer."""
        view = self._new_view()
        width = shutil.get_terminal_size().columns
        self._print(view.add(markdown, width=width) + view.finish(width=width))

    def begin_answer(self) -> None:
        """An answer is about to come."""
        self._view = self._new_view()

    def add_text(self, text: str) -> None:
        """Print what is finished, draw the rest."""
        finished = self._view.add(text, width=shutil.get_terminal_size().columns)
        self._print(finished, tail=self._view.tail)

    def end_answer(self) -> None:
        """Print the rest."""
        self._print(self._view.finish(width=shutil.get_terminal_size().columns), tail=Tail())

    def fill(self, text: str) -> None:
        """Put a text into the input, before what the user typed meanwhile."""

        def insert() -> None:
            buffer = self._session.default_buffer
            buffer.text = f"{text}\n{buffer.text}" if buffer.text else text
            buffer.cursor_position = len(text)

        self._call(insert)

    def confirm(self, question: str, action: Callable[[], None]) -> None:
        """Ask; the next line decides."""
        self.warn(question)
        self._question = action

    def leave(self) -> None:
        """End the application."""

        def end() -> None:
            if self.app.is_running and not self.app.is_done:
                self.app.exit(result="")

        self._call(end)

    # Printing above the prompt

    def _call(self, action: Callable[[], Any]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action)

    def _print(self, text: str, *, tail: Tail | None = None) -> None:
        """Print ``text`` above the prompt; with it, the tail becomes ``tail``."""
        with self._lock:
            self._next_tail = self._next_tail if tail is None else tail
            if text:
                self._unprinted.append(text)
        self._call(self.app.invalidate if text else self._draw_tail_soon)

    def _draw_tail_soon(self) -> None:
        """Draw the tail when its time has come: tokens may come faster than one can read."""
        if self._loop is not None and not self._tail_is_due:
            self._tail_is_due = True
            self._loop.call_later(REDRAW_SECONDS, self._draw_tail)

    def _draw_tail(self) -> None:
        self._tail_is_due = False
        self.app.invalidate()

    def _take_unprinted(self) -> str:
        """What is to be printed above the drawing that comes now, which has the tail of then."""
        with self._lock:
            text = "".join(self._unprinted)
            self._unprinted.clear()
            self._tail = self._next_tail
        self._drawn_tail()  # kept, so that a frame is short and the window seldom changes in it
        return text

    def _print_rest(self) -> None:
        """After the application has ended: what came last, also of an answer that has no end."""
        text = self._take_unprinted()
        text += self._view.finish(width=shutil.get_terminal_size().columns)
        output = self.app.output
        output.write_raw(text.replace("\n", "\r\n"))
        output.flush()


class _InputHistory(FileHistory):
    """Earlier input in a file; where that cannot be or is not written, it lasts for the sitting."""

    def __init__(self, path: Path, *, keep: bool) -> None:
        super().__init__(str(path))
        self._keep = keep

    def load_history_strings(self) -> Iterable[str]:
        try:
            return super().load_history_strings()
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        if not self._keep:
            return
        try:
            Path(self.filename if isinstance(self.filename, str) else "").parent.mkdir(
                parents=True, exist_ok=True
            )
            super().store_string(string)
        except OSError:
            return
