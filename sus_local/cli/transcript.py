"""Conversations as files: Markdown to read, JSON to read back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import PurePath
from typing import Any

from sus_local.errors import HistoryError
from sus_local.history import History
from sus_local.saved import SavedConversation, SavedTurn

FORMAT = "sus-local conversation"
VERSION = 1

_TURN_NAMES = frozenset(field.name for field in fields(SavedTurn))


def branch(turns: Sequence[SavedTurn], leaf: int | None) -> list[SavedTurn]:
    """The turns from the first one to ``leaf``."""
    by_id = {turn.id: turn for turn in turns}
    found: list[SavedTurn] = []
    while leaf is not None and leaf in by_id:
        found.append(by_id[leaf])
        leaf = by_id[leaf].parent
    return found[::-1]


def to_markdown(row: SavedConversation, turns: Iterable[SavedTurn]) -> str:
    """A conversation to read: the turns of one branch.

    >>> row = SavedConversation(1, "Greeting", None, "demo", 1, 1, 0.0, 0.0)
    >>> print(to_markdown(row, [SavedTurn(1, None, "hi", text="Hello!")]))
    # Greeting
    <BLANKLINE>
    **You:** hi
    <BLANKLINE>
    **demo:** Hello!
    <BLANKLINE>
    """
    parts = [f"# {row.title or row.first or row.id}"]
    if row.system is not None:
        parts.append(f"**System:** {row.system}")
    for turn in turns:
        speaker = _speaker(turn.model or row.model)
        parts += [f"**You:** {turn.user}", f"**{speaker}:** {turn.text}"]
    return "\n\n".join(parts) + "\n"


def _speaker(model: str) -> str:
    return PurePath(model).name.removesuffix(".gguf") or "Model"


def to_value(row: SavedConversation, turns: Iterable[SavedTurn]) -> dict[str, Any]:
    """A conversation with all its branches and token ids, as JSON knows values."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": row.id,
        "title": row.title,
        "system": row.system,
        "model": row.model,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "active": row.active,
        "turns": [asdict(turn) for turn in turns],
    }


def from_text(text: str, *, name: str) -> list[tuple[SavedConversation, list[SavedTurn]]]:
    """The conversations of a JSON file: one or a list of :func:`to_value`'s, or chat messages.

    Args:
        name: Of the file, for errors.

    Raises:
        HistoryError: It holds no conversation.
    """
    try:
        value = json.loads(text)
        if isinstance(value, dict) and "messages" in value:
            value = value["messages"]
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in values):
            raise ValueError("it is no object and no list of them")
        if isinstance(value, list) and value and "role" in value[0]:
            return [_from_messages(value)]
        return [_from_value(each) for each in values]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HistoryError(
            f"{name} holds no conversation: {' '.join(str(error).split())}",
            hint="a JSON file of `history export`, of /save, or a list of chat messages",
            name=name,
        ) from error


def _from_value(value: Any) -> tuple[SavedConversation, list[SavedTurn]]:
    if value.get("format") != FORMAT or value.get("version") != VERSION:
        raise ValueError(f"its format is not {FORMAT!r}, version {VERSION}")
    turns = [_turn(each) for each in value["turns"]]
    known = {turn.id for turn in turns}
    parents = [(turn.parent, turn.id) for turn in turns if turn.parent is not None]
    if any(parent not in known or parent >= number for parent, number in parents):
        raise ValueError("a turn follows one that is not there")
    row = SavedConversation(
        id=0,
        title=str(value["title"]),
        system=value["system"],
        model=str(value["model"]),
        active=value["active"],
        num_turns=len(turns),
        created_at=float(value["created_at"]),
        updated_at=float(value["updated_at"]),
    )
    return row, turns


def _turn(value: dict[str, Any]) -> SavedTurn:
    values = {name: each for name, each in value.items() if name in _TURN_NAMES}
    for name in ("prompt_token_ids", "token_ids"):
        values[name] = tuple(int(each) for each in values.get(name, ()))
        if not all(0 <= token_id < 1 << 32 for token_id in values[name]):
            raise ValueError("a token id is out of range")
    return SavedTurn(**values)


def _from_messages(messages: list[dict[str, str]]) -> tuple[SavedConversation, list[SavedTurn]]:
    """Messages with roles: the token ids are not known, the texts are."""
    from sus_local.errors import MessagesError
    from sus_local.template import check_messages

    try:
        check_messages(messages)
    except MessagesError as error:
        raise ValueError(error.message) from error
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    texts = [message["content"] for message in messages[0 if system is None else 1 :]]
    answers = [*texts[1::2], ""]
    turns = [
        SavedTurn(number, number - 1 or None, user, text=answer, finish_reason="stop")
        for number, (user, answer) in enumerate(zip(texts[::2], answers, strict=False), start=1)
    ]
    now = time.time()
    return SavedConversation(0, "", system, "", turns[-1].id, len(turns), now, now), turns


def store(history: History, row: SavedConversation, turns: Iterable[SavedTurn]) -> int:
    """Add a conversation to the history; gives its number there."""
    number = history.create(model=row.model, system=row.system, title=row.title)
    try:
        _store_turns(history, number, row.active, turns)
    except BaseException:
        history.remove(number)
        raise
    return number


def _store_turns(
    history: History, number: int, active: int | None, turns: Iterable[SavedTurn]
) -> None:
    ids: dict[int, int] = {}
    for turn in sorted(turns, key=lambda each: each.id):
        values = asdict(turn)
        parent = values.pop("parent")
        old = values.pop("id")
        ids[old] = history.add_turn(
            number, parent=None if parent is None else ids[parent], **values
        )
    history.change(number, active=None if active is None else ids.get(active))
