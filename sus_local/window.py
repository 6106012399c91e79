"""What of a conversation is sent to the model: :class:`Window`.

Each turn has the token ids of its prompt and of its answer as they were, so the history is never
encoded again. Where the context is full, whole oldest turns leave, never the system text; so many
that half of the context is free, or they would leave at every turn from then on.

The first tokens of all keep their KV, also where there is no system text: a model rests much of its
attention on them, and writes nonsense once they are gone (https://arxiv.org/abs/2309.17453). Every
turn begins with the same few, so the oldest one that stays takes over those of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from sus_local import template
from sus_local.engine.sequence import Shift
from sus_local.errors import MessagesError, RequestError, prompt_too_long
from sus_local.kv.prefix import common_length
from sus_local.sampling import SamplingParams
from sus_local.turn import Turn

if TYPE_CHECKING:
    from sus_local.llm import LLM

Overflow = Literal["shift", "rebuild", "error"]
"""What happens when the context is full."""

Turns = tuple[Turn, ...]

_MAX_RESERVE_TOKENS = 1024
"""Kept free for an answer that names no ``max_tokens``, if a quarter of the context is not less."""

_NUM_SINKS = 4
"""Tokens after the system text whose KV stays; more do not help, says the paper."""


@dataclass(frozen=True, slots=True)
class TurnPrompt:
    """What is sent for one turn.

    Attributes:
        token_ids: All of it.
        turn_token_ids: Those of the turn itself, at its end.
        num_dropped_turns: How many of the oldest turns are not in it.
        root: Where its chain of KV blocks begins.
        shift: The KV to move, where turns leave and the rest is not computed anew.
        notices: What the caller is told of it.
    """

    token_ids: tuple[int, ...]
    turn_token_ids: tuple[int, ...]
    num_dropped_turns: int
    root: bytes
    shift: Shift | None = None
    notices: tuple[str, ...] = ()


class Window:
    """The prompts of a conversation's turns, within what the context holds.

    Args:
        llm: The model.
        overflow: What to do when the context is full.
        system: Text before the first turn; it never leaves.
    """

    def __init__(self, llm: LLM, overflow: Overflow, system: str | None) -> None:
        if overflow not in ("shift", "rebuild", "error"):
            raise RequestError(
                f"overflow is {overflow!r}", hint="shift, rebuild or error", overflow=overflow
            )
        if system is not None:
            _check_text(system, "the system text")
        self.overflow = overflow
        self.system = system
        self._llm = llm

    def encode_user(self, text: str, *, first: bool) -> tuple[int, ...]:
        """The tokens of what the user says, of the system text too before the first turn.

        Raises:
            MessagesError: It is no text.
            ContextOverflowError: It does not fit, even alone.
        """
        _check_text(text, "the message")
        segment = template.user_segment(text, self.system if first else None)
        self._llm.check_length(segment.text)
        return tuple(self._llm.tokenize(segment.text))

    def prompt(self, turns: Turns, text: str, sampling: SamplingParams | None) -> TurnPrompt:
        """What is sent when ``text`` follows the turns.

        Raises:
            ContextOverflowError: It does not fit, even alone; or with ``"error"`` after the turns.
        """
        dropped = _dropped(turns)
        new = self.encode_user(text, first=not turns)
        past = self.history(turns, dropped)
        num_tokens = len(past) + len(new)
        root = self._root(turns)
        if num_tokens + self._reserve(sampling) <= self._llm.n_ctx:
            return TurnPrompt((*past, *new), new, dropped, root)
        if self.overflow == "error" and turns:
            raise prompt_too_long(
                num_tokens,
                self._llm.n_ctx,
                hint="start a new conversation, or load a larger n_ctx",
            )
        return self.drop_turns(turns, dropped, new, root)

    def drop_turns(
        self, turns: Turns, dropped: int, new: tuple[int, ...], root: bytes
    ) -> TurnPrompt:
        """The prompt of ``new`` without the oldest turns, so many that half of the context is free.

        Args:
            turns: Those before it.
            dropped: How many of them have left already.
            new: The tokens of the turn.
            root: Where the chain of KV blocks begins as it is now.

        Raises:
            ContextOverflowError: It does not fit, even alone.
        """
        past, n_ctx, keep = self.history(turns, dropped), self._llm.n_ctx, dropped
        room = max(n_ctx // 2 - len(new), 0)
        while keep < len(turns) and len(self.history(turns, keep)) > room:
            keep += 1
        kept = self.history(turns, keep)
        if len(kept) + len(new) >= n_ctx:
            raise prompt_too_long(len(kept) + len(new), n_ctx)
        if keep == dropped:
            return TurnPrompt((*past, *new), new, dropped, root)
        shift = None
        if self.overflow == "shift":
            shift = self._shift(root, past, kept, new)
            root = self._moved(self._root(turns), turns, _dropped(turns), keep, new)
        notices = (_notice(keep - dropped, len(past) - len(kept)),)
        return TurnPrompt((*kept, *new), new, keep, root, shift, notices)

    def history(self, turns: Turns, dropped: int) -> tuple[int, ...]:
        """The tokens of past turns as the model sees them, without the oldest ``dropped``."""
        token_ids = list(self._head if dropped else ())
        for turn in turns[dropped:]:
            token_ids += turn.prompt_token_ids
            token_ids += turn.token_ids
            if not turn.token_ids or turn.token_ids[-1] != self._llm.eos:
                token_ids.append(self._llm.eos)
        return tuple(token_ids)

    def num_tokens(self, turns: Turns) -> int:
        """How many tokens of the turns are in the context."""
        return len(self.history(turns, _dropped(turns)))

    def _reserve(self, sampling: SamplingParams | None) -> int:
        """Tokens to keep free for the answer."""
        wanted = sampling.max_tokens if sampling is not None else None
        return min(wanted or _MAX_RESERVE_TOKENS, self._llm.n_ctx // 4)

    @cached_property
    def _head(self) -> tuple[int, ...]:
        """The system text's tokens."""
        if self.system is None:
            return ()
        return tuple(self._llm.tokenize(self.system + template.SYSTEM_END))

    def _root(self, turns: Turns) -> bytes:
        """Where the branch's chain of KV blocks begins: every shift gave it another root."""
        root, dropped = self._llm.root, 0
        for index, turn in enumerate(turns):
            after = turn.num_dropped_turns
            root = self._moved(root, turns[:index], dropped, after, turn.prompt_token_ids)
            dropped = after
        return root

    def _moved(
        self, root: bytes, turns: Turns, before: int, after: int, new: tuple[int, ...]
    ) -> bytes:
        """The root of ``new`` where ``after`` turns have left and not ``before``, in any steps.

        A turn does not tell the steps, and what comes next has to find its KV.
        """
        if self.overflow != "shift" or after <= before:
            return root
        past, kept = self.history(turns, before), self.history(turns, after)
        return self._shift(root, past, kept, new).new_root

    def _shift(
        self, root: bytes, past: tuple[int, ...], kept: tuple[int, ...], new: tuple[int, ...]
    ) -> Shift:
        """How ``new`` comes to follow what is kept of the past."""
        before, after = (*past, *new), (*kept, *new)
        start = common_length(before, after, 0, min(len(after), len(self._head) + _NUM_SINKS))
        return Shift(before, root, start, start + len(past) - len(kept))


def _dropped(turns: Turns) -> int:
    return turns[-1].num_dropped_turns if turns else 0


def _check_text(text: object, what: str) -> None:
    if not isinstance(text, str):
        kind = type(text).__name__
        raise MessagesError(f"{what} is {kind}, expected text", hint="give it as one string")


def _notice(num_turns: int, num_tokens: int) -> str:
    which = "the oldest turn" if num_turns == 1 else f"the {num_turns} oldest turns"
    return f"{which} ({num_tokens} tokens) left the context"
