"""How a chat begins and ends: which model, which history, which screen."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus_local import paths
from sus_local.cli.chat.dialogue import Dialogue
from sus_local.cli.chat.lines import Lines
from sus_local.cli.chat.session import Session
from sus_local.cli.failure import memory_only_lines
from sus_local.cli.logs import shown
from sus_local.cli.model_name import last_or_only, named_model, shown_name
from sus_local.cli.output import note
from sus_local.cli.text import t
from sus_local.errors import HistoryError, ModelNotFoundError
from sus_local.history import History
from sus_local.sampling import SamplingParams
from sus_local.saved import SavedConversation

if TYPE_CHECKING:
    from sus_local.cli.chat.screen import Screen

_ANOTHER = "The conversation's model, {model}, is not here: {other} goes on with it."


@dataclass(frozen=True)
class Start:
    """What a chat was asked to be.

    Attributes:
        model: Its name; None takes that of the conversation, else the one used last.
        go_on: With the last conversation.
        conversation: With this one.
        system: System message of new conversations.
        plain: No Markdown.
        keep: Save the conversations; else nothing of them reaches the disk.
        loading: Arguments for ``load``.
        sampling: Sampling parameters.
        first_lines: Sent before the user's own.
    """

    model: str | None = None
    go_on: bool = False
    conversation: int | None = None
    system: str | None = None
    plain: bool = False
    keep: bool = True
    loading: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    first_lines: Sequence[str] = ()

    def run(self) -> int:
        """Hold the chat; gives the exit status: 1 where a line failed and nobody could see it.

        Raises:
            SusLocalError: There is no such model or conversation, or it cannot be loaded.
        """
        SamplingParams(**self.sampling)
        history, trouble = self._open_history()
        row = self._wanted(history)
        name, path = self._model(row)
        ui = self._ui()
        session = Session(
            ui, history, path, name=name, loading=self._loading(), sampling=self.sampling,
            system=self.system,
        )  # fmt: skip
        dialogue = Dialogue(session, ui)
        if trouble is not None:
            for line in memory_only_lines(trouble):
                note(line)
        try:
            self._hold(ui, dialogue, row)
        finally:
            session.close()
            if history is not None:
                history.close()
        return int(dialogue.failed and not sys.stdin.isatty())

    def _loading(self) -> dict[str, Any]:
        """Arguments for ``load``; KV blocks hold the tokens of what was said."""
        return {**self.loading, **({} if self.keep else {"kv_disk_bytes": 0})}

    def _open_history(self) -> tuple[History | None, HistoryError | None]:
        """The history; without it the chat is held all the same, and the reason is told."""
        if not self.keep:
            return None, None
        try:
            return History(paths.history_path()), None
        except HistoryError as error:
            if self.go_on or self.conversation is not None:
                raise
            return None, error

    def _wanted(self, history: History | None) -> SavedConversation | None:
        """The conversation to go on with."""
        if history is None:
            return None
        if self.conversation is not None:
            return history.conversation(self.conversation)
        rows = history.conversations(limit=1) if self.go_on else []
        if self.go_on and not rows:
            raise HistoryError("there is no conversation to go on with", hint="sus-local chat")
        return rows[0] if rows else None

    def _model(self, row: SavedConversation | None) -> tuple[str, Path]:
        """The model by the name that finds it again, and its file."""
        if self.model is not None:
            return named_model(self.model)
        if row is None or not row.model:
            return named_model(last_or_only())
        try:
            return named_model(row.model)
        except ModelNotFoundError as error:
            with contextlib.suppress(ModelNotFoundError):
                name, path = named_model(last_or_only())
                note(t(_ANOTHER, model=shown_name(row.model), other=shown_name(name)))
                return name, path
            raise error from None

    def _ui(self) -> Screen | Lines:
        if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
            return Lines()
        from sus_local.cli.chat.screen import Screen

        kept = paths.data_dir() / "chat_input"
        return Screen(plain=self.plain, input_history=kept, keep=self.keep)

    def _hold(self, ui: Screen | Lines, dialogue: Dialogue, row: SavedConversation | None) -> None:
        def prepare() -> None:
            if row is not None:
                from sus_local.cli.chat.keep import show_opened

                show_opened(dialogue, dialogue.session.open(row.id))
            for line in self.first_lines:
                ui.echo(line)
                dialogue.handle(line)

        if isinstance(ui, Lines):
            ui.run(dialogue, prepare)
            return
        from sus_local.cli.chat.pump import Pump

        note(f"{dialogue.session.title_of_model} · {t('/help shows the commands, Ctrl-D leaves')}")
        with shown(ui.warn):  # to the terminal directly, it would tear the drawing
            ui.run(Pump(dialogue, prepare))
        if dialogue.totals.num_answers and dialogue.session.recorder.number is not None:
            note(t("Go on with: {command}", command="sus-local chat --continue"))
