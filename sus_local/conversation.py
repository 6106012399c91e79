"""A conversation: turns as a tree, whose active branch is what the model sees.

Each turn keeps the token ids of its prompt and of its answer as they were, so the history is never
encoded again and its KV is found to the end. When the context is full, whole oldest turns leave
(:mod:`sus_local.window`); what stays is moved (``"shift"``, nothing is computed again) or computed
anew (``"rebuild"``, exact). A message whose answer was cancelled before it began
stays a turn, to be answered by ``regenerate``; the model does not see it, and what is sent next
follows the turn before it.

>>> from sus_local.backend.fake import Fake
>>> from sus_local.llm import LLM
>>> with LLM(Fake(script=lambda prompt: b"Hello!")) as llm:
...     chat = llm.conversation()
...     answer = chat.ask("hi")
...     chat.messages
[{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'Hello!'}]
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sus_local.errors import (
    ContextOverflowError,
    EngineClosedError,
    RequestError,
    SamplingError,
)
from sus_local.feeds import Channel, Item
from sus_local.results import Piece, Result
from sus_local.sampling import SamplingParams
from sus_local.stream import Answer, Stream
from sus_local.turn import ContextState, Turn
from sus_local.window import Overflow, TurnPrompt, Window

if TYPE_CHECKING:
    from sus_local.engine.loop import Ticket
    from sus_local.llm import LLM


class Conversation:
    """See the module. Its methods may be called from any thread, one at a time.

    Args:
        llm: The model.
        system: Text before the first turn.
        overflow: What to do when the context is full.
        turns: Saved turns.
        active: Id of the last turn of the active branch; None takes the newest.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        system: str | None = None,
        overflow: Overflow = "shift",
        turns: Iterable[Turn] = (),
        active: int | None = None,
    ) -> None:
        self._llm = llm
        self._window = Window(llm, overflow, system)
        self._turns = _by_id(turns)
        newest = max(self._turns, default=None)
        self._active = newest if active is None else self._turn(active).id
        self._exchange: _Exchange | None = None
        self._lock = threading.RLock()

    @property
    def system(self) -> str | None:
        """The text before the first turn."""
        return self._window.system

    @property
    def overflow(self) -> Overflow:
        """What happens when the context is full."""
        return self._window.overflow

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The active branch, the first turn first; the last one may be unanswered."""
        self._settle()
        return self._path(self._active)

    @property
    def tree(self) -> tuple[Turn, ...]:
        """All turns, in the order in which they came."""
        self._settle()
        return tuple(self._turns[turn_id] for turn_id in sorted(self._turns))

    @property
    def messages(self) -> list[dict[str, str]]:
        """The active branch as messages, as the model sees them."""
        self._settle()
        found = [{"role": "system", "content": self.system}] if self.system is not None else []
        for turn in self._branch(self._active):
            found.append({"role": "user", "content": turn.user})
            found.append({"role": "assistant", "content": turn.text})
        return found

    @property
    def context(self) -> ContextState:
        """How full the context is with the active branch."""
        self._settle()
        turns = self._branch(self._active)
        dropped = turns[-1].num_dropped_turns if turns else 0
        return ContextState(self._window.num_tokens(turns), self._llm.n_ctx, dropped)

    def send(self, text: str, *, sampling: SamplingParams | None = None) -> Stream:
        """Say something; the answer streams. Closing the stream ends it and keeps what came.

        Raises:
            MessagesError: It is no text.
            ContextOverflowError: It does not fit, even alone.
        """
        with self._settled():
            branch = self._branch(self._active)
            return self._start(branch[-1].id if branch else None, text, sampling)

    def ask(self, text: str, *, sampling: SamplingParams | None = None) -> Result:
        """Say something, and wait for the whole answer; Ctrl-C ends it and keeps what came."""
        return self.send(text, sampling=sampling).result

    def regenerate(self, *, sampling: SamplingParams | None = None) -> Stream:
        """Answer the last message again, on a branch beside the old answer."""
        with self._settled():
            last = self._turn(self._active)
            return self._start(last.parent, last.user, sampling)

    def edit(
        self, turn: Turn | int, text: str, *, sampling: SamplingParams | None = None
    ) -> Stream:
        """Say ``text`` instead of what was said in ``turn``, on a branch beside it.

        Raises:
            RequestError: It is no turn of this conversation.
        """
        with self._settled():
            return self._start(self._turn(turn).parent, text, sampling)

    def undo(self) -> Turn | None:
        """Go back before the last turn, which stays in the tree; it is returned."""
        with self._settled():
            if self._active is None:
                return None
            undone, self._active = self._turns[self._active], self._turns[self._active].parent
            return undone

    def switch(self, turn: Turn | int) -> None:
        """Make the branch active that leads through ``turn`` to its newest end."""
        with self._settled():
            below = {self._turn(turn).id}
            for turn_id in sorted(self._turns):  # none comes before the one that it follows
                if self._turns[turn_id].parent in below:
                    below.add(turn_id)
            self._active = max(below)

    def change_system(self, system: str | None) -> None:
        """Put another text, or none, before the first turn of every branch.

        The answers stay; what is said next is answered under it. The history begins with other
        tokens then, so that its KV is computed anew. Where that cannot be, nothing is changed.

        >>> from sus_local.backend.fake import Fake
        >>> from sus_local.llm import LLM
        >>> with LLM(Fake(script=lambda prompt: b"Hello!")) as llm:
        ...     chat = llm.conversation()
        ...     answer = chat.ask("hi")
        ...     chat.change_system("Be brief.")
        ...     chat.messages[0], chat.turns[0].user
        ({'role': 'system', 'content': 'Be brief.'}, 'hi')
        """
        with self._settled():
            window = Window(self._llm, self.overflow, system)
            changed = {
                turn.id: replace(turn, prompt_token_ids=window.encode_user(turn.user, first=True))
                for turn in self._turns.values()
                if turn.parent is None
            }
            self._window = window
            self._turns.update(changed)

    def siblings(self, turn: Turn | int) -> tuple[Turn, ...]:
        """A turn and those beside it, in the order in which they came."""
        tree = self.tree
        parent = self._turn(turn).parent
        return tuple(t for t in tree if t.parent == parent)

    def fork_generate(self, text: str, *, sampling: SamplingParams | None = None) -> Result:
        """An answer beside the conversation, which it does not enter (a title, say)."""
        params = self._single(sampling)
        with self._settled():
            prompt = self._window.prompt(self._branch(self._active), text, params)
        channel = Channel()
        self._llm.submit(prompt.token_ids, params, channel, root=prompt.root, shift=prompt.shift)
        return Stream(channel).result

    # One turn

    def _start(self, parent: int | None, text: str, sampling: SamplingParams | None) -> Stream:
        params = self._single(sampling)
        prompt = self._window.prompt(self._branch(parent), text, params)
        exchange = _Exchange(self, parent, text, prompt, params)
        self._llm.submit(
            prompt.token_ids,
            params,
            exchange,
            root=prompt.root,
            shift=prompt.shift,
            notices=prompt.notices,
            extend=exchange.extend,
        )
        self._exchange = exchange
        return Stream(exchange.channel)

    def _single(self, sampling: SamplingParams | None) -> SamplingParams:
        """The parameters for the one answer that a message gets."""
        params = self._llm.fill(sampling)
        if params.n != 1:
            raise SamplingError(
                f"n is {params.n}, a message gets one answer",
                hint="regenerate() gives another one",
                name="n",
                value=params.n,
            )
        return params

    def resume(self, exchange: _Exchange, answer: Answer, token_ids: tuple[int, ...]) -> bool:
        """Go on with an answer that filled the context, without the oldest turns.

        Called on the engine's thread. False where there is nothing to drop, the answer is as long
        as it may be, or a grammar would have to begin again.
        """
        prompt, params = exchange.prompt, exchange.sampling
        turns = self._branch(exchange.parent)
        new = token_ids[exchange.num_sent :]
        full = len(prompt.token_ids) + len(new) >= self._llm.n_ctx
        ends = params.ruled or params.max_tokens == len(token_ids)
        if not full or ends or self.overflow == "error":
            return False
        said = (*prompt.turn_token_ids, *token_ids)
        try:
            shorter = self._window.drop_turns(turns, prompt.num_dropped_turns, said, prompt.root)
        except ContextOverflowError:
            return False
        if shorter.num_dropped_turns == prompt.num_dropped_turns:
            return False
        left = params.max_tokens and params.max_tokens - len(token_ids)
        remaining = replace(params, max_tokens=left)
        root, shift = shorter.root, shorter.shift
        try:
            ticket = self._llm.resume(
                answer, shorter.token_ids, remaining, root=root, shift=shift, goes_on=True
            )
        except EngineClosedError:
            return False
        exchange.prompt = replace(shorter, turn_token_ids=prompt.turn_token_ids)
        exchange.num_sent = len(token_ids)
        exchange.attach(ticket)
        return True

    def record(self, exchange: _Exchange, result: Result) -> None:
        """Keep a finished turn and make it the active one."""
        turn = Turn(
            id=max(self._turns, default=0) + 1,
            parent=exchange.parent,
            user=exchange.text,
            prompt_token_ids=exchange.prompt.turn_token_ids,
            token_ids=self._llm.answer_tokens(result),
            text=result.text,
            finish_reason=result.finish_reason,
            num_dropped_turns=exchange.prompt.num_dropped_turns,
            usage=result.usage,
            timings=result.timings,
        )
        self._turns[turn.id] = turn
        self._active = turn.id

    @contextlib.contextmanager
    def _settled(self) -> Iterator[None]:
        """Alone in the conversation, its last answer whole."""
        self._settle()  # before the lock too: on the engine's thread it refuses to wait
        with self._lock:
            self._settle()
            yield

    def _settle(self) -> None:
        """Wait until the answer that is on its way is whole."""
        if self._exchange is not None:
            self._exchange.channel.wait()

    def _turn(self, turn: Turn | int | None) -> Turn:
        """The turn that a caller means, as it is now."""
        turn_id = turn.id if isinstance(turn, Turn) else turn
        found = self._turns.get(turn_id) if isinstance(turn_id, int) else None
        if found is None:
            raise self._no_turn(turn_id)
        if isinstance(turn, Turn) and not turn.is_same(found):
            hint = f"its turns are {sorted(self._turns)}"
            raise RequestError(
                f"turn {turn_id} is one of another conversation", hint=hint, turn_id=turn_id
            )
        return found

    def _no_turn(self, turn_id: object) -> RequestError:
        if not self._turns:
            return RequestError("there is no turn yet", hint="send something", turn_id=turn_id)
        if turn_id is None:
            return RequestError(
                f"the branch is before its first turn, {len(self._turns)} are in the tree",
                hint="send something, or switch to one of them",
                turn_id=None,
            )
        return RequestError(
            f"the conversation has no turn {turn_id}",
            hint=f"its turns are {sorted(self._turns)}",
            turn_id=turn_id,
        )

    def _branch(self, leaf: int | None) -> tuple[Turn, ...]:
        """The turns up to ``leaf`` that the model sees."""
        return tuple(turn for turn in self._path(leaf) if not turn.unanswered)

    def _path(self, leaf: int | None) -> tuple[Turn, ...]:
        found = []
        while leaf is not None:
            found.append(self._turns[leaf])
            leaf = found[-1].parent
        return tuple(reversed(found))


class _Exchange:
    """A message and its answer on the way: the feed between the model and the channel.

    The turn is kept before anybody hears that it is complete.

    Attributes:
        num_sent: Tokens of the answer that are part of the prompt, since it goes on in another
            request.
    """

    def __init__(
        self,
        conversation: Conversation,
        parent: int | None,
        text: str,
        prompt: TurnPrompt,
        sampling: SamplingParams,
    ) -> None:
        self.parent = parent
        self.text = text
        self.prompt = prompt
        self.sampling = sampling
        self.num_sent = 0
        self.channel = Channel()
        self._conversation = conversation

    def put(self, item: Item) -> None:
        """Record a result, pass everything on."""
        if isinstance(item, Piece) and item.result is not None:
            self._conversation.record(self, item.result)
        self.channel.put(item)

    def attach(self, ticket: Ticket) -> None:
        """The channel cancels."""
        self.channel.attach(ticket)

    def extend(self, answer: Answer, token_ids: tuple[int, ...]) -> tuple[str, ...] | None:
        """See :class:`sus_local.stream.Answer`."""
        resumed = self._conversation.resume(self, answer, token_ids)
        return self.prompt.notices if resumed else None


def _by_id(turns: Iterable[Turn]) -> dict[int, Turn]:
    found = {}
    for turn in turns:
        if not isinstance(turn, Turn):
            kind = type(turn).__name__
            raise RequestError(f"a turn of the conversation is {kind}, expected Turn")
        found[turn.id] = turn
    for turn in found.values():
        # Ids grow along a branch: one that leads back to itself would have no end.
        if turn.parent is not None and not (turn.parent in found and turn.parent < turn.id):
            raise RequestError(
                f"turn {turn.id} follows turn {turn.parent}, which does not come before it",
                hint="give that one too, with a smaller id, or leave out what follows it",
                turn_id=turn.id,
                parent=turn.parent,
            )
    return found
