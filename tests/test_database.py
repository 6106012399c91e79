"""Changes of a database: whole or not at all, and what follows one that failed is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sus_local.database import Database
from sus_local.errors import HistoryError

SCHEMA = (
    (
        "CREATE TABLE shelves (id INTEGER PRIMARY KEY)",
        "CREATE TABLE books (shelf INTEGER REFERENCES shelves(id) DEFERRABLE INITIALLY DEFERRED)",
    ),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "some.sqlite3", SCHEMA) as opened:
        yield opened


def add(database: Database, table: str, value: int) -> None:
    database.write("saving in", lambda: database.execute(f"INSERT INTO {table} VALUES ({value})"))


def kept(database: Database, table: str) -> list[int]:
    """What another program sees."""
    with Database(database.path, SCHEMA) as other:
        return [row[0] for row in other.rows(f"SELECT * FROM {table}")]


def test_after_a_commit_that_fails_the_next_change_is_kept(database: Database) -> None:
    with pytest.raises(HistoryError):
        add(database, "books", 7)  # of no shelf: told by the COMMIT
    add(database, "shelves", 1)
    assert kept(database, "shelves") == [1]
    assert kept(database, "books") == []


def test_after_an_interrupted_begin_the_next_change_is_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection: Any = database._db

    class Interrupted:
        in_transaction = property(lambda _self: connection.in_transaction)

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            cursor: sqlite3.Cursor = connection.execute(sql, *values)
            if sql.startswith("BEGIN"):
                raise KeyboardInterrupt
            return cursor

    with monkeypatch.context() as patch:
        patch.setattr(database, "_db", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            add(database, "shelves", 1)
    add(database, "shelves", 2)
    assert kept(database, "shelves") == [2]


def test_a_change_within_another_is_a_part_of_it(database: Database) -> None:
    def change() -> None:
        add(database, "shelves", 1)
        assert kept(database, "shelves") == []
        add(database, "books", 1)

    database.write("saving in", change)
    assert (kept(database, "shelves"), kept(database, "books")) == ([1], [1])
