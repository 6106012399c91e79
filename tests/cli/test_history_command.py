"""``sus-local history``."""

from __future__ import annotations

import errno
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sus_local import paths
from sus_local.cli import main
from sus_local.cli.chat.turns import resume_at
from sus_local.errors import HistoryError
from sus_local.history import History
from tests.cli import calling


@pytest.fixture(autouse=True)
def two_conversations() -> None:
    with History(paths.history_path()) as history:
        one = history.create(model="tiny", title="Capitals", system="Be brief.")
        first = history.add_turn(
            one, parent=None, user="中国的首都？", text="北京。", finish_reason="stop",
            token_ids=(5, 6), prompt_token_ids=(1, 2), usage={"prompt_tokens": 2},
        )  # fmt: skip
        history.add_turn(one, parent=first, user="France?", text="Rome.", finish_reason="stop")
        history.add_turn(one, parent=first, user="France?", text="Paris.", finish_reason="stop")
        two = history.create(model="tiny")
        history.add_turn(two, parent=None, user="hello there", text="Hi!", finish_reason="stop")


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    return calling.call(capsys, "history", *args)


def value(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    return calling.value(capsys, "history", *args)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "list")
    second, first = out.splitlines()
    assert second.split()[0] == "2"
    assert second.endswith("1 turns  hello there")
    assert first.endswith("3 turns  Capitals")
    assert [row["id"] for row in value(capsys, "list", "-n", "1")] == [2]


def test_show_is_the_branch_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "show", "1")
    assert out == (
        "# Capitals\n\n**System:** Be brief.\n\n**You:** 中国的首都？\n\n**tiny:** 北京。\n\n"
        "**You:** France?\n\n**tiny:** Paris.\n"
    )
    assert len(value(capsys, "show", "1")["turns"]) == 3


def test_search(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "search", "首都")
    assert out.split()[0] == "1"
    assert [hit["excerpt"] for hit in value(capsys, "search", "Paris")] == ["Paris."]
    assert call(capsys, "search", "nowhere") == (0, "", "Nothing found.\n")


def test_what_was_exported_comes_back_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = [value(capsys, "show", number) for number in ("1", "2")]
    path = tmp_path / "all.json"
    assert call(capsys, "export", "--all", "-o", str(path))[0] == 0
    assert call(capsys, "rm", "1", "2", "--yes")[0] == 0
    assert value(capsys, "list") == []
    numbers = value(capsys, "import", str(path))["imported"]
    after = [value(capsys, "show", str(number)) for number in numbers]
    for old, new in zip(before, after, strict=True):
        for name in ("title", "system", "model", "created_at", "updated_at"):
            assert new[name] == old[name]
        ids = {turn["id"]: index for index, turn in enumerate(old["turns"])}
        new_ids = {turn["id"]: index for index, turn in enumerate(new["turns"])}
        assert new_ids[new["active"]] == ids[old["active"]]
        for a, b in zip(old["turns"], new["turns"], strict=True):
            parents = (ids.get(a.pop("parent")), new_ids.get(b.pop("parent")))
            assert parents[0] == parents[1]
            assert {**a, "id": 0} == {**b, "id": 0}


def test_a_transcript_names_the_model_of_each_turn(capsys: pytest.CaptureFixture[str]) -> None:
    with History(paths.history_path()) as history:
        number = history.create(model="other")
        first = history.add_turn(number, parent=None, user="hi", text="Hello", model="demo")
        history.add_turn(number, parent=first, user="and?", text="More", model="other")
    assert main.run(["history", "show", str(number)]) == 0
    shown = capsys.readouterr().out
    assert "**demo:** Hello" in shown
    assert "**other:** More" in shown


def test_export_as_markdown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "two.md"
    assert call(capsys, "export", "2", "-o", str(path))[0] == 0
    assert path.read_text(encoding="utf-8") == (
        "# hello there\n\n**You:** hello there\n\n**tiny:** Hi!\n"
    )
    assert call(capsys, "export", "2", "--format", "md")[1] == path.read_text(encoding="utf-8")


def test_import_of_chat_messages(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "messages.json"
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "d"},
    ]
    path.write_text(json.dumps({"messages": messages}))
    (number,) = value(capsys, "import", str(path))["imported"]
    shown = value(capsys, "show", str(number))
    assert shown["system"] == "Be kind."
    said = [(turn["user"], turn["text"], turn["finish_reason"]) for turn in shown["turns"]]
    assert said == [("a", "b", "stop"), ("c", "", "stop"), ("d", "", None)]


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "{}",
        "[]x",
        "null",
        "[1]",
        pytest.param("[" * 100_000, id="deep"),
        '[{"role": "assistant", "content": "x"}]',
        '{"format": "sus-local conversation", "version": 9, "turns": []}',
        '{"format": "sus-local conversation", "version": 1, "title": "", "system": null, '
        '"model": "", "created_at": 0, "updated_at": 0, "active": 2, '
        '"turns": [{"id": 2, "parent": 1, "user": "x"}]}',
        '{"format": "sus-local conversation", "version": 1, "title": "", "system": null, '
        '"model": "", "created_at": 0, "updated_at": 0, "active": 2, "turns": '
        '[{"id": 1, "parent": 2, "user": "x"}, {"id": 2, "parent": null, "user": "y"}]}',
        "[]",
        '{"messages": []}',
    ],
)
def test_import_of_anything_else_is_refused(
    content: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    status, _, err = call(capsys, "import", str(path))
    assert status == 1
    assert "file.json holds no conversation" in err
    assert len(value(capsys, "list")) == 2


def test_import_of_a_text_that_utf_8_cannot_carry(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "file.json"
    path.write_text(r'[{"role": "user", "content": "a\ud800b"}]')
    [number] = value(capsys, "import", str(path))["imported"]
    assert value(capsys, "show", str(number))["turns"][0]["user"] == "a?b"


def test_rm_asks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, err = call(capsys, "rm", "1")
    assert status == 2
    assert "--yes" in err
    asked: list[str] = []
    monkeypatch.setattr("sus_local.cli.ask.confirm", asked.append)
    assert call(capsys, "rm", "1")[0] == 0
    assert asked == ["Remove 1 'Capitals'?"]
    assert [row["id"] for row in value(capsys, "list")] == [2]


def test_an_unknown_number(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "show", "99")
    assert status == 1
    assert "there is no conversation 99" in err


def test_the_latest_conversation_is_shown_without_a_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, out, _ = call(capsys, "show")
    assert out == "# hello there\n\n**You:** hello there\n\n**tiny:** Hi!\n"
    monkeypatch.setenv("SUS_LOCAL_HOME", str(tmp_path / "empty"))
    assert call(capsys, "show")[::2] == (
        1,
        "error: no conversation is saved yet\nhint: sus-local chat\n",
    )


def test_a_list_is_imported_whole_or_not_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "all.json"
    call(capsys, "export", "--all", "-o", str(path))
    change = History.change

    def fail(self: History, number: int, **columns: Any) -> None:
        if number == 4:
            raise HistoryError("the disk is full")
        change(self, number, **columns)

    monkeypatch.setattr(History, "change", fail)
    assert call(capsys, "import", str(path))[0] == 1
    assert [row["id"] for row in value(capsys, "list")] == [2, 1]


def test_a_number_that_is_given_twice_is_removed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert value(capsys, "rm", "2", "2", "--yes")["removed"] == [2]
    assert call(capsys, "rm", "1", "9", "--yes")[0] == 1
    assert [row["id"] for row in value(capsys, "list")] == [1]


@pytest.mark.parametrize(
    ("place", "changed", "told"),
    [
        ("turn", {"created_at": 1e300}, "turn 1: created_at is 1e+300"),
        ("turn", {"usage": {"prompt_tokens": "x"}}, "turn 1: usage is {'prompt_tokens': 'x'}"),
        ("turn", {"timings": [1]}, "turn 1: timings is [1]"),
        ("turn", {"timings": {"ttft_s": "x"}}, "turn 1: timings is"),
        ("turn", {"num_dropped_turns": "x"}, "turn 1: num_dropped_turns is 'x'"),
        ("turn", {"num_dropped_turns": -5}, "turn 1: num_dropped_turns is -5"),
        ("turn", {"token_ids": [float("inf")]}, "turn 1: token_ids is [inf]"),
        ("turn", {"token_ids": "12"}, "turn 1: token_ids is '12'"),
        ("turn", {"finish_reason": 7}, "turn 1: finish_reason is 7"),
        ("turn", {"user": None}, "turn 1: user is None"),
        ("turn", {"user": ["a"]}, "turn 1: user is ['a']"),
        ("turn", {"text": 5}, "turn 1: text is 5"),
        ("turn", {"fingerprint": None}, "turn 1: fingerprint is None"),
        ("turn", {"id": True}, "turn 1: id is True"),
        ("talk", {"active": []}, "the conversation: active is []"),
        ("talk", {"system": {}}, "the conversation: system is {}"),
        ("talk", {"updated_at": "now"}, "the conversation: updated_at is 'now'"),
        ("talk", {"turns": {}}, "the conversation has no turns"),
        ("talk", {"turns": [1]}, "turn 1 is no object"),
        ("talk", {"turns": [{"id": 1, "parent": None}]}, "turn 1 has no user"),
        ("talk", {"turns": [{"id": 1, "parent": None, "user": "a"}] * 2}, "two turns have one id"),
    ],
)
def test_a_value_that_is_wrong_is_told_with_its_place(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    place: str,
    changed: dict[str, Any],
    told: str,
) -> None:
    talk = value(capsys, "show", "2")
    (talk if place == "talk" else talk["turns"][0]).update(changed)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(talk))
    status, _, err = call(capsys, "import", str(path))
    assert status == 1
    assert f"changed.json holds no conversation: {told}" in err
    assert len(value(capsys, "list")) == 2


def test_chat_messages_are_of_today_and_may_begin_with_a_byte_order_mark(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "messages.json"
    path.write_text('[{"role": "user", "content": "zebra"}]', encoding="utf-8-sig")
    before = time.time()
    assert value(capsys, "import", str(path))["imported"] == [3]
    (hit,) = value(capsys, "search", "zebra")
    assert before <= hit["created_at"] <= time.time()


@pytest.mark.parametrize(
    "sets", ["usage = '{'", "usage = '[1]'", "token_ids = x'010203'", "text = x'ff00'"]
)
def test_a_damaged_value_keeps_nobody_from_the_rest(
    capsys: pytest.CaptureFixture[str], sets: str
) -> None:
    with History(paths.history_path()) as history:
        history.write("saving in", lambda: history.execute(f"UPDATE turns SET {sets} WHERE id = 1"))
    status, out, _ = call(capsys, "export", "--all")
    assert status == 0
    assert [turn["text"] for turn in json.loads(out)[0]["turns"]][1:] == ["Rome.", "Paris."]


@pytest.mark.parametrize("parent", [1, 2, "'x'"])
def test_turns_in_a_circle_have_an_end(
    capsys: pytest.CaptureFixture[str], parent: int | str
) -> None:
    with History(paths.history_path()) as history:
        history.change(1, active=2)
        history.execute("PRAGMA foreign_keys = OFF")
        sql = f"UPDATE turns SET parent = {parent} WHERE id = 1"
        history.write("saving in", lambda: history.execute(sql))
        saved = history.turns(1)
    assert [turn.parent for turn in saved] == [None, 1, 1]
    lost = [replace(turn, text="", token_ids=(), finish_reason=None) for turn in saved]
    assert resume_at(lost, 2)[0] is None
    assert "北京" in call(capsys, "show", "1")[1]
    assert call(capsys, "export", "1", "--format", "md")[0] == 0


def test_a_moment_that_no_calendar_has_is_shown_as_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with History(paths.history_path()) as history:
        history.change(2, updated_at=1e300)
    assert "    2  ?         " in call(capsys, "list")[1]


@pytest.mark.parametrize("command", ["list", "search"])
@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_is_at_least_one(
    capsys: pytest.CaptureFixture[str], command: str, limit: str
) -> None:
    words = ["Paris"] if command == "search" else []
    status, _, err = call(capsys, command, *words, "-n", limit)
    assert status == 2
    assert f"{limit} is not in the range x>=1." in err


def test_a_number_with_many_digits_is_that_of_no_conversation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(capsys, "show", "9" * 20)[2].startswith(
        f"error: there is no conversation {'9' * 20}"
    )


def test_what_a_file_steers_with_does_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with History(paths.history_path()) as history:
        number = history.create(title="\x1b]0;title\x07")
        history.add_turn(number, parent=None, user="\x1b[2Jzebra", text="\x9b31m")
    raw = call(capsys, "export", "3", "--format", "md")[1]
    assert "\x1b[2J" in raw
    for command in (["list"], ["search", "zebra"]):
        assert not {"\x1b", "\x07"} & set(call(capsys, *command)[1])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for command in (["show", "3"], ["export", "3", "--format", "md"]):
        assert not {"\x1b", "\x07", "\x9b"} & set(call(capsys, *command)[1])


@pytest.mark.parametrize("name", ["talk.md", "talk.MD", "talk.json"])
def test_a_full_disk_leaves_an_earlier_export_as_it_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    assert call(capsys, "export", "1", "-o", str(path))[0] == 0
    before = path.read_text(encoding="utf-8")
    assert before.startswith("[" if name.endswith("json") else "# Capitals")

    def full(self: Path, text: str, **_: object) -> int:
        with self.open("w") as file:
            file.write(text[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    status, _, err = call(capsys, "export", "1", "2", "-o", str(path))
    assert status == 1
    assert "no space left" in err
    assert path.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [path]
