"""What happens with a line that the user sent: a question to the model, or a command."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sus_local.cli.answer import figures
from sus_local.cli.chat.exchange import Exchange
from sus_local.cli.chat.session import Session
from sus_local.cli.chat.ui import OutputLostError, Ui
from sus_local.cli.failure import error_lines
from sus_local.cli.text import t
from sus_local.cli.waiting import loading, reading
from sus_local.errors import SusLocalError, from_os_error
from sus_local.turn import ContextState

if TYPE_CHECKING:
    from sus_local.turn import Turn

_MOST_RESERVED_TOKENS = 1024
_MARGIN = 8

_TURNS_LEFT = "The context was full: the model no longer sees the {count} oldest turns (/context)."
_NEARLY_FULL = "The context is nearly full: the oldest turns will leave it soon (/context, /new)."


@dataclass
class Totals:
    """Figures of the whole sitting."""

    num_answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class Dialogue:
    """Takes lines, one after the other, and shows what comes of them.

    Attributes:
        session: The state that lines change.
        ui: Where things are shown.
        attachments: Name and text of files that go with the next question.
        shows_figures: Whether a line of figures follows an answer.
        failed: Whether anything went wrong, that is, was shown as an error.
    """

    session: Session
    ui: Ui
    attachments: list[tuple[str, str]] = field(default_factory=list)
    shows_figures: bool = True
    failed: bool = False
    totals: Totals = field(default_factory=Totals)
    _current: Exchange | None = None
    _warned: bool = False

    def handle(self, line: str) -> None:
        """Do what ``line`` says; errors are shown, none is raised.

        An empty one leaves a question as it is that was to be changed.
        """
        if not line:
            self.session.editing = None
            return
        self.attempt(lambda: self._handle(line))

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something; show what goes wrong."""
        try:
            action()
        except SusLocalError as error:
            self._complain(error)
        except OSError as error:
            self._complain(from_os_error(error, doing="reading or writing"))
        except Exception as error:  # the chat goes on, whatever a command does
            self.failed = True
            self.ui.warn(t("error: {message}", message=f"{type(error).__name__}: {error}"))

    def _complain(self, error: SusLocalError) -> None:
        self.failed = True
        what, *hint = error_lines(error)
        self.ui.warn(what)
        for line in hint:
            self.ui.say(line)

    def _handle(self, line: str) -> None:
        from sus_local.cli.chat.commands import is_command, run

        if is_command(line):
            exchange = run(self, line)
        else:
            exchange = self._ask(line.removeprefix("/") if line.startswith("//") else line)
        if exchange is not None:
            self.deliver(exchange)

    def _ask(self, text: str) -> Exchange:
        message = _with_files(text, self.attachments)
        session, turn = self.session, self.session.editing
        exchange = session.send(message) if turn is None else session.edit(turn, message)
        session.editing = None  # not before: a message that is refused is changed once more
        self.attachments.clear()
        return exchange

    def deliver(self, exchange: Exchange) -> None:
        """Show an answer as it comes, then its figures."""
        self._current = exchange
        self.ui.begin_answer()
        try:
            while (piece := exchange.next_piece()) is not None:
                self.ui.add_text(piece.text)
        except KeyboardInterrupt:  # it came while the text was written
            exchange.end()
        except OutputLostError:
            exchange.end()
            raise
        finally:
            self._current = None
            self.ui.end_answer()
        self._tell(exchange)
        if not self.session.title and len(self.session.conversation.turns) == 1:
            self.session.title_is_due = True

    @property
    def activity(self) -> str:
        """What is waited for, with how far it is, in words; empty where that cannot be told."""
        session, exchange = self.session, self._current
        if session.being_loaded:
            return loading(session.being_loaded, session.loaded_share)
        return reading(*exchange.prompt_progress) if exchange is not None else ""

    def cancel(self) -> bool:
        """Stop the answer that is on its way; False if there is none. From any thread."""
        exchange = self._current
        if exchange is not None:
            threading.Thread(target=exchange.cancel, daemon=True).start()
        return exchange is not None

    def _tell(self, exchange: Exchange) -> None:
        """The quiet line, and what there is to know about the context."""
        turn = exchange.turn
        self._count(turn)
        context = self.session.conversation.context
        share = context.num_tokens / context.n_ctx
        if self.shows_figures:
            line = figures(turn.usage, turn.timings, finish_reason=turn.finish_reason)
            full = t("context {percent:.0f}%", percent=100 * share)
            self.ui.say(f"{line} · {full}")
        gone = turn.num_dropped_turns - exchange.num_dropped_before
        if gone > 0:
            self.ui.warn(t(_TURNS_LEFT, count=gone))
        elif is_nearly_full(context) and not self._warned:
            self.ui.warn(t(_NEARLY_FULL))
        self._warned = is_nearly_full(context)

    def _count(self, turn: Turn) -> None:
        totals, usage = self.totals, turn.usage
        totals.num_answers += 1
        totals.prompt_tokens += usage.prompt_tokens
        totals.cached_tokens += usage.cached_tokens
        totals.completion_tokens += usage.completion_tokens


def is_nearly_full(context: ContextState) -> bool:
    """Whether turns will leave the context soon.

    They leave when the place kept for an answer, a quarter of the context or 1024 tokens, is
    needed; the warning comes an eighth of the context before that.

    >>> is_nearly_full(ContextState(6000, 8192, 0)), is_nearly_full(ContextState(6200, 8192, 0))
    (False, True)
    """
    reserved = min(_MOST_RESERVED_TOKENS, context.n_ctx // 4)
    return context.num_tokens > context.n_ctx - reserved - context.n_ctx // _MARGIN


def _with_files(text: str, files: list[tuple[str, str]]) -> str:
    """A question with the files that go with it.

    >>> print(_with_files("Why?", [("a.txt", "one")]))
    Why?
    <BLANKLINE>
    a.txt:
    ```
    one
    ```
    """
    parts = [text, *(f"{name}:\n```\n{content.rstrip()}\n```" for name, content in files)]
    return "\n\n".join(part for part in parts if part)
