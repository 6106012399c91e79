"""Turns between the history and a conversation, whichever model wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sus_local import template
from sus_local.saved import SavedTurn

if TYPE_CHECKING:
    from sus_local.llm import LLM
    from sus_local.turn import Turn

_SHARED_NAMES = (
    *("id", "parent", "user", "prompt_token_ids", "token_ids", "text", "finish_reason"),
    "num_dropped_turns",
)


def to_turn(saved: SavedTurn, llm: LLM, system: str | None) -> Turn:
    """A saved turn as this model's; tokens of another model are not its own."""
    from sus_local.results import Timings, Usage
    from sus_local.turn import Turn

    own = saved.fingerprint == llm.fingerprint
    prompt, answer = (saved.prompt_token_ids, saved.token_ids) if own else ((), ())
    reason: Any = saved.finish_reason or "cancelled"
    return Turn(
        id=saved.id,
        parent=saved.parent,
        user=saved.user,
        prompt_token_ids=prompt or _prompt_ids(saved, llm, system),
        token_ids=answer or tuple(llm.tokenize(saved.text)),
        text=saved.text,
        finish_reason=reason,
        num_dropped_turns=saved.num_dropped_turns,
        usage=Usage(**saved.usage),
        timings=Timings(**saved.timings),
    )


def _prompt_ids(saved: SavedTurn, llm: LLM, system: str | None) -> tuple[int, ...]:
    segment = template.user_segment(saved.user, system if saved.parent is None else None)
    return tuple(llm.tokenize(segment.text))


def to_saved(turn: Turn, *, fingerprint: str, model: str) -> SavedTurn:
    """A turn as the history keeps it.

    Args:
        fingerprint: Of the model that wrote it.
        model: The name of that model.
    """
    values = {name: getattr(turn, name) for name in _SHARED_NAMES}
    usage, timings = asdict(turn.usage), asdict(turn.timings)
    return SavedTurn(**values, usage=usage, timings=timings, fingerprint=fingerprint, model=model)


def answered(saved: Sequence[SavedTurn]) -> list[SavedTurn]:
    """The turns that got an answer, and follow one that did."""
    found = [turn for turn in saved if turn.text or turn.token_ids]
    known = {turn.id for turn in found}
    return [turn for turn in found if turn.parent is None or turn.parent in known]


def resume_at(saved: Sequence[SavedTurn], active: int | None) -> tuple[int | None, str]:
    """The turn to go on from; past one without any answer, whose question is given back."""
    by_id = {turn.id: turn for turn in saved}
    turn = by_id.get(active) if active is not None else None
    if turn is not None and not turn.text and not turn.token_ids:
        return turn.parent, turn.user
    return (None if turn is None else turn.id), ""
