"""Conversations in SQLite."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local.database import Database
from sus_local.errors import HistoryError
from sus_local.history import _MIGRATIONS, History, excerpt


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "data" / "history.sqlite3") as opened:
        yield opened


def add(
    history: History, conversation: int, user: str, text: str, parent: int | None = None
) -> int:
    turn = history.add_turn(conversation, parent=parent, user=user)
    history.update_turn(turn, text=text, finish_reason="stop")
    return turn


def test_a_turn_comes_back_as_it_was_saved(history: History) -> None:
    conversation = history.create(model="demo", system="Be brief.")
    turn = history.add_turn(
        conversation,
        parent=None,
        user="hi",
        sampling={"temperature": 0.5},
        prompt_token_ids=(1, 2, 64000),
    )
    history.update_turn(
        turn,
        text="Hello 🙂",
        token_ids=(5, 4_000_000_000),
        finish_reason="stop",
        usage={"prompt_tokens": 3},
        timings={"decode_s": 0.25},
        fingerprint="abc",
    )
    (saved,) = history.turns(conversation)
    assert (saved.id, saved.parent, saved.user, saved.text) == (turn, None, "hi", "Hello 🙂")
    assert saved.prompt_token_ids == (1, 2, 64000)
    assert saved.token_ids == (5, 4_000_000_000)
    assert saved.finish_reason == "stop"
    assert saved.sampling == {"temperature": 0.5}
    assert saved.usage == {"prompt_tokens": 3}
    assert saved.timings == {"decode_s": 0.25}
    assert saved.fingerprint == "abc"


def test_turns_of_the_first_schema_take_the_model_of_their_conversation(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with Database(path, _MIGRATIONS[:1]) as old:
        old.execute("INSERT INTO conversations (model, created_at, updated_at) VALUES ('a', 1, 1)")
        old.execute("INSERT INTO turns (conversation, user, created_at) VALUES (1, 'hi', 1)")
    with History(path) as history:
        assert [(turn.user, turn.model) for turn in history.turns(1)] == [("hi", "a")]


def test_the_newest_turn_is_the_active_one(history: History) -> None:
    conversation = history.create()
    first = add(history, conversation, "a", "b")
    second = add(history, conversation, "c", "d", parent=first)
    row = history.conversation(conversation)
    assert (row.active, row.num_turns, row.first) == (second, 2, "a")
    history.change(conversation, active=first, title="Letters")
    row = history.conversation(conversation)
    assert (row.active, row.title) == (first, "Letters")


def test_conversations_come_the_last_changed_first(history: History) -> None:
    old, new = history.create(), history.create()
    assert [row.id for row in history.conversations()] == [new, old]
    add(history, old, "again", "yes")
    assert [row.id for row in history.conversations(limit=1)] == [old]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("北", ["北京是首都"]),
        ("首都", ["北京是首都"]),
        ("北京是", ["北京是首都"]),
        ("pari", ["The capital is Paris, 100% sure."]),
        ("CAPITAL paris", ["The capital is Paris, 100% sure."]),
        ("is", ["The capital is Paris, 100% sure."]),
        ("0% s", ["The capital is Paris, 100% sure."]),
        ("%", ["The capital is Paris, 100% sure."]),
        ('"', []),
        ("Rome", []),
        ("北京 首都", ["北京是首都"]),
        ("", []),
    ],
)
def test_search_finds_any_part_of_a_text(history: History, query: str, found: list[str]) -> None:
    conversation = history.create()
    add(history, conversation, "中国呢？", "北京是首都")
    add(history, conversation, "France?", "The capital is Paris, 100% sure.")
    assert [hit.excerpt for hit in history.search(query)] == found


def test_search_finds_a_question_and_a_title(history: History) -> None:
    conversation = history.create(title="旅行计划")
    add(history, conversation, "Where is 长城?", "Near Beijing.")
    assert [hit.excerpt for hit in history.search("长城")] == ["Where is 长城?"]
    assert [(hit.turn, hit.excerpt) for hit in history.search("旅行")] == [(None, "旅行计划")]


def test_search_follows_an_answer_that_grows(history: History) -> None:
    conversation = history.create()
    turn = history.add_turn(conversation, parent=None, user="q")
    history.update_turn(turn, text="first words")
    history.update_turn(turn, text="first words, then others")
    assert [hit.turn for hit in history.search("others")] == [turn]
    history.remove(conversation)
    assert history.search("others") == []


def test_removing_takes_every_branch_and_only_that_conversation(history: History) -> None:
    gone, kept = history.create(), history.create()
    first = add(history, gone, "a", "b")
    add(history, gone, "c", "d", parent=first)
    add(history, kept, "e", "f")
    history.remove(gone)
    assert history.turns(gone) == []
    assert len(history.turns(kept)) == 1
    with pytest.raises(HistoryError, match=f"no conversation {gone}"):
        history.conversation(gone)
    with pytest.raises(HistoryError, match="no conversation"):
        history.remove(gone)


def test_a_turn_of_a_deleted_conversation_is_refused(history: History) -> None:
    conversation = history.create()
    history.remove(conversation)
    with pytest.raises(HistoryError, match="deleted meanwhile"):
        history.add_turn(conversation, parent=None, user="hi")


def test_two_processes_write_at_once_from_the_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    script = (
        "import sys; from sus_local.history import History\n"
        "history = History(sys.argv[1]); conversation = history.create(title=sys.argv[2])\n"
        "parent = None\n"
        "for number in range(40):\n"
        "    parent = history.add_turn(conversation, parent=parent, user=str(number))\n"
        "    history.update_turn(parent, text='x' * number, finish_reason='stop')\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name])
        for name in ("a", "b", "c")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with History(path) as history:
        rows = history.conversations()
        assert sorted(row.title for row in rows) == ["a", "b", "c"]
        assert [row.num_turns for row in rows] == [40, 40, 40]
        turns = history.turns(rows[0].id)
        assert [turn.parent for turn in turns[1:]] == [turn.id for turn in turns[:-1]]


def test_a_killed_writer_leaves_what_it_saved(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    script = (
        "import os, sys; from sus_local.history import History\n"
        "history = History(sys.argv[1]); conversation = history.create()\n"
        "turn = history.add_turn(conversation, parent=None, user='q')\n"
        "history.update_turn(turn, text='half an ans', token_ids=(1, 2))\n"
        "os.abort()\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], stderr=subprocess.DEVNULL)
    assert killed.returncode != 0
    with History(path) as history:
        (turn,) = history.turns(history.conversations()[0].id)
        assert (turn.text, turn.token_ids, turn.finish_reason) == ("half an ans", (1, 2), None)


def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    path.write_bytes(b"not a database at all" * 100)
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="not a database") as caught:
        History(path)
    assert "move the file away" in caught.value.hint
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    History(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(HistoryError, match="schema version 99") as caught:
        History(path)
    assert caught.value.version == 99


def test_an_sqlite_without_the_trigram_index_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 31, 1))
    monkeypatch.setattr("sqlite3.sqlite_version", "3.31.1")
    with pytest.raises(HistoryError, match=r"needs SQLite 3\.34, this Python has 3\.31\.1"):
        History(tmp_path / "history.sqlite3")


def test_a_locked_database_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sus_local.database.BUSY_SECONDS", 0.05)
    path = tmp_path / "history.sqlite3"
    history = History(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(HistoryError, match="locked") as caught:
        history.create()
    assert "another program" in caught.value.hint
    other.execute("ROLLBACK")
    other.close()
    assert history.create() == 1


def test_a_full_disk_is_told_and_harms_nothing(history: History) -> None:
    conversation = history.create(title="kept")
    (pages,) = history.rows("PRAGMA page_count")[0]
    history.rows(f"PRAGMA max_page_count = {pages + 10}")
    with pytest.raises(HistoryError, match="full") as caught:
        add(history, conversation, "x" * 100_000, "y" * 100_000)
    assert "free some space" in caught.value.hint
    assert history.conversation(conversation).title == "kept"
    assert [tuple(row) for row in history.rows("PRAGMA integrity_check")] == [("ok",)]


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="opening"):
        History(tmp_path / "file" / "history.sqlite3")


def test_an_excerpt_is_cut_around_the_word() -> None:
    assert excerpt("short\ntext", "none") == "short text"
    assert excerpt("a" * 50 + "key" + "b" * 50, "KEY", width=4) == "…aakeybb…"


def test_what_utf_8_cannot_carry_is_kept_as_a_question_mark(tmp_path: Path) -> None:
    with History(tmp_path / "history.sqlite3") as history:
        number = history.create(title="\ud800")
        history.add_turn(number, parent=None, user="a\udfffb")
        [turn] = history.turns(number)
        assert (turn.user, history.conversation(number).title) == ("a?b", "?")
        assert history.search("\ud800") is not None


def test_a_number_that_sqlite_cannot_hold_is_no_conversation(tmp_path: Path) -> None:
    with History(tmp_path / "history.sqlite3") as history, pytest.raises(HistoryError):
        history.conversation(2**63)


def test_another_system_message_makes_the_tokens_of_first_turns_void(history: History) -> None:
    conversation, beside = history.create(system="Be brief."), history.create(system="Be kind.")
    first = history.add_turn(conversation, parent=None, user="one", prompt_token_ids=(1, 2))
    history.add_turn(conversation, parent=first, user="two", prompt_token_ids=(3, 4))
    history.add_turn(beside, parent=None, user="three", prompt_token_ids=(5, 6))
    history.change_system(conversation, "Be long.")
    assert history.conversation(conversation).system == "Be long."
    assert [turn.prompt_token_ids for turn in history.turns(conversation)] == [(), (3, 4)]
    history.change_system(conversation, None)
    assert history.conversation(conversation).system is None
    assert history.conversation(beside).system == "Be kind."
    assert history.turns(beside)[0].prompt_token_ids == (5, 6)
    with pytest.raises(HistoryError, match="there is no conversation 9"):
        history.change_system(9, "Be long.")


def test_capitals_of_every_alphabet_are_the_same_in_short_words(history: History) -> None:
    number = history.create(title="Éà")
    add(history, number, "ДА", "нет")
    assert [hit.excerpt for hit in history.search("да")] == ["ДА"]
    assert [hit.title for hit in history.search("éÀ")] == ["Éà"]


@pytest.mark.parametrize(("limit", "count"), [(-1, 5), (4, 4), (5, 5), (9, 5)])
def test_search_finds_at_most_so_many(history: History, limit: int, count: int) -> None:
    number = history.create(title="zebra")
    for _ in range(4):
        add(history, number, "zebra", "yes")
    assert len(history.search("zebra", limit=limit)) == count


def test_what_is_written_in_one_change_is_kept_whole_or_not_at_all(history: History) -> None:
    def change() -> None:
        history.create(title="one")
        history.remove(99)

    with pytest.raises(HistoryError, match="there is no conversation 99"):
        history.write("saving in", change)
    assert history.conversations() == []
    assert history.create(title="two") > 0


def test_words_of_the_path_are_no_reason(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("")
    with pytest.raises(HistoryError, match=r"not a directory|file exists") as caught:
        History(tmp_path / "full" / "locked.sqlite3")
    assert caught.value.hint == "what was saved before is safe"
