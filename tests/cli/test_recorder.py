"""What a chat saves, and that it goes on when nothing can be saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    for line in ("second", "third", "/new", "fourth"):
        dialogue.handle(line)
    captured = capsys.readouterr()
    assert captured.out == "An answer.\n" * 4
    assert captured.err.count("the chat goes on in memory only") == 1
    assert "deleted meanwhile" in captured.err
    (row,) = history.conversations()
    assert [turn.user for turn in history.turns(row.id)] == ["fourth"]


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


def stop_before_it_begins(dialogue: Dialogue, llm: LLM, text: str) -> None:
    """Ask, and stop the answer while the prompt is read."""
    fake: Any = llm._backend
    fake._delay_s = 20.0
    dialogue.session.send(text).end()
    fake._delay_s = 0.0


def test_a_question_that_was_stopped_before_its_answer_is_passed_over(
    llm: LLM, history: History
) -> None:
    first = dialogue_with(history)
    first.handle("one")
    stop_before_it_begins(first, llm, "lost")
    for line in ("two", "three"):
        first.handle(line)
    parents = {turn.user: turn.parent for turn in history.turns(1)}
    assert parents == {"one": None, "lost": 1, "two": 1, "three": 3}
    again = dialogue_with(history)
    assert again.session.open(1) == ""
    assert again.session.conversation.messages == first.session.conversation.messages


def test_an_answer_of_nothing_is_an_answer(
    llm: LLM, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model may write the next question at once, or half a character and then the end."""
    dialogue = dialogue_with(history)
    dialogue.handle("one")
    monkeypatch.setattr(llm._backend, "_script", lambda prompt: b"### Human:")
    dialogue.handle("two")
    assert [(turn.text, turn.token_ids) for turn in history.turns(1)][1:] == [("", ())]
    again = dialogue_with(history)
    assert again.session.open(1) == ""
    turns = again.session.conversation.turns
    assert [turn.user for turn in turns] == ["one", "two"]
    assert turns == dialogue.session.conversation.turns


def test_a_stopped_question_is_answered_or_changed_where_it_was(llm: LLM, history: History) -> None:
    dialogue = dialogue_with(history)
    dialogue.handle("one")
    stop_before_it_begins(dialogue, llm, "lost")
    dialogue.handle("/retry")
    dialogue.handle("/edit found")
    assert [turn.parent for turn in history.turns(1)] == [None, 1, 1, 1]


def test_what_follows_an_unanswered_question_in_an_old_history_is_found(
    llm: LLM, history: History
) -> None:
    """So it was saved once."""
    number = history.create(model="x")
    said = {"text": "Yes.", "finish_reason": "stop"}
    first = history.add_turn(number, parent=None, user="lost at first")
    second = history.add_turn(number, parent=first, user="one", **said)
    lost = history.add_turn(number, parent=second, user="lost", finish_reason="cancelled")
    lost = history.add_turn(number, parent=lost, user="lost too", finish_reason="cancelled")
    last = history.add_turn(number, parent=lost, user="two", **said)
    dialogue = dialogue_with(history)
    dialogue.session.open(number)
    turns = dialogue.session.conversation.turns
    assert [(turn.id, turn.parent) for turn in turns] == [(second, None), (last, second)]
    history.change(number, active=lost)
    assert dialogue.session.open(number) == "lost too"
    assert [turn.user for turn in dialogue.session.conversation.turns] == ["one"]


@pytest.mark.parametrize(
    "columns",
    [
        {"usage": {"bogus": 1, "prompt_tokens": "x"}, "timings": {"ttft_s": "y"}},
        {"token_ids": (4_000_000_000, 5), "prompt_token_ids": (7,)},
        {"token_ids": (5,), "prompt_token_ids": (4_294_967_295,)},
    ],
)
def test_what_no_model_can_have_written_is_left_out(
    llm: LLM, history: History, columns: dict[str, Any]
) -> None:
    number = history.create(model="x")
    history.add_turn(
        number, parent=None, user="hi", text="Yes.", fingerprint=llm.fingerprint, **columns
    )
    dialogue = dialogue_with(history)
    dialogue.session.open(number)
    dialogue.handle("and?")
    (turn, _) = dialogue.session.conversation.turns
    assert turn.usage.prompt_tokens == turn.timings.ttft_s == 0
    assert llm.detokenize(turn.token_ids) == "Yes."
