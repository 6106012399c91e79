"""Turns between the history and a conversation, whichever model wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

from sus_local import template
from sus_local.errors import RequestError
from sus_local.results import Timings, Usage
from sus_local.saved import SavedTurn

if TYPE_CHECKING:
    from sus_local.llm import LLM
    from sus_local.turn import Turn

T = TypeVar("T", Timings, Usage)

_SHARED_NAMES = (
    *("id", "parent", "user", "prompt_token_ids", "token_ids", "text", "finish_reason"),
    "num_dropped_turns",
)


def to_turn(saved: SavedTurn, llm: LLM, system: str | None) -> Turn:
    """A saved turn as this model's; tokens of another model, or of none, are not its own."""
    from sus_local.turn import Turn

    own = saved.fingerprint == llm.fingerprint and _are_known(saved, llm)
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
        usage=_figures(Usage, saved.usage),
        timings=_figures(Timings, saved.timings),
    )


def _are_known(saved: SavedTurn, llm: LLM) -> bool:
    """Whether the vocabulary has all its token ids: a file that was imported may hold any."""
    try:
        llm.detokenize([max((*saved.prompt_token_ids, *saved.token_ids), default=0)])
    except RequestError:
        return False
    return True


def _figures(kind: type[T], values: Mapping[str, Any]) -> T:
    """Those of ``values`` that ``kind`` knows, and that are what they have to be."""
    known = {name: values[name] for name in kind.__annotations__ if name in values}
    nothing = kind()
    return kind(
        **{name: v for name, v in known.items() if isinstance(v, type(getattr(nothing, name)))}
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
    """The turns that got an answer; each follows the nearest one before it that did."""
    by_id = _by_id(saved)
    return [
        replace(turn, parent=_last_answered(turn.parent, by_id))
        for turn in saved
        if not turn.unanswered
    ]


def resume_at(saved: Sequence[SavedTurn], active: int | None) -> tuple[int | None, str]:
    """The turn to go on from; past one without any answer, whose question is given back."""
    by_id = _by_id(saved)
    turn = by_id.get(active)
    unanswered = turn.user if turn is not None and turn.unanswered else ""
    return _last_answered(active, by_id), unanswered


def _by_id(saved: Sequence[SavedTurn]) -> dict[int | None, SavedTurn]:
    return {turn.id: turn for turn in saved}


def _last_answered(number: int | None, by_id: Mapping[int | None, SavedTurn]) -> int | None:
    """The turn of this number, or the nearest one before it that got an answer."""
    turn = by_id.get(number)
    while turn is not None and turn.unanswered:
        turn = by_id.get(turn.parent)
    return None if turn is None else turn.id
