"""Conversations in SQLite: turns as a tree, with their token ids, found again by any text.

One file, safe for several processes at once: write-ahead log, short transactions, and turns that
are only ever added or completed. Two processes in one conversation make two branches of it.
Searching uses a trigram index, which finds Chinese; what is shorter than three characters is
looked for by reading.

>>> history = History(":memory:")
>>> conversation = history.create(model="demo")
>>> turn = history.add_turn(conversation, parent=None, user="中国的首都是哪里？")
>>> history.update_turn(turn, text="北京。", token_ids=(7, 8), finish_reason="stop")
>>> [hit.excerpt for hit in history.search("北京")]
['北京。']
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sus_local.database import Database
from sus_local.errors import HistoryError
from sus_local.saved import Hit, SavedConversation, SavedTurn, stored, to_turn

_OLDEST_SQLITE = (3, 34)
"""The first with the trigram index."""
_FEWEST_TRIGRAM = 3
_NUMBERS = 1 << 63
"""What SQLite counts to."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE conversations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL DEFAULT '',
            system TEXT,
            model TEXT NOT NULL DEFAULT '',
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            active INTEGER REFERENCES turns(id) ON DELETE SET NULL
        )""",
        """CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation INTEGER NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
            parent INTEGER REFERENCES turns(id) ON DELETE CASCADE,
            user TEXT NOT NULL,
            prompt_token_ids BLOB NOT NULL DEFAULT x'',
            token_ids BLOB NOT NULL DEFAULT x'',
            text TEXT NOT NULL DEFAULT '',
            finish_reason TEXT,
            num_dropped_turns INTEGER NOT NULL DEFAULT 0,
            usage TEXT NOT NULL DEFAULT '{}',
            sampling TEXT NOT NULL DEFAULT '{}',
            timings TEXT NOT NULL DEFAULT '{}',
            fingerprint TEXT NOT NULL DEFAULT '',
            created_at REAL NOT NULL
        )""",
        "CREATE INDEX turns_conversation ON turns(conversation, id)",
        "CREATE INDEX turns_parent ON turns(parent)",
        "CREATE INDEX conversations_updated ON conversations(updated_at)",
        """CREATE VIRTUAL TABLE turns_text USING fts5(
            user, text, content='turns', content_rowid='id', tokenize='trigram'
        )""",
        """CREATE TRIGGER turns_added AFTER INSERT ON turns BEGIN
            INSERT INTO turns_text(rowid, user, text) VALUES (new.id, new.user, new.text);
        END""",
        """CREATE TRIGGER turns_changed AFTER UPDATE OF user, text ON turns BEGIN
            INSERT INTO turns_text(turns_text, rowid, user, text)
                VALUES ('delete', old.id, old.user, old.text);
            INSERT INTO turns_text(rowid, user, text) VALUES (new.id, new.user, new.text);
        END""",
        """CREATE TRIGGER turns_removed AFTER DELETE ON turns BEGIN
            INSERT INTO turns_text(turns_text, rowid, user, text)
                VALUES ('delete', old.id, old.user, old.text);
        END""",
    ),
    (
        "ALTER TABLE turns ADD COLUMN model TEXT NOT NULL DEFAULT ''",
        """UPDATE turns SET model =
            (SELECT c.model FROM conversations c WHERE c.id = turns.conversation)""",
    ),
)
"""What brings a database from each version of the schema to the next."""


class History(Database):
    """The database of conversations; any thread may use it.

    Args:
        path: The file, made if it is not there; ``":memory:"`` keeps nothing.

    Raises:
        HistoryError: From here and every method: the database is locked, damaged, newer than this
            program, or the disk is full. What was saved before is not harmed. Also where this
            Python's SQLite is too old.
    """

    def __init__(self, path: Path | str) -> None:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise HistoryError(
                f"the history needs SQLite 3.34, this Python has {sqlite3.sqlite_version}",
                hint="install sus-local in a newer Python",
                version=sqlite3.sqlite_version,
            )
        super().__init__(path, _MIGRATIONS)
        self._db.create_function("holds", 2, _finds, deterministic=True)

    def create(self, *, model: str = "", system: str | None = None, title: str = "") -> int:
        """A new conversation; gives its number."""
        now = time.time()
        sql = (
            "INSERT INTO conversations (title, system, model, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?)"
        )
        values = (title, system, model, now, now)
        return self.write("saving in", lambda: _row_id(self.execute(sql, values)))

    def change(self, conversation: int, **columns: Any) -> None:
        """Set ``title``, ``model``, ``active`` or the dates of a conversation.

        Raises:
            HistoryError: It is not there any more.
        """
        allowed = {"title", "model", "active", "created_at", "updated_at"}
        names = [name for name in columns if name in allowed]
        sets = ", ".join(f"{name} = ?" for name in names)
        sql = f"UPDATE conversations SET {sets} WHERE id = ?"
        values = [*(columns[name] for name in names), conversation]
        changed = self.write("saving in", lambda: self.execute(sql, values).rowcount)
        if not changed:
            raise _missing(conversation)

    def change_system(self, conversation: int, system: str | None) -> None:
        """Set the system message; the tokens of first turns, which began with it, are forgotten.

        Raises:
            HistoryError: It is not there any more.
        """

        def change() -> int:
            sql = "UPDATE conversations SET system = ?, updated_at = ? WHERE id = ?"
            self.execute(
                "UPDATE turns SET prompt_token_ids = x'' WHERE conversation = ? AND parent IS NULL",
                (conversation,),
            )
            return self.execute(sql, (system, time.time(), conversation)).rowcount

        if not self.write("saving in", change):
            raise _missing(conversation)

    def add_turn(
        self,
        conversation: int,
        *,
        parent: int | None,
        user: str,
        sampling: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> int:
        """Begin a turn below ``parent`` and make it the active one; gives its id.

        Args:
            sampling: The sampling parameters.
            columns: More of :class:`SavedTurn`'s attributes.
        """
        row = {
            "conversation": conversation,
            "parent": parent,
            "user": user,
            "created_at": time.time(),
            **stored({"sampling": sampling or {}, **columns}),
        }
        sql = f"INSERT INTO turns ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"

        def insert() -> int:
            turn = _row_id(self.execute(sql, list(row.values())))
            self.execute(
                "UPDATE conversations SET active = ?, updated_at = ? WHERE id = ?",
                (turn, time.time(), conversation),
            )
            return turn

        return self.write("saving in", insert)

    def update_turn(self, turn: int, **columns: Any) -> None:
        """Set attributes of a turn: what of the answer has come, how it ended."""
        row = stored(columns)
        sets = ", ".join(f"{name} = ?" for name in row)
        values = [*row.values(), turn]

        def update() -> None:
            self.execute(f"UPDATE turns SET {sets} WHERE id = ?", values)
            self.execute(
                "UPDATE conversations SET updated_at = ? "
                "WHERE id = (SELECT conversation FROM turns WHERE id = ?)",
                (time.time(), turn),
            )

        self.write("saving in", update)

    def remove(self, conversation: int) -> None:
        """Delete a conversation and its turns.

        Raises:
            HistoryError: There is none of this number.
        """

        def delete() -> int:
            sql = "DELETE FROM conversations WHERE id = ?"
            return self.execute(sql, (conversation,)).rowcount

        if not self.write("deleting from", delete):
            raise _missing(conversation)

    def conversations(self, *, limit: int = -1) -> list[SavedConversation]:
        """Conversations, the one changed last first.

        Args:
            limit: At most so many; -1 for all.
        """
        rows = self.rows(f"{_CONVERSATIONS} ORDER BY updated_at DESC, id DESC LIMIT ?", (limit,))
        return [SavedConversation(*row) for row in rows]

    def conversation(self, number: int) -> SavedConversation:
        """One conversation.

        Raises:
            HistoryError: There is none of this number.
        """
        sql = f"{_CONVERSATIONS} WHERE c.id = ?"
        rows = self.rows(sql, (number,)) if abs(number) < _NUMBERS else []
        if not rows:
            raise _missing(number)
        return SavedConversation(*rows[0])

    def turns(self, conversation: int) -> list[SavedTurn]:
        """All turns of a conversation, of every branch, in the order they were made."""
        rows = self.rows("SELECT * FROM turns WHERE conversation = ? ORDER BY id", (conversation,))
        return [to_turn(row) for row in rows]

    def search(self, query: str, *, limit: int = 20) -> list[Hit]:
        """Turns that contain every word of ``query``, the newest first, then matching titles.

        Words are matched anywhere, also inside of others; capitals do not matter.

        Args:
            limit: At most so many; -1 for all.
        """
        words = query.split()
        if not words:
            return []
        long = [word for word in words if len(word) >= _FEWEST_TRIGRAM]
        short = [word for word in words if len(word) < _FEWEST_TRIGRAM]
        sql = (
            "SELECT t.id, t.conversation, c.title, t.user, t.text, t.created_at "
            "FROM turns t JOIN conversations c ON c.id = t.conversation WHERE 1"
        )
        values: list[Any] = []
        if long:
            sql += " AND t.id IN (SELECT rowid FROM turns_text WHERE turns_text MATCH ?)"
            values.append(" AND ".join('"' + word.replace('"', '""') + '"' for word in long))
        for word in short:
            sql += " AND (holds(t.user, ?) OR holds(t.text, ?))"
            values += [word, word]
        rows = self.rows(f"{sql} ORDER BY t.id DESC LIMIT ?", [*values, limit])
        found = [_hit(row, words) for row in rows]
        found += self._titles(words)
        return found if limit < 0 else found[:limit]

    def _titles(self, words: list[str]) -> list[Hit]:
        where = " AND ".join(["holds(title, ?)"] * len(words))
        rows = self.rows(
            f"SELECT id, title, updated_at FROM conversations WHERE {where} ORDER BY id DESC",
            words,
        )
        return [Hit(row["id"], row["title"], None, row["title"], row["updated_at"]) for row in rows]


_CONVERSATIONS = """
SELECT c.id, c.title, c.system, c.model, c.active,
    (SELECT count(*) FROM turns t WHERE t.conversation = c.id),
    c.created_at, c.updated_at,
    coalesce((SELECT substr(t.user, 1, 80) FROM turns t WHERE t.conversation = c.id
              ORDER BY t.id LIMIT 1), '')
FROM conversations c"""


def _hit(row: sqlite3.Row, words: list[str]) -> Hit:
    text = row["text"] if _finds(row["text"], words[0]) else row["user"]
    return Hit(
        row["conversation"], row["title"], row["id"], excerpt(text, words[0]), row["created_at"]
    )


def _finds(text: str, word: str) -> bool:
    """Whether a text has a word, whatever the capitals; SQLite itself folds those of ASCII only."""
    return word.lower() in text.lower()


def excerpt(text: str, word: str, *, width: int = 60) -> str:
    """About ``width`` characters of ``text`` around the first ``word``, on one line.

    >>> excerpt("The capital of France is Paris.", "france", width=10)
    '…l of France is P…'
    """
    flat = " ".join(text.split())
    at = max(flat.lower().find(word.lower()), 0)
    start, end = max(at - width // 2, 0), min(at + len(word) + width // 2, len(flat))
    return ("…" if start else "") + flat[start:end] + ("…" if end < len(flat) else "")


def _row_id(cursor: sqlite3.Cursor) -> int:
    return int(cursor.lastrowid or 0)


def _missing(number: int) -> HistoryError:
    return HistoryError(
        f"there is no conversation {number}", hint="sus-local history list", number=number
    )
