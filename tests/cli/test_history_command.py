"""``sus-local history``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sus_local import paths
from sus_local.cli import main
from sus_local.history import History


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
    status = main.run(["history", *args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def value(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    status, out, err = call(capsys, *args, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


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
    after = [value(capsys, "show", str(number)) for number in sorted(numbers, reverse=True)]
    for old, new in zip(before, after, strict=True):
        for name in ("title", "system", "model"):
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
    ]
    path.write_text(json.dumps({"messages": messages}))
    (number,) = value(capsys, "import", str(path))["imported"]
    shown = value(capsys, "show", str(number))
    assert shown["system"] == "Be kind."
    assert [(turn["user"], turn["text"]) for turn in shown["turns"]] == [("a", "b"), ("c", "")]


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
