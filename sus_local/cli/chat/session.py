"""A chat's state: the model, the conversation in use, the sampling parameters, the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus_local import template
from sus_local.cli.chat.recorder import Recorder
from sus_local.cli.chat.ui import Ui
from sus_local.cli.failure import memory_only_lines
from sus_local.cli.text import t
from sus_local.errors import HistoryError, RequestError, SusLocalError
from sus_local.history import History, SavedConversation, SavedTurn

if TYPE_CHECKING:
    from sus_local.conversation import Conversation
    from sus_local.llm import LLM
    from sus_local.results import Piece
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
        self.history = history
        self.path = path
        self.name = name
        self.sampling = dict(sampling)
        self.system = system
        self.title = ""
        self.title_is_due = False
        self.recorder = Recorder(history, self._on_trouble)
        self._ui = ui
        self._loading = dict(loading)
        self._llm: LLM | None = None
        self._conversation: Conversation | None = None

    def load(self) -> None:
        """Load the model and begin a conversation.

        Raises:
            ModelError: It cannot be loaded.
        """
        import sus_local

        self._llm = sus_local.load(self.path, **self._loading)
        if self._conversation is None:
            self.new()

    def close(self) -> None:
        """Free the model; the KV cache is written."""
        if self._llm is not None:
            self._llm.close()

    @property
    def title_of_model(self) -> str:
        """The model's name for people: without its folder."""
        return Path(self.name).stem if self.name.endswith(".gguf") else self.name

    @property
    def llm(self) -> LLM:
        """The model."""
        if self._llm is None:
            raise RequestError("the model is still loading", hint="wait a moment")
        return self._llm

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
        self.system = row.system
        active, unanswered = _resume_at(saved, row.active)
        turns = [self._turn(each) for each in saved if each.text or each.token_ids]
        known = {turn.id for turn in turns}
        turns = [turn for turn in turns if turn.parent is None or turn.parent in known]
        self._conversation = self.llm.conversation(system=row.system, turns=turns, active=active)
        if active is None:
            self._conversation = _before_first(self._conversation, turns)
        self.recorder.attach(number, known)
        self.title, self.title_is_due = row.title, False
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

    def _turn(self, saved: SavedTurn) -> Turn:
        """A saved turn as this model's; tokens of another model are not its own."""
        from sus_local.results import Timings, Usage
        from sus_local.turn import Turn

        own = saved.fingerprint == self.llm.fingerprint
        prompt, answer = (saved.prompt_token_ids, saved.token_ids) if own else ((), ())
        prompt = prompt or self._prompt_ids(saved.user, saved.parent is None)
        reason: Any = saved.finish_reason or "cancelled"
        return Turn(
            id=saved.id,
            parent=saved.parent,
            user=saved.user,
            prompt_token_ids=prompt,
            token_ids=answer or tuple(self.llm.tokenize(saved.text)),
            text=saved.text,
            finish_reason=reason,
            num_dropped_turns=saved.num_dropped_turns,
            usage=Usage(**saved.usage),
            timings=Timings(**saved.timings),
        )

    def _prompt_ids(self, user: str, is_first: bool) -> tuple[int, ...]:
        segment = template.user_segment(user, self.system if is_first else None)
        return tuple(self.llm.tokenize(segment.text))

    @property
    def facts(self) -> dict[str, Any]:
        """What the history keeps of the conversation itself."""
        system = self.conversation.system
        return {"model": self.name, "system": system, "title": self.title}

    # Questions

    def send(self, text: str) -> Exchange:
        """Ask something."""
        turns = self.conversation.turns
        parent = turns[-1] if turns else None
        return self._exchange(
            text, parent, lambda params: self.conversation.send(text, sampling=params)
        )

    def retry(self) -> Exchange:
        """Answer the last question again, beside the old answer."""
        turns = self._some_turns()
        parent = turns[-2] if len(turns) > 1 else None
        return self._exchange(
            turns[-1].user, parent, lambda params: self.conversation.regenerate(sampling=params)
        )

    def edit(self, turn: Turn, text: str) -> Exchange:
        """Ask ``text`` instead of what was asked in ``turn``, on a branch beside it."""
        by_id = {each.id: each for each in self.conversation.tree}
        parent = None if turn.parent is None else by_id[turn.parent]
        return self._exchange(
            text, parent, lambda params: self.conversation.edit(turn, text, sampling=params)
        )

    def snapshot(self) -> tuple[SavedConversation, list[SavedTurn]]:
        """The conversation in use with all its branches, as the history keeps them."""
        now = time.time()
        turns = [_saved(turn, self.llm.fingerprint) for turn in self.conversation.tree]
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

    def undo(self) -> Turn | None:
        """Take the last question and answer back; they stay in the tree."""
        turn = self.conversation.undo()
        if turn is not None:
            self.recorder.activate(turn.parent)
        return turn

    def switch(self, turn: Turn) -> None:
        """Make the branch that leads through ``turn`` the one in use."""
        self.conversation.switch(turn)
        self.recorder.activate(self.conversation.turns[-1].id)

    def last_turn(self) -> Turn:
        """The last turn of the branch in use.

        Raises:
            RequestError: There is none yet.
        """
        return self._some_turns()[-1]

    def _some_turns(self) -> tuple[Turn, ...]:
        turns = self.conversation.turns
        if not turns:
            raise RequestError(t("there is nothing yet in this conversation"))
        return turns

    def _exchange(
        self, user: str, parent: Turn | None, start: Callable[[SamplingParams], Stream]
    ) -> Exchange:
        params = self.params
        stream = start(params)
        num_dropped = 0 if parent is None else parent.num_dropped_turns
        self.recorder.begin(
            parent=None if parent is None else parent.id,
            user=user,
            facts={
                "model": self.name,
                "system": self.conversation.system,
                "title": self.title,
            },
            sampling=_plain(asdict(params)),
            fingerprint=self.llm.fingerprint,
            num_dropped_turns=num_dropped,
        )
        return Exchange(self, stream, num_dropped)

    def _on_trouble(self, error: HistoryError) -> None:
        what, *hint = memory_only_lines(error)
        self._ui.warn(what)
        for line in hint:
            self._ui.say(line)


class Exchange:
    """A question whose answer is on its way.

    Attributes:
        num_dropped_before: Turns that had left the context before it.
    """

    def __init__(self, session: Session, stream: Stream, num_dropped_before: int) -> None:
        self.num_dropped_before = num_dropped_before
        self._session = session
        self._stream = stream

    def next_piece(self) -> Piece | None:
        """The next piece, saved in due time; None at the end. Ctrl-C stops the answer.

        Raises:
            SusLocalError: The answer failed.
        """
        recorder = self._session.recorder
        try:
            piece = next(self._stream, None)
        except KeyboardInterrupt:
            self._stream.close()
            return self.next_piece()
        except SusLocalError:
            recorder.fail()
            raise
        if piece is None:
            recorder.finish(self.turn)
        else:
            recorder.take(piece)
        return piece

    def cancel(self) -> None:
        """Stop the answer, keep what came; from any thread."""
        self._stream.close()

    @property
    def turn(self) -> Turn:
        """The finished turn."""
        return self._session.last_turn()


def _resume_at(saved: list[SavedTurn], active: int | None) -> tuple[int | None, str]:
    """The turn to go on from; past one without any answer, whose question is given back."""
    by_id = {turn.id: turn for turn in saved}
    turn = by_id.get(active) if active is not None else None
    if turn is not None and not turn.text and not turn.token_ids:
        return turn.parent, turn.user
    return (None if turn is None else turn.id), ""


def _before_first(conversation: Conversation, turns: list[Turn]) -> Conversation:
    """Step back before the first turn: everything was taken back when it was left."""
    while turns and conversation.turns:
        conversation.undo()
    return conversation


def _saved(turn: Turn, fingerprint: str) -> SavedTurn:
    values = {name: getattr(turn, name) for name in _SHARED_NAMES}
    usage, timings = asdict(turn.usage), asdict(turn.timings)
    return SavedTurn(**values, usage=usage, timings=timings, fingerprint=fingerprint)


_SHARED_NAMES = (
    *("id", "parent", "user", "prompt_token_ids", "token_ids", "text", "finish_reason"),
    "num_dropped_turns",
)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling parameters that differ from nothing said, for the history."""
    return {name: value for name, value in values.items() if value not in (None, (), {})}
