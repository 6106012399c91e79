"""A chat's state: the model, the conversation in use, the sampling parameters, the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus_local.cli.chat.exchange import Exchange
from sus_local.cli.chat.recorder import Recorder
from sus_local.cli.chat.turns import answered, resume_at, to_saved, to_turn
from sus_local.cli.chat.ui import Ui
from sus_local.cli.failure import memory_only_lines
from sus_local.cli.model_name import remember, shown_name
from sus_local.cli.text import t
from sus_local.errors import HistoryError, RequestError
from sus_local.history import History
from sus_local.saved import SavedConversation, SavedTurn

if TYPE_CHECKING:
    from sus_local.conversation import Conversation
    from sus_local.llm import LLM
    from sus_local.sampling import SamplingParams
    from sus_local.stream import Stream
    from sus_local.turn import Turn


class Session:
    """One sitting: a loaded model and the conversation in use.

    Args:
        ui: Told what the user should know.
        history: None keeps nothing.
        path: The model file.
        name: What finds the model again.
        loading: Arguments for ``load``.
        sampling: Sampling parameters that the user gave, by their names.
        system: System message of new conversations.

    Attributes:
        editing: The turn whose question the next message replaces.
        being_loaded: The model that is being loaded now, for people; empty at other times.
        loaded_share: How much of it is loaded, from 0 to 1.
    """

    def __init__(
        self,
        ui: Ui,
        history: History | None,
        path: Path,
        *,
        name: str,
        loading: Mapping[str, Any],
        sampling: Mapping[str, Any],
        system: str | None = None,
    ) -> None:
        self.path = path
        self.name = name
        self.sampling = dict(sampling)
        self.system = system
        self.title = ""
        self.title_is_due = False
        self.editing: int | None = None
        self.being_loaded = ""
        self.loaded_share = 0.0
        self.recorder = Recorder(history, self._on_trouble)
        self._ui = ui
        self._loading = dict(loading)
        self._llm: LLM | None = None
        self._fingerprint = ""
        self._conversation: Conversation | None = None
        self._earlier: dict[int, SavedTurn] = {}

    def load(self) -> None:
        """Load the model and begin a conversation.

        Raises:
            ModelError: It cannot be loaded.
        """
        self._load(self.name, self.path, self._loading)
        if self._conversation is None:
            self.new()

    def change_model(self, name: str, path: Path, **loading: Any) -> str:
        """Go on with another model, or with this one loaded in another way; gives a question that
        got no answer, or nothing.

        The model leaves before the other is loaded, so that all memory is there for it, and comes
        back where that one cannot be loaded. What can be seen to be wrong before is told before.

        Args:
            loading: What changes of llama.cpp's knobs.

        Raises:
            SusLocalError: The other model cannot be loaded, or not in this way.
        """
        from sus_local.backend.options import LoadOptions
        from sus_local.offload.gguf_facts import read_facts

        LoadOptions(**loading)
        read_facts(path)
        row, turns = self.snapshot()
        before = self.name, self.path, self._loading
        self.close()
        try:
            self._load(name, path, {**self._loading, **loading})
        except Exception:
            self._load(*before)
            self._take_up(row, turns)
            raise
        self.title_is_due = bool(turns) and not self.title
        return self._take_up(row, turns)

    def _load(self, name: str, path: Path, loading: Mapping[str, Any]) -> None:
        import sus_local

        self.being_loaded, self.loaded_share = shown_name(name), 0.0
        try:
            self._llm = sus_local.load(path, on_progress=self._on_progress, **loading)
        finally:
            self.being_loaded = ""
        self.name, self.path, self._loading = name, path, dict(loading)
        self._fingerprint = self._llm.fingerprint
        remember(name, path)

    def _on_progress(self, share: float) -> None:
        self.loaded_share = share

    def close(self) -> None:
        """Free the model; the KV cache is written."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.close()

    def uses(self, path: Path) -> bool:
        """Whether the model of this file can be asked."""
        return self._llm is not None and path.resolve() == self.path.resolve()

    @property
    def title_of_model(self) -> str:
        """The model's name for people: without its folder."""
        return shown_name(self.name)

    @property
    def kv_type(self) -> str:
        """Of the KV cache."""
        return str(self._loading.get("kv_type", "f16"))

    @property
    def n_ctx_wanted(self) -> int | None:
        """The context's length that was asked for; None for the model's default."""
        n_ctx: int | None = self._loading.get("n_ctx")
        return n_ctx

    @property
    def llm(self) -> LLM:
        """The model."""
        if self._llm is not None:
            return self._llm
        if self.being_loaded or self._conversation is None:
            raise RequestError("the model is still loading", hint="wait a moment")
        raise RequestError("no model is loaded", hint="/model NAME")

    @property
    def conversation(self) -> Conversation:
        """The conversation in use."""
        if self._conversation is None:
            raise RequestError("the model is still loading", hint="wait a moment")
        return self._conversation

    @property
    def params(self) -> SamplingParams:
        """The sampling parameters in use."""
        from sus_local.sampling import SamplingParams

        return SamplingParams(**self.sampling)

    def new(self) -> None:
        """Begin a conversation."""
        self._conversation = self.llm.conversation(system=self.system)
        self._earlier = {}
        self.editing = None
        self.recorder.attach(None)
        self.title, self.title_is_due = "", False

    def open(self, number: int) -> str:
        """Go on with a saved conversation; gives a question that got no answer, or nothing.

        Raises:
            HistoryError: There is none of this number.
        """
        row, saved = self.saved.conversation(number), self.saved.turns(number)
        return self.go_on(row, saved, number)

    def go_on(self, row: SavedConversation, saved: list[SavedTurn], number: int | None) -> str:
        """Go on with turns from anywhere; ``number`` is where they are saved, if they are."""
        unanswered = self._take_up(row, saved)
        self.editing = None
        self.recorder.attach(number, self._earlier)
        self.title, self.title_is_due = row.title, False
        return unanswered

    def _take_up(self, row: SavedConversation, saved: Sequence[SavedTurn]) -> str:
        """Make the conversation in use of saved turns, by whichever model they were written."""
        active, unanswered = resume_at(saved, row.active)
        kept = answered(saved)
        turns = [to_turn(each, self.llm, row.system) for each in kept]
        self._conversation = self.llm.conversation(system=row.system, turns=turns, active=active)
        if active is None:
            self._conversation = _before_first(self._conversation, turns)
        self._earlier = {each.id: each for each in kept}
        return unanswered

    @property
    def saved(self) -> History:
        """The history.

        Raises:
            HistoryError: It is not in use.
        """
        if self.recorder.history is None:
            raise HistoryError("the history is not in use: this chat is only in memory")
        return self.recorder.history

    @property
    def facts(self) -> dict[str, Any]:
        """What the history keeps of the conversation itself."""
        system = self.conversation.system
        return {"model": self.name, "system": system, "title": self.title}

    # Questions

    def send(self, text: str) -> Exchange:
        """Ask something."""
        seen = [turn for turn in self.conversation.turns if not turn.unanswered]
        parent = seen[-1] if seen else None
        return self._exchange(
            text, parent, lambda params: self.conversation.send(text, sampling=params)
        )

    def retry(self) -> Exchange:
        """Answer the last question again, beside the old answer."""
        last = self.last_turn()
        return self._exchange(
            last.user,
            self._turn(last.parent),
            lambda params: self.conversation.regenerate(sampling=params),
        )

    def edit(self, number: int, text: str) -> Exchange:
        """Ask ``text`` instead of what was asked in a turn, on a branch beside it."""
        turn = self._turn(number)
        return self._exchange(
            text,
            None if turn is None else self._turn(turn.parent),
            lambda params: self.conversation.edit(number, text, sampling=params),
        )

    def _turn(self, number: int | None) -> Turn | None:
        return next((turn for turn in self.conversation.tree if turn.id == number), None)

    def snapshot(self) -> tuple[SavedConversation, list[SavedTurn]]:
        """The conversation in use with all its branches, as the history keeps them."""
        now = time.time()
        turns = [self._as_saved(turn) for turn in self.conversation.tree]
        branch = self.conversation.turns
        row = SavedConversation(
            id=self.recorder.number or 0,
            title=self.title,
            system=self.conversation.system,
            model=self.name,
            active=branch[-1].id if branch else None,
            num_turns=len(turns),
            created_at=now,
            updated_at=now,
            first=turns[0].user if turns else "",
        )
        return row, turns

    def _as_saved(self, turn: Turn) -> SavedTurn:
        """A turn as whoever wrote it left it: this model, or another one before it."""
        return self._earlier.get(turn.id) or to_saved(
            turn, fingerprint=self._fingerprint, model=self.name
        )

    def undo(self) -> Turn | None:
        """Take the last question and answer back; they stay in the tree."""
        self.editing = None
        turn = self.conversation.undo()
        if turn is not None:
            self.recorder.activate(turn.parent)
        return turn

    def switch(self, turn: Turn) -> None:
        """Make the branch that leads through ``turn`` the one in use."""
        self.editing = None
        self.conversation.switch(turn)
        self.recorder.activate(self.conversation.turns[-1].id)

    def change_system(self, system: str | None) -> None:
        """Another system message, or none, for this conversation and for new ones."""
        self.system = system
        self.conversation.change_system(system)
        for turn in self._earlier.values():
            if turn.parent is None:
                self._earlier[turn.id] = replace(turn, prompt_token_ids=())
        self.recorder.change_system(system)

    def last_turn(self) -> Turn:
        """The last turn of the branch in use.

        Raises:
            RequestError: There is none yet.
        """
        turns = self.conversation.turns
        if not turns:
            raise RequestError(t("there is nothing yet in this conversation"))
        return turns[-1]

    def _exchange(
        self, user: str, parent: Turn | None, start: Callable[[SamplingParams], Stream]
    ) -> Exchange:
        params, fingerprint = self.params, self.llm.fingerprint
        stream = start(params)
        num_dropped = 0 if parent is None else parent.num_dropped_turns
        self.recorder.begin(
            parent=None if parent is None else parent.id,
            user=user,
            facts=self.facts,
            sampling=_plain(asdict(params)),
            fingerprint=fingerprint,
            model=self.name,
            num_dropped_turns=num_dropped,
        )
        return Exchange(self, stream, num_dropped)

    def _on_trouble(self, error: HistoryError) -> None:
        what, *hint = memory_only_lines(error)
        self._ui.warn(what)
        for line in hint:
            self._ui.say(line)


def _before_first(conversation: Conversation, turns: Sequence[Turn]) -> Conversation:
    """Step back before the first turn: everything was taken back when it was left."""
    while turns and conversation.turns:
        conversation.undo()
    return conversation


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling parameters that differ from nothing said, for the history."""
    return {name: value for name, value in values.items() if value not in (None, (), {})}
