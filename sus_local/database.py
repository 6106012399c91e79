"""A SQLite file with a versioned schema, safe for several threads and processes.

Write-ahead log, foreign keys, short transactions that wait for others, and every failure told as
a :class:`HistoryError`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sus_local.errors import HistoryError

BUSY_SECONDS = 3.0
"""How long a transaction waits for another process."""

Migrations = Sequence[Sequence[str]]
"""For each version of the schema, the statements that lead to the next."""

T = TypeVar("T")
Self = TypeVar("Self", bound="Database")


class Database:
    """An open database; any thread may use it.

    Args:
        path: The file, made if it is not there; ``":memory:"`` keeps nothing.
        migrations: The schema.

    Raises:
        HistoryError: From here and every method: the file is locked, damaged, newer than this
            program, or the disk is full. What was saved before is not harmed.
    """

    def __init__(self, path: Path | str, migrations: Migrations) -> None:
        self.path = str(path)
        self._migrations = migrations
        self._lock = threading.RLock()
        self._is_changing = False
        with self._errors("opening"):
            if self.path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors("opening"):
                self._prepare()
        except HistoryError:
            self._db.close()
            raise

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Twice is once."""
        with self._lock:
            self._db.close()

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._use_wal()
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        if self._version() < len(self._migrations):
            with self._transaction():
                self._migrate()
        if self._version() > len(self._migrations):
            raise HistoryError(
                f"{self.path} has schema version {self._version()}, "
                f"this program knows {len(self._migrations)}",
                hint="upgrade sus-local, or set SUS_LOCAL_HOME to another folder",
                version=self._version(),
            )

    def _use_wal(self) -> None:
        """Switch to the write-ahead log; SQLite itself does not wait for others here."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _version(self) -> int:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self) -> None:
        """Bring the schema up to date; another process may have done so by now."""
        for version in range(self._version(), len(self._migrations)):
            for statement in self._migrations[version]:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {version + 1}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of what is done in it, or none; within another one, a part of that."""
        if self._is_changing:
            yield
            return
        try:
            self._is_changing = True
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        finally:
            self._is_changing = False

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError, OverflowError) as error:
            raise _told(error, doing, self.path) from error

    def write(self, doing: str, change: Callable[[], T]) -> T:
        """Do ``change`` in one transaction, what it writes by this method included.

        Args:
            doing: What it does, for an error: ``"saving in"``.
        """
        with self._errors(doing), self._transaction():
            return change()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement of a change (see :meth:`write`)."""
        return self._db.execute(sql, _storable(values))

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._errors("reading"):
            return self._db.execute(sql, _storable(values)).fetchall()


def _storable(values: Sequence[Any]) -> list[Any]:
    """SQLite keeps UTF-8: what that cannot carry, a lone surrogate, becomes a question mark.

    >>> _storable(("a\\ud800b", 7))
    ['a?b', 7]
    """
    return [
        value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for value in values
    ]


def _told(error: sqlite3.Error | OSError | OverflowError, doing: str, path: str) -> HistoryError:
    """What went wrong, in one line, with the next step."""
    reason = str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror.lower()  # without the path, which may have any words
    if "locked" in reason or "busy" in reason:
        hint = "another program holds it; close that, then try again"
    elif "full" in reason or "no space" in reason:
        hint = "free some space; what was saved before is safe"
    elif "malformed" in reason or "not a database" in reason:
        hint = "nothing was changed; move the file away to begin a new one"
    elif "FOREIGN KEY" in reason:
        reason, hint = "the conversation was deleted meanwhile", "/new begins another"
    else:
        hint = "what was saved before is safe"
    return HistoryError(f"{doing} {path} failed: {reason}", hint=hint, path=path)
