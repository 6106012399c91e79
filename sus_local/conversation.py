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

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from sus_local.errors import ContextOverflowError, RequestError
from sus_local.results import Piece, Result
from sus_local.sampling import SamplingParams
from sus_local.stream import Answer, Channel, Item, Stream
from sus_local.turn import ContextState, Turn
from sus_local.window import Overflow, TurnPrompt, Window

if TYPE_CHECKING:
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
        self._turns = {turn.id: turn for turn in turns}
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
            ContextOverflowError: It does not fit, even alone.
        """
        with self._lock:
            self._settle()
            branch = self._branch(self._active)
            return self._start(branch[-1].id if branch else None, text, sampling)

    def ask(self, text: str, *, sampling: SamplingParams | None = None) -> Result:
        """Say something, and wait for the whole answer."""
        return self.send(text, sampling=sampling).result

    def regenerate(self, *, sampling: SamplingParams | None = None) -> Stream:
        """Answer the last message again, on a branch beside the old answer."""
        with self._lock:
            self._settle()
            last = self._turn(self._active)
            return self._start(last.parent, last.user, sampling)

    def edit(
        self, turn: Turn | int, text: str, *, sampling: SamplingParams | None = None
    ) -> Stream:
        """Say ``text`` instead of what was said in ``turn``, on a branch beside it."""
        with self._lock:
            self._settle()
            return self._start(self._turn(_id(turn)).parent, text, sampling)

    def undo(self) -> Turn | None:
        """Go back before the last turn, which stays in the tree; it is returned."""
        with self._lock:
            self._settle()
            if self._active is None:
                return None
            last = self._turns[self._active]
            self._active = last.parent
            return last

    def switch(self, turn: Turn | int) -> None:
        """Make the branch active that leads through ``turn`` to its newest end."""
        with self._lock:
            self._settle()
            leaf = self._turn(_id(turn)).id
            while children := [t.id for t in self._turns.values() if t.parent == leaf]:
                leaf = max(children)
            self._active = leaf

    def change_system(self, system: str | None) -> None:
        """Put another text, or none, before the first turn of every branch.

        The answers stay; what is said next is answered under it. The history begins with other
        tokens then, so that its KV is computed anew.

        >>> from sus_local.backend.fake import Fake
        >>> from sus_local.llm import LLM
        >>> with LLM(Fake(script=lambda prompt: b"Hello!")) as llm:
        ...     chat = llm.conversation()
        ...     answer = chat.ask("hi")
        ...     chat.change_system("Be brief.")
        ...     chat.messages[0], chat.turns[0].user
        ({'role': 'system', 'content': 'Be brief.'}, 'hi')
        """
        with self._lock:
            self._settle()
            self._window.system = system
            for turn in self._turns.values():
                if turn.parent is None:
                    prompt = self._window.encode_user(turn.user, first=True)
                    self._turns[turn.id] = replace(turn, prompt_token_ids=prompt)

    def siblings(self, turn: Turn | int) -> tuple[Turn, ...]:
        """A turn and those beside it, in the order in which they came."""
        parent = self._turn(_id(turn)).parent
        return tuple(t for t in self.tree if t.parent == parent)

    def fork_generate(self, text: str, *, sampling: SamplingParams | None = None) -> Result:
        """An answer beside the conversation, which it does not enter (a title, say)."""
        with self._lock:
            self._settle()
            prompt = self._window.prompt(self._branch(self._active), text, sampling)
        channel = Channel()
        self._llm.submit(
            prompt.token_ids,
            replace(sampling or SamplingParams(), n=1),
            channel,
            root=prompt.root,
            shift=prompt.shift,
            attach=channel.attach,
        )
        return Stream(channel).result

    # One turn

    def _start(self, parent: int | None, text: str, sampling: SamplingParams | None) -> Stream:
        params = replace(sampling or SamplingParams(), n=1)
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
            attach=exchange.channel.attach,
        )
        self._exchange = exchange
        return Stream(exchange.channel)

    def resume(self, exchange: _Exchange, answer: Answer, token_ids: tuple[int, ...]) -> bool:
        """Go on with an answer that filled the context, without the oldest turns.

        Called on the engine's thread. False where there is nothing to drop, the answer is as long
        as it may be, or a grammar would have to begin again.
        """
        prompt, params = exchange.prompt, exchange.sampling
        turns = self._branch(exchange.parent)
        full = len(prompt.token_ids) + len(token_ids) >= self._llm.n_ctx
        ruled = params.grammar is not None or params.json_schema is not None
        if not full or ruled or self.overflow == "error" or params.max_tokens == len(token_ids):
            return False
        said = (*prompt.turn_token_ids, *token_ids)
        try:
            shorter = self._window.drop_turns(turns, prompt.num_dropped_turns, said, prompt.root)
        except ContextOverflowError:
            return False
        if shorter.num_dropped_turns == prompt.num_dropped_turns:
            return False
        if shorter.shift is not None:
            cached = (*prompt.token_ids, *token_ids[:-1])
            shorter = replace(shorter, shift=replace(shorter.shift, token_ids=cached))
        exchange.prompt = replace(shorter, turn_token_ids=prompt.turn_token_ids)
        left = params.max_tokens and params.max_tokens - len(token_ids)
        remaining = replace(params, max_tokens=left)
        exchange.channel.attach(
            self._llm.resume(
                answer, shorter.token_ids, remaining, root=shorter.root, shift=shorter.shift
            )
        )
        return True

    def record(self, exchange: _Exchange, result: Result) -> None:
        """Keep a finished turn and make it the active one."""
        turn = Turn(
            id=max(self._turns, default=0) + 1,
            parent=exchange.parent,
            user=exchange.text,
            prompt_token_ids=exchange.prompt.turn_token_ids,
            token_ids=result.token_ids,
            text=result.text,
            finish_reason=result.finish_reason,
            num_dropped_turns=exchange.prompt.num_dropped_turns,
            usage=result.usage,
            timings=result.timings,
        )
        self._turns[turn.id] = turn
        self._active = turn.id

    def _settle(self) -> None:
        """Wait until the answer that is on its way is whole."""
        if self._exchange is not None:
            self._exchange.channel.wait()

    def _turn(self, turn_id: int | None) -> Turn:
        if turn_id is None or turn_id not in self._turns:
            raise RequestError(
                f"the conversation has no turn {turn_id}" if turn_id else "there is no turn yet",
                hint=f"its turns are {sorted(self._turns)}" if self._turns else "send something",
                turn_id=turn_id,
            )
        return self._turns[turn_id]

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
        self.channel = Channel()
        self._conversation = conversation

    def put(self, item: Item) -> None:
        """Record a result, pass everything on."""
        if isinstance(item, Piece) and item.result is not None:
            self._conversation.record(self, item.result)
        self.channel.put(item)

    def extend(self, answer: Answer, token_ids: tuple[int, ...]) -> tuple[str, ...] | None:
        """See :class:`sus_local.stream.Answer`."""
        resumed = self._conversation.resume(self, answer, token_ids)
        return self.prompt.notices if resumed else None


def _id(turn: Turn | int) -> int:
    return turn.id if isinstance(turn, Turn) else turn
