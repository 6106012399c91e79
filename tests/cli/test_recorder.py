"""What a chat saves, and that it goes on when nothing can be saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local.backend.fake import Fake
from sus_local.cli.chat.dialogue import Dialogue
from sus_local.cli.chat.lines import Lines
from sus_local.cli.chat.session import Session
from sus_local.errors import BackendError
from sus_local.history import History
from sus_local.llm import LLM
from sus_local.saved import SavedTurn


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[LLM]:
    with LLM(Fake(script=lambda prompt: b"An answer.", n_ctx=4096)) as made:
        monkeypatch.setattr("sus_local.load", lambda path, **options: made)
        yield made


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.sqlite3") as opened:
        yield opened


def dialogue_with(history: History | None, **options: object) -> Dialogue:
    ui = Lines()
    session = Session(ui, history, Path("x.gguf"), name="x", loading={}, sampling={})
    session.load()
    return Dialogue(session, ui)


def test_an_answer_is_saved_while_it_comes(
    llm: LLM, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.cli.chat.recorder.SAVE_SECONDS", 0.0)
    dialogue = dialogue_with(history)
    exchange = dialogue.session.send("hi")
    seen: list[SavedTurn] = []
    while exchange.next_piece() is not None:
        seen += history.turns(1)
    texts = [turn.text for turn in seen]
    assert texts == sorted(texts, key=len)
    assert len(set(texts)) > 5
    assert seen[0].finish_reason is None
    (turn,) = history.turns(1)
    assert (turn.text, turn.finish_reason) == ("An answer.", "stop")
    assert turn.prompt_token_ids == dialogue.session.conversation.turns[0].prompt_token_ids
    assert turn.token_ids == dialogue.session.conversation.turns[0].token_ids
    assert turn.fingerprint == llm.fingerprint


def test_a_conversation_opened_again_sends_the_same_tokens(llm: LLM, history: History) -> None:
    first = dialogue_with(history)
    for line in ("one", "two", "/retry", "/undo", "three"):
        first.handle(line)
    again = dialogue_with(history)
    again.session.open(1)
    assert again.session.conversation.messages == first.session.conversation.messages
    ours, theirs = again.session.conversation.turns, first.session.conversation.turns
    for name in ("prompt_token_ids", "token_ids", "usage", "timings", "num_dropped_turns"):
        assert [getattr(t, name) for t in ours] == [getattr(t, name) for t in theirs]
    assert len(again.session.conversation.tree) == 4


def test_a_conversation_with_all_taken_back_opens_empty(llm: LLM, history: History) -> None:
    first = dialogue_with(history)
    for line in ("one", "/undo"):
        first.handle(line)
    again = dialogue_with(history)
    again.session.open(1)
    assert again.session.conversation.turns == ()
    again.handle("two")
    assert [turn.parent for turn in history.turns(1)] == [None, None]


def test_tokens_of_another_model_are_made_anew(llm: LLM, history: History) -> None:
    conversation = history.create(model="other")
    history.add_turn(
        conversation, parent=None, user="hi", text="Hello", token_ids=(90000,),
        prompt_token_ids=(90001,), fingerprint="of another", finish_reason="stop",
    )  # fmt: skip
    dialogue = dialogue_with(history)
    dialogue.session.open(conversation)
    (turn,) = dialogue.session.conversation.turns
    assert llm.detokenize(turn.token_ids) == "Hello"
    assert llm.detokenize(turn.prompt_token_ids) == "### Human: hi\n\n### Assistant: "


def test_a_full_disk_lets_the_chat_go_on(
    llm: LLM, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = dialogue_with(history)
    dialogue.handle("first")
    (pages,) = history.rows("PRAGMA page_count")[0]
    history.rows(f"PRAGMA max_page_count = {pages}")
    dialogue.handle("x" * 3000)
    dialogue.handle("third")
    captured = capsys.readouterr()
    assert captured.out == "An answer.\n" * 3
    assert captured.err.count("the chat goes on in memory only") == 1
    assert len(dialogue.session.conversation.turns) == 3
    assert history.turns(1)[0].text == "An answer."


def test_a_conversation_deleted_elsewhere_lets_the_chat_go_on(
    llm: LLM, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = dialogue_with(history)
    dialogue.handle("first")
    history.remove(1)
    dialogue.handle("second")
    captured = capsys.readouterr()
    assert captured.out == "An answer.\n" * 2
    assert "deleted meanwhile" in captured.err


def test_an_answer_that_fails_leaves_the_branch_as_it_was(
    llm: LLM, history: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = dialogue_with(history)
    dialogue.handle("first")

    def fail(_self: Fake, _slices: object) -> None:
        raise BackendError("the device is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Fake, "decode", fail)
        dialogue.handle("second")
    assert "the device is gone" in capsys.readouterr().err
    assert history.conversation(1).active == 1
    dialogue.handle("third")
    assert dialogue.session.conversation.turns[0].user == "first"


def test_nothing_is_saved_where_nothing_was_said(llm: LLM, history: History) -> None:
    dialogue = dialogue_with(history)
    for line in ("/new", "/title Unused", "/set temp 0.5", "/system Be brief."):
        dialogue.handle(line)
    assert history.conversations() == []


def test_a_mistake_in_a_command_does_not_end_the_chat(
    llm: LLM, history: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("oops")

    dialogue = dialogue_with(history)
    monkeypatch.setattr(History, "conversations", broken)
    dialogue.handle("/list")
    assert "KeyError" in capsys.readouterr().err
    dialogue.handle("hi")
    assert capsys.readouterr().out == "An answer.\n"
