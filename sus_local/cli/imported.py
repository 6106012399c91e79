"""Conversations from files that others may have written: every value is looked at once, here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from sus_local.cli.listing import shorten
from sus_local.cli.transcript import FORMAT, VERSION
from sus_local.errors import HistoryError
from sus_local.results import Timings, Usage
from sus_local.saved import SavedConversation, SavedTurn

Talk = tuple[SavedConversation, list[SavedTurn]]
"""A conversation and its turns."""

_MOST = 1 << 31
_LAST_MOMENT = 253402300800.0  # the year 10000


def from_text(text: str, *, name: str) -> list[Talk]:
    """The conversations of a JSON file: one or a list of ``to_value``'s, or chat messages.

    Args:
        name: Of the file, for errors.

    Raises:
        HistoryError: It holds no conversation.
    """
    try:
        return _talks(json.loads(text.removeprefix("\ufeff")))
    except (ValueError, RecursionError) as error:
        raise HistoryError(
            f"{name} holds no conversation: {' '.join(str(error).split())}",
            hint="a JSON file of `history export`, of /save, or a list of chat messages",
            name=name,
        ) from error


def _talks(value: Any) -> list[Talk]:
    if isinstance(value, dict) and "messages" in value:
        value = value["messages"]
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("it is an empty list")
    if not all(isinstance(each, dict) for each in values):
        raise ValueError("it is no object and no list of them")
    if isinstance(value, list) and "role" in value[0]:
        return [_from_messages(value)]
    return [_from_value(each) for each in values]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_moment(value: Any) -> bool:
    return _is_number(value) and 0 <= value < _LAST_MOMENT


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _is_count_or_none(value: Any) -> bool:
    return value is None or _is_count(value)


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(_is_count(each) for each in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_reason(value: Any) -> bool:
    return value in (None, "stop", "length", "cancelled")


def _is_usage(value: Any) -> bool:
    note, counts = "cache_note", [name for name in Usage.__annotations__ if name != "cache_note"]
    return (
        isinstance(value, dict)
        and isinstance(value.get(note, ""), str)
        and all(_is_count(value.get(name, 0)) for name in counts)
    )


def _are_timings(value: Any) -> bool:
    names = Timings.__annotations__
    return isinstance(value, dict) and all(_is_moment(value.get(name, 0)) for name in names)


_Checks = Mapping[str, Callable[[Any], bool]]

_CONVERSATION: _Checks = {
    "title": _is_text,
    "system": _is_text_or_none,
    "model": _is_text,
    "active": _is_count_or_none,
    "created_at": _is_moment,
    "updated_at": _is_moment,
}
_TURN: _Checks = {
    "id": _is_count,
    "parent": _is_count_or_none,
    "user": _is_text,
    "prompt_token_ids": _are_tokens,
    "token_ids": _are_tokens,
    "text": _is_text,
    "finish_reason": _is_reason,
    "num_dropped_turns": _is_count,
    "usage": _is_usage,
    "sampling": _is_mapping,
    "timings": _are_timings,
    "fingerprint": _is_text,
    "model": _is_text,
    "created_at": _is_moment,
}
_NEEDED_OF_A_TURN = ("id", "parent", "user")


def _checked(value: Any, checks: _Checks, *, needed: Collection[str], where: str) -> dict[str, Any]:
    """Those of the values whose names are known.

    Args:
        needed: What cannot be missing.
        where: What they are of, for an error.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no object")
    for name, is_right in checks.items():
        if name in value and not is_right(value[name]):
            raise ValueError(f"{where}: {name} is {shorten(repr(value[name]))}")
        if name in needed and name not in value:
            raise ValueError(f"{where} has no {name}")
    return {name: value[name] for name in checks if name in value}


def _from_value(value: dict[str, Any]) -> Talk:
    if value.get("format") != FORMAT or value.get("version") != VERSION:
        raise ValueError(f"its format is not {FORMAT!r}, version {VERSION}")
    facts = _checked(value, _CONVERSATION, needed=_CONVERSATION, where="the conversation")
    if not isinstance(value.get("turns"), list):
        raise ValueError("the conversation has no turns")
    turns = [
        _turn(each, number, facts["updated_at"]) for number, each in enumerate(value["turns"], 1)
    ]
    _check_tree(turns)
    return SavedConversation(id=0, num_turns=len(turns), **facts), turns


def _turn(value: Any, number: int, updated_at: float) -> SavedTurn:
    values = _checked(value, _TURN, needed=_NEEDED_OF_A_TURN, where=f"turn {number}")
    tokens = {name: tuple(values.get(name, ())) for name in ("prompt_token_ids", "token_ids")}
    created_at = values.get("created_at") or updated_at
    return SavedTurn(**{**values, **tokens, "created_at": created_at})


def _check_tree(turns: Sequence[SavedTurn]) -> None:
    """Each has a number of its own, and follows one with a smaller number."""
    known = {turn.id for turn in turns}
    if len(known) < len(turns):
        raise ValueError("two turns have one id")
    parents = [(turn.parent, turn.id) for turn in turns if turn.parent is not None]
    if any(parent not in known or parent >= number for parent, number in parents):
        raise ValueError("a turn follows one that is not there")


def _from_messages(messages: list[dict[str, str]]) -> Talk:
    """Messages with roles: the token ids are not known, the texts are."""
    from sus_local.errors import MessagesError
    from sus_local.template import check_messages

    try:
        check_messages(messages)
    except MessagesError as error:
        raise ValueError(error.message) from error
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    texts = [message["content"] for message in messages[0 if system is None else 1 :]]
    now = time.time()
    turns = [
        SavedTurn(
            number,
            number - 1 or None,
            user or "",
            text=answer or "",
            finish_reason=None if answer is None else "stop",
            created_at=now,
        )
        for number, (user, answer) in enumerate(zip_longest(texts[::2], texts[1::2]), start=1)
    ]
    return SavedConversation(0, "", system, "", turns[-1].id, len(turns), now, now), turns
