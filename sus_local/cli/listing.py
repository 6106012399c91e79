"""Lists of conversations and of search hits, as lines."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sus_local.cli.printable import printable
from sus_local.cli.text import t
from sus_local.saved import Hit, SavedConversation


def conversation_lines(
    rows: Iterable[SavedConversation], *, current: int | None = None
) -> list[str]:
    """One line a conversation: number, when, turns, title; ``*`` at the current one."""
    return [
        f"{'*' if row.id == current else ' '}{row.id:>5}  {when(row.updated_at)}  "
        f"{row.num_turns:>3} {t('turns')}  {shorten(row.title or row.first) or t('untitled')}"
        for row in rows
    ]


def hit_lines(hits: Iterable[Hit]) -> list[str]:
    """One line a hit: number of the conversation, when, text around the match."""
    return [
        f"{hit.conversation:>6}  {when(hit.created_at)}  {printable(hit.excerpt)}" for hit in hits
    ]


def when(seconds: float, now: float | None = None) -> str:
    """A moment as people read it: the time for today, else the date; always 10 characters."""
    now = time.time() if now is None else now
    try:
        moment, today = time.localtime(seconds), time.localtime(now)
    except (OverflowError, ValueError, OSError):  # no moment that a calendar has
        return "?         "
    if moment[:3] == today[:3]:
        return time.strftime("%H:%M     ", moment)
    return time.strftime("%Y-%m-%d", moment)


def shorten(text: str, width: int = 50) -> str:
    """The beginning of a text on one line, without control characters.

    >>> shorten("one\\ntwo three", 8)
    'one two…'
    """
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: width - 1] + "…"
