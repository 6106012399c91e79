"""Conversations as files: Markdown to read, JSON to read back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from sus_local.history import History
from sus_local.saved import SavedConversation, SavedTurn

FORMAT = "sus-local conversation"
VERSION = 1


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


def store(history: History, row: SavedConversation, turns: Iterable[SavedTurn]) -> int:
    """Add a conversation to the history, whole or not at all; gives its number there."""
    return history.write("saving in", lambda: _store(history, row, turns))


def _store(history: History, row: SavedConversation, turns: Iterable[SavedTurn]) -> int:
    number = history.create(model=row.model, system=row.system, title=row.title)
    ids: dict[int | None, int] = {}
    for turn in sorted(turns, key=lambda each: each.id):
        values = asdict(turn)
        parent = values.pop("parent")
        old = values.pop("id")
        ids[old] = history.add_turn(number, parent=ids.get(parent), **values)
    dates = {"created_at": row.created_at, "updated_at": row.updated_at}
    history.change(number, active=ids.get(row.active), **dates)
    return number
