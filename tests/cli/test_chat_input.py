"""What one types in the chat: lines, keys, pastes, and how one leaves."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from sus_local import paths

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from tests.cli.conversing import READY, ask, chat, saved

pytestmark = pytest.mark.slow


def test_typing_goes_on_while_an_answer_comes(model: str) -> None:
    with chat(model, SCRIPT_DELAY="0.003") as terminal:
        terminal.wait_for(READY)
        terminal.send("long")
        terminal.wait_for("word20")
        terminal.type("next question")
        terminal.wait_for(">>> next question")
        assert "working" in terminal.text
        terminal.type("\r")
        terminal.wait_for("1 waiting")
        terminal.type("\x03")
        terminal.wait_for("stopped by you")
        terminal.wait_for("You said: next question")


def test_ctrl_c_clears_the_input_first(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.type("half a thought")
        terminal.wait_for("half a thought")
        terminal.type("\x03")
        terminal.wait_gone("half a thought")
        terminal.type("\x03")
        terminal.wait_for("Ctrl-C once more")
        terminal.type("\x03")
        assert terminal.wait_end() == 0


@pytest.mark.parametrize("keys", ["\x04", "/bye\r", "/quit\r"])
def test_leaving(model: str, keys: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "hi", "You said: hi")
        terminal.type(keys)
        assert terminal.wait_end() == 0
        assert "sus-local chat --continue" in terminal.text


def test_leaving_in_an_answer_keeps_what_came(model: str) -> None:
    with chat(model, SCRIPT_DELAY="0.003") as terminal:
        terminal.wait_for(READY)
        terminal.send("long")
        terminal.wait_for("word30")
        terminal.type("\x04")
        assert terminal.wait_end() == 0
        with saved() as history:
            (turn,) = history.turns(1)
        assert turn.finish_reason == "cancelled"
        assert "word30" in turn.text


def test_a_paste_is_one_message(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.paste("first\nsecond\nthird")
        terminal.wait_for("third")
        with saved() as history:
            assert history.conversations() == []
        ask(terminal, "", "third")
        with saved() as history:
            assert history.turns(1)[0].user == "first\nsecond\nthird"


@pytest.mark.parametrize("newline", ["\\\r", "\x1b\r"])
def test_a_message_of_several_lines(model: str, newline: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.type(f"one{newline}two")
        terminal.wait_for("... two")
        ask(terminal, "", "You said: one")
        with saved() as history:
            assert history.turns(1)[0].user == "one\ntwo"


def test_input_comes_back_in_the_next_chat(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "an old question", "You said: an old question")
        terminal.type("\x04")
        terminal.wait_end()
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.type("\x1b[A")
        terminal.wait_for(">>> an old question")


def test_commands_and_files_are_completed(model: str, tmp_path: Path) -> None:
    (tmp_path / "unmistakable.txt").write_text("x")
    with chat(model, columns=150) as terminal:
        terminal.wait_for(READY)
        terminal.type("/bra\t")
        terminal.wait_for(">>> /branches")
        terminal.type("\x03")
        terminal.wait_gone(">>> /branches")
        for command in ("/file", "/set schema"):
            terminal.type(f"{command} {tmp_path}/unmis\t")
            terminal.wait_for("unmistakable.txt")
            terminal.type("\x03")
            terminal.wait_gone("unmistakable.txt")


@pytest.mark.parametrize("keys", ["\x18\x05", "\x07"])
def test_the_editor_writes_the_message(model: str, tmp_path: Path, keys: str) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "edited text" > "$1"\n')
    editor.chmod(0o755)
    with chat(model, EDITOR=str(editor), VISUAL="") as terminal:
        terminal.wait_for(READY)
        terminal.type(keys)
        terminal.wait_for(">>> edited text")
        ask(terminal, "", "You said: edited text")


def test_leaving_while_the_model_loads(model: str) -> None:
    with chat(model, SCRIPT_LOAD_SECONDS="90") as terminal:
        terminal.wait_for("loading tiny")
        terminal.type("typed meanwhile")
        terminal.wait_for(">>> typed meanwhile")
        terminal.type("\x03\x04")
        terminal.wait_until(lambda: not terminal.is_running, "the end", seconds=45)


def test_how_far_the_loading_is_and_then_the_reading(model: str) -> None:
    with chat(model, SCRIPT_LOAD_SECONDS="1", SCRIPT_DELAY="1") as terminal:
        terminal.wait_for("loading tiny … 40%")
        terminal.wait_for(READY)
        terminal.send("x" * 2000)
        terminal.wait_for("reading the prompt … 25% · Ctrl-C stops it")
        terminal.wait_for("reading the prompt … 50%")
        terminal.type("\x03")
        terminal.wait_for("stopped by you")
        terminal.wait_gone("reading")


def test_leaving_while_the_model_loads_again(model: str) -> None:
    with chat(model, SCRIPT_LOAD_SECONDS="0,90", SCRIPT_LAST_SECONDS="90") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "hi", "You said: hi")
        terminal.send("/set n_ctx 700")
        terminal.wait_for("loading tiny")
        terminal.type("typed meanwhile")
        terminal.wait_for(">>> typed meanwhile")
        terminal.type("\x03\x04")
        terminal.wait_until(lambda: not terminal.is_running, "the end", seconds=45)


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_words_that_leave_other_chats_leave_this_one(model: str, word: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.send(word)
        assert terminal.wait_end() == 0


def test_three_quotes_hold_a_message_together(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.type('"""one\rtwo\r')
        terminal.wait_for("... two")
        ask(terminal, 'three"""', "You said: one")
    with saved() as history:
        assert history.turns(1)[0].user == "one\ntwo\nthree"


def test_the_keys_are_those_of_readline(model: str, tmp_path: Path) -> None:
    inputrc = tmp_path / "inputrc"
    inputrc.write_text("set editing-mode emacs\nset editing-mode vi\n")
    with chat(model, INPUTRC=str(inputrc)) as terminal:
        terminal.wait_for(READY)
        terminal.type("one two")
        terminal.wait_for(">>> one two")
        terminal.type("\x1b")
        # A lone Escape is one only when nothing follows it for a moment.
        terminal.wait_until(lambda: terminal.screen.cursor.x == len(">>> one tw"), "vi's motion")
        terminal.type("bdw")
        terminal.wait_gone("two")


def test_ctrl_g_ends_a_search_in_earlier_input(model: str) -> None:
    with chat(model, EDITOR="/none/such", VISUAL="") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "an old question", "You said: an old question")
        terminal.type("\x12old")
        terminal.wait_for("I-search")
        terminal.type("\x07")
        terminal.wait_gone("I-search")
        ask(terminal, "another", "You said: another")


def test_ctrl_l_clears_the_screen_and_keeps_what_is_typed(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "first", "You said: first")
        terminal.wait_gone("working")
        terminal.type("second")
        terminal.wait_for(">>> second")
        terminal.type("\x0c")
        terminal.wait_until(lambda: terminal.text == ">>> second", "the clear screen")
        ask(terminal, "", "You said: second")


def test_a_chat_that_saves_nothing_keeps_no_input(model: str) -> None:
    with chat(model, "--no-history") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "a secret", "You said: a secret")
        terminal.type("\x1b[A")
        terminal.wait_for(">>> a secret")
    kept = [path for path in paths.data_dir().rglob("*") if path.is_file()]
    assert not [path for path in kept if b"a secret" in path.read_bytes()]


def test_models_are_completed(model: str) -> None:
    paths.models_dir().mkdir(parents=True)
    (paths.models_dir() / "Unmistakable-Q8_0.gguf").write_bytes(b"GGUF")
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.type("/model unm\t")
        terminal.wait_for(">>> /model Unmistakable-Q8_0")


def test_a_word_in_quotes_is_a_message(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, '"""exit"""', "You said: exit")
        ask(terminal, '"""/new"""', "You said: /new")


def test_a_folder_in_the_place_of_the_earlier_input_is_let_be(model: str) -> None:
    (paths.data_dir() / "chat_input").mkdir(parents=True)
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "hi", "You said: hi")
        terminal.type("\x1b[A")
        terminal.wait_for(">>> hi")
        assert "exception" not in terminal.scrolled


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_ends_the_program_gets_the_terminal_back(model: str, number: int) -> None:
    with chat(model, SCRIPT_DELAY="0.003") as terminal:
        before = terminal.modes
        terminal.wait_for(READY)
        terminal.send("long")
        terminal.wait_for("word30")
        assert terminal.modes != before
        terminal.signal(number)
        assert terminal.wait_end() == 128 + number
        assert terminal.modes == before
        with saved() as history:
            (turn,) = history.turns(1)
        assert "word30" in turn.text
        assert turn.finish_reason == "cancelled"
