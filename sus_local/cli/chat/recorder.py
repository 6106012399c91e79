"""Saves a conversation's turns while they are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sus_local.errors import HistoryError
from sus_local.history import History

if TYPE_CHECKING:
    from sus_local.results import Piece
    from sus_local.turn import Turn

SAVE_SECONDS = 0.5
"""How often an answer that streams is saved: what a killed process loses at most."""


class Recorder:
    """Writes the turns of one conversation to the history.

    A conversation is made in the history with its first turn. When the history fails, or another
    program deletes the conversation, that is told once and nothing more of it is saved; it goes on
    in memory. The next conversation is saved again.

    Args:
        history: None saves nothing.
        on_trouble: Told why saving ended.
    """

    def __init__(self, history: History | None, on_trouble: Callable[[HistoryError], None]) -> None:
        self.history = history
        self.number: int | None = None
        self._model = ""
        self._on_trouble = on_trouble
        self._saved_ids: dict[int, int] = {}
        self._turn: int | None = None
        self._parent: int | None = None
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._next_save = 0.0
        self._is_lost = False

    def attach(self, number: int | None, turn_ids: Iterable[int] = ()) -> None:
        """Go on with the saved conversation ``number``; None begins another with the next turn."""
        self.number, self._model = number, ""
        self._turn, self._is_lost = None, False
        self._saved_ids = {turn_id: turn_id for turn_id in turn_ids}

    def begin(
        self, *, parent: int | None, user: str, facts: Mapping[str, Any], **columns: Any
    ) -> None:
        """A question was sent.

        Args:
            parent: The conversation's turn that it follows.
            facts: ``model``, ``system`` and ``title``, for a new conversation.
            columns: More of :class:`SavedTurn`'s attributes.
        """
        self._texts, self._token_ids = [], []
        self._next_save = time.monotonic() + SAVE_SECONDS
        self._parent = None if parent is None else self._saved_ids.get(parent)
        self._turn = self._try(lambda history: self._insert(history, user, facts, columns))

    def _insert(
        self, history: History, user: str, facts: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> int:
        if self.number is None:
            self.number = history.create(**facts)
        elif facts["model"] != self._model:
            history.change(self.number, model=facts["model"])
        self._model = facts["model"]
        return history.add_turn(self.number, parent=self._parent, user=user, **columns)

    def take(self, piece: Piece) -> None:
        """A piece of the answer came."""
        self._texts.append(piece.text)
        self._token_ids += piece.token_ids
        if time.monotonic() >= self._next_save:
            self._save(text="".join(self._texts), token_ids=self._token_ids)
            self._next_save = time.monotonic() + SAVE_SECONDS

    def finish(self, turn: Turn) -> None:
        """The answer is whole, or was stopped."""
        if self._turn is not None:
            self._saved_ids[turn.id] = self._turn
        self._save(
            text=turn.text,
            token_ids=turn.token_ids,
            prompt_token_ids=turn.prompt_token_ids,
            finish_reason=turn.finish_reason,
            num_dropped_turns=turn.num_dropped_turns,
            usage=asdict(turn.usage),
            timings=asdict(turn.timings),
        )

    def fail(self) -> None:
        """The answer ended in an error: what came stays in the history, beside the branch."""
        self._save(text="".join(self._texts), finish_reason="cancelled")
        if self.number is not None:
            number, parent = self.number, self._parent
            self._try(lambda history: history.change(number, active=parent))

    def activate(self, turn_id: int | None) -> None:
        """Another branch is in use: that which ends with the conversation's turn ``turn_id``."""
        number = self.number
        saved = None if turn_id is None else self._saved_ids.get(turn_id)
        if number is not None:
            self._try(lambda history: history.change(number, active=saved))

    def retitle(self, title: str) -> None:
        """Name the conversation."""
        number = self.number
        if number is not None:
            self._try(lambda history: history.change(number, title=title))

    def change_system(self, system: str | None) -> None:
        """Another system message, for the whole conversation."""
        number = self.number
        if number is not None:
            self._try(lambda history: history.change_system(number, system))

    def _save(self, **columns: Any) -> None:
        turn = self._turn
        if turn is not None:
            self._try(lambda history: history.update_turn(turn, **columns))

    def _try(self, change: Callable[[History], Any]) -> Any:
        if self.history is None or self._is_lost:
            return None
        try:
            return change(self.history)
        except HistoryError as error:
            self._is_lost = True
            self._on_trouble(error)
            return None
