"""What the history keeps: conversations, their turns, and how a turn lies in its row.

>>> stored({"token_ids": (7, 8), "usage": {"prompt_tokens": 2}})
{'token_ids': b'\\x07\\x00\\x00\\x00\\x08\\x00\\x00\\x00', 'usage': '{"prompt_tokens": 2}'}
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SavedTurn:
    """A question and its answer.

    Attributes:
        id: In the whole database.
        parent: The turn that it follows; None for a first one.
        user: What the user wrote.
        prompt_token_ids: The tokens that the user's part of the turn became.
        token_ids: The answer's tokens as generated, the end token included.
        text: The answer.
        finish_reason: None while the answer is being written, or where the process was killed.
        num_dropped_turns: Oldest turns of the branch that the model no longer saw.
        usage: Counts of tokens.
        sampling: The sampling parameters.
        timings: Seconds.
        fingerprint: Of the model that answered.
        model: Its name.
        created_at: Seconds since 1970.
    """

    id: int
    parent: int | None
    user: str
    prompt_token_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    text: str = ""
    finish_reason: str | None = None
    num_dropped_turns: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    model: str = ""
    created_at: float = 0.0

    @property
    def unanswered(self) -> bool:
        """Whether it ended before the answer began; an answer that is empty is one."""
        ended_early = self.finish_reason in (None, "cancelled")
        return ended_early and not self.text and not self.token_ids


@dataclass(frozen=True, slots=True)
class SavedConversation:
    """A conversation without its turns.

    Attributes:
        id: Its number, as people type it.
        title: Empty until there is one.
        system: The system message, if it has one.
        model: Name of the model that it was last held with.
        active: The last turn of the branch in use; None while there are no turns.
        num_turns: Of all branches.
        created_at: Seconds since 1970.
        updated_at: When it changed last.
        first: The beginning of its first question.
    """

    id: int
    title: str
    system: str | None
    model: str
    active: int | None
    num_turns: int
    created_at: float
    updated_at: float
    first: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that was found.

    Attributes:
        conversation: The conversation's number.
        title: Its title.
        turn: The turn's id; None where the title matched.
        excerpt: The text around the first match.
        created_at: When the turn was written.
    """

    conversation: int
    title: str
    turn: int | None
    excerpt: str
    created_at: float


_KINDS: dict[str, type] = {
    **dict.fromkeys(("user", "text", "fingerprint", "model"), str),
    "num_dropped_turns": int,
    "created_at": float,
}
_COLUMNS = frozenset(SavedTurn.__dataclass_fields__) - {"id"}


def stored(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a turn as SQLite keeps them."""
    row: dict[str, Any] = {}
    for name, value in columns.items():
        if name not in _COLUMNS:
            raise TypeError(f"a turn has no attribute {name!r}")
        if name in ("prompt_token_ids", "token_ids"):
            value = struct.pack(f"<{len(value)}I", *value)
        elif name in ("usage", "sampling", "timings"):
            value = json.dumps(value, ensure_ascii=False)
        row[name] = value
    return row


def to_turn(row: sqlite3.Row) -> SavedTurn:
    """A turn from its row.

    A value that is damaged becomes an empty one, a parent that is not before the turn None; ``id``
    and ``finish_reason`` stay as they are.
    """
    values = {name: _read(name, row[name]) for name in SavedTurn.__dataclass_fields__}
    return SavedTurn(**{**values, "parent": _parent(values["parent"], values["id"])})


def _parent(value: Any, turn: int) -> int | None:
    """Ids grow along a branch: one that led back to itself would have no end."""
    return value if isinstance(value, int) and value < turn else None


def _read(name: str, value: Any) -> Any:
    if name in ("prompt_token_ids", "token_ids"):
        whole = isinstance(value, bytes) and len(value) % 4 == 0
        return struct.unpack(f"<{len(value) // 4}I", value) if whole else ()
    if name in ("usage", "sampling", "timings"):
        return _mapping(value)
    kind = _KINDS.get(name, object)
    return value if isinstance(value, kind) else kind()


def _mapping(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
