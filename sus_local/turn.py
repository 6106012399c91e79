"""What a conversation is made of: frozen turns."""

from __future__ import annotations

from dataclasses import dataclass, field

from sus_local.results import FinishReason, Timings, Usage


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user said and what the model answered.

    Attributes:
        id: Unique in its conversation.
        parent: Id of the turn before it; None for a first one.
        user: The user's text.
        prompt_token_ids: The prompt of this turn alone, as it was encoded.
        token_ids: The tokens that stand for the answer: the model's own, with the end token if it
            wrote that; others where a stop text cut the answer within a token.
        text: The answer.
        finish_reason: How it ended.
        num_dropped_turns: Oldest turns of the branch that the model no longer saw.
        usage: Counts of tokens.
        timings: Seconds.
    """

    id: int
    parent: int | None
    user: str
    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason = "stop"
    num_dropped_turns: int = 0
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)

    @property
    def unanswered(self) -> bool:
        """Whether it was cancelled before the answer began: the model never sees it again."""
        return self.finish_reason == "cancelled" and not self.token_ids

    def is_same(self, other: Turn) -> bool:
        """Whether both are what was said at one place; another system text makes no difference."""
        return _said(self) == _said(other)


def _said(turn: Turn) -> tuple[object, ...]:
    return turn.id, turn.parent, turn.user, turn.text, turn.token_ids


@dataclass(frozen=True, slots=True)
class ContextState:
    """How full the context is.

    Attributes:
        num_tokens: Of the active branch, as the model sees it.
        n_ctx: What the context holds.
        num_dropped_turns: Oldest turns that left it.
    """

    num_tokens: int
    n_ctx: int
    num_dropped_turns: int
