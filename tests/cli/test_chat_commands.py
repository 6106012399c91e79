"""The commands of the chat, with a scripted model."""

from __future__ import annotations

import sys
from base64 import b64encode
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from tests.cli.conversing import READY, ask, chat, saved

pytestmark = pytest.mark.slow


def test_errors_of_commands_do_not_end_the_chat(model: str, tmp_path: Path) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        for line, error in (
            ("/nonsense", "there is no command /nonsense"),
            ("/branche x", "there is no turn x"),
            ("/retry", "there is nothing yet"),
            ("/open 99", "there is no conversation 99"),
            ("/set temperature hot", "temperature is hot"),
            ("/set temperature -1", "temperature is -1"),
            ("/set colour red", "there is no parameter colour"),
            ("/file /none/such", "no such file"),
            ("/load /none/such.json", "no such file"),
            ("/save", "save to which file?"),
            ("/undo", "there is nothing to take back"),
        ):
            terminal.send(line)
            terminal.wait_for(error)
        ask(terminal, "well?", "You said: well?")


def test_commands_on_the_conversation(model: str, tmp_path: Path) -> None:
    with chat(model, rows=60) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "first", "You said: first")
        ask(terminal, "second", "You said: second")
        ask(terminal, "/retry", "another answer")
        ask(terminal, "/edit changed", "You said: changed")
        terminal.send("/branches")
        terminal.wait_for("* marks the branch in use")
        assert "*    4   changed → You said: changed" in terminal.text
        assert "     2   second → You said: second" in terminal.text
        terminal.send("/undo")
        terminal.wait_for("Taken back")
        terminal.wait_for(">>> changed")
        terminal.type("\x03")
        terminal.send("/branches 2")
        terminal.wait_until(lambda: terminal.text.count("You said: second") >= 3, "the branch")
        terminal.send("/context")
        terminal.wait_for("of 4096 tokens")
        terminal.send("/title Of numbers")
        terminal.wait_for("title: Of numbers")
        terminal.send("/list")
        terminal.wait_for("4 turns  Of numbers")
        terminal.send("/stats")
        terminal.wait_for("from the KV cache")
        terminal.send("/set temp 0.25")
        terminal.wait_for("temperature 0.25")
        terminal.send("/set")
        terminal.wait_for("mirostat_tau")
        terminal.send("/system Be brief.")
        terminal.wait_for("The model reads the conversation again")
        terminal.send("/system")
        terminal.wait_for("system: Be brief.")
        ask(terminal, "third", "You said: third")
        terminal.send("/search secon")
        terminal.wait_for("You said: second")
        terminal.send("/new")
        terminal.wait_for("A new conversation.")
    with saved() as history:
        (row,) = history.conversations()
        assert (row.title, row.num_turns, row.system) == ("Of numbers", 5, "Be brief.")
        last = history.turns(row.id)[-1]
        assert (row.active, last.parent, last.user) == (last.id, 2, "third")


def test_edit_brings_the_question_back_into_the_input(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "first", "You said: first")
        terminal.send("/edit")
        terminal.wait_for(">>> first")
        terminal.wait_for("Change the question")
        ask(terminal, "!", "You said: first!")
    with saved() as history:
        assert [(turn.parent, turn.user) for turn in history.turns(1)] == [
            (None, "first"),
            (None, "first!"),
        ]


def test_files_go_with_the_next_question(model: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the notes 笔记\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\0\1")
    with chat(model, columns=200) as terminal:
        terminal.wait_for(READY)
        terminal.send(f"/file {tmp_path / 'notes.txt'}")
        terminal.wait_for("goes with your next question")
        terminal.send(f"/file {tmp_path / 'binary'}")
        terminal.wait_for("is not a text file")
        ask(terminal, "what is it?", "You said: what is it?")
    with saved() as history:
        assert history.turns(1)[0].user == "what is it?\n\nnotes.txt:\n```\nthe notes 笔记\n```"


def test_a_pattern_stands_for_all_its_files(model: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("one.py", "deep/two.py", "notes.txt"):
        (tmp_path / name).write_text(f"# {name}\n")
    with chat(model, "-f", str(tmp_path / "**/*.py"), columns=200) as terminal:
        terminal.wait_for("one.py (9 tokens) goes with your next question")
        terminal.send(f"/file {tmp_path}/*.c")
        terminal.wait_for("no file is called like")
        ask(terminal, "what are they?", "You said: what are they?")
    with saved() as history:
        asked = history.turns(1)[0].user
    assert "two.py:\n```\n# deep/two.py\n```\n\none.py:\n```\n# one.py\n```" in asked
    assert "notes.txt" not in asked


def test_files_that_do_not_fit_together_are_all_left_out(model: str, tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("x" * 300)
    with chat(model, columns=200, SCRIPT_N_CTX="500") as terminal:
        terminal.wait_for(READY)
        terminal.send(f"/file {tmp_path}/*.txt")
        terminal.wait_for("has 600 tokens, the context holds 500")
        ask(terminal, "what?", "You said: what?")
    with saved() as history:
        assert history.turns(1)[0].user == "what?"


def test_saving_and_loading(model: str, tmp_path: Path) -> None:
    markdown, value = tmp_path / "chat.md", tmp_path / "chat.json"
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "你好", "You said: 你好")
        terminal.send(f"/save {markdown}")
        terminal.wait_until(markdown.exists, "the file")
        terminal.send(f"/save {markdown}")
        terminal.wait_for("Write over it?")
        terminal.wait_for("yes or no?")
        terminal.send("no")
        terminal.wait_for("Not done.")
        terminal.send(f"/save {value}")
        terminal.wait_until(value.exists, "the file")
        terminal.send(f"/load {value}")
        terminal.wait_until(lambda: terminal.text.count("You said: 你好") == 2, "the turns")
    text = markdown.read_text(encoding="utf-8")
    assert text.endswith("**You:** 你好\n\n**tiny:** You said: 你好\n")
    with saved() as history:
        copy, original = history.conversations()
        assert history.turns(copy.id)[0].token_ids == history.turns(original.id)[0].token_ids


def test_deleting_asks(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "hi", "You said: hi")
        terminal.send("/delete")
        terminal.wait_for("Delete conversation 1")
        terminal.send("no")
        terminal.wait_for("Not done.")
        terminal.send("/delete 1")
        terminal.wait_for("yes or no?")
        terminal.send("yes")
        terminal.wait_for("Deleted.")
    with saved() as history:
        assert history.conversations() == []


def test_copying_tells_the_terminal(model: str, tmp_path: Path) -> None:
    with chat(model, PATH=str(tmp_path)) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "hi", "You said: hi")
        terminal.send("/copy")
        terminal.wait_for("copied 12 characters")
        assert b"\x1b]52;c;" + b64encode(b"You said: hi") in terminal.written


def test_ctrl_c_leaves_a_question_as_it_was(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "first", "You said: first")
        terminal.send("/edit")
        terminal.wait_until(lambda: terminal.text.count(">>> first") == 2, "the question")
        terminal.type("\x03")
        terminal.wait_until(lambda: terminal.text.endswith("\n>>>"), "the empty prompt")
        ask(terminal, "second", "You said: second")
    with saved() as history:
        first, second = history.turns(1)
        assert second.parent == first.id


def test_a_parameter_alone_is_shown_and_not_changed(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.send("/set seed 7")
        terminal.wait_for("seed 7")
        terminal.send("/set seed")
        terminal.wait_until(lambda: terminal.text.count("seed 7") == 3, "the parameter")
        terminal.send("/set seed default")
        terminal.wait_for("seed (default)")
        terminal.send("/set top_k 2.5")
        terminal.wait_for("it has to be a whole number")


def test_a_conversation_is_opened_by_its_title(model: str) -> None:
    with chat(model, rows=60) as terminal:
        terminal.wait_for(READY)
        for title in ("Of capitals", "Of cats", "Capitals"):
            terminal.send("/new")
            ask(terminal, f"about {title}", f"You said: about {title}")
            terminal.send(f"/title {title}")
            terminal.wait_for(f"title: {title}")
        terminal.send("/open of ca")
        terminal.wait_for("2 titles have these words: 2, 1")
        terminal.send("/open dogs")
        terminal.wait_for("no title has these words")
        terminal.send("/open capitals")
        terminal.wait_for("3 Capitals")
        terminal.send("/open cats")
        terminal.wait_for("2 Of cats")


def test_what_cannot_be_read_or_written_is_told(model: str, tmp_path: Path) -> None:
    (tmp_path / "photo.JPG").write_bytes(b"\xff\xd8\xff")
    with chat(model, columns=200) as terminal:
        terminal.wait_for(READY)
        terminal.send(f"/save {tmp_path / 'empty.md'}")
        terminal.wait_for("there is nothing yet in this conversation")
        ask(terminal, "hi", "You said: hi")
        terminal.send(f"/file {tmp_path / 'photo.JPG'}")
        terminal.wait_for("photo.JPG is a picture: the model reads text")
        terminal.send(f"/save {tmp_path}")
        terminal.wait_for(f"{tmp_path} is a folder")
    assert not (tmp_path / "empty.md").exists()


def test_the_context_is_made_larger_in_the_middle_of_a_chat(model: str) -> None:
    with chat(model, SCRIPT_N_CTX="300") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "first", "You said: first")
        terminal.send("/set num_ctx 700")
        terminal.wait_for("n_ctx 700")
        ask(terminal, "second", "You said: second")
        terminal.send("/context")
        terminal.wait_for("of 700 tokens")
        terminal.send("/set n_ctx many")
        terminal.wait_for("n_ctx is many, it has to be a whole number")
    with saved() as history:
        first, second = history.turns(1)
        assert second.parent == first.id


def test_the_line_of_figures_can_be_left_out(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.send("/set figures maybe")
        terminal.wait_for("figures is maybe, it has to be on or off")
        terminal.send("/set figures off")
        terminal.wait_for("figures off")
        terminal.send("one")
        terminal.wait_for("You said: one")
        terminal.wait_gone("working")
        assert "tokens/s" not in terminal.scrolled
        terminal.send("/set figures on")
        ask(terminal, "two", "You said: two")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/set parameter num_predict 7", "max_tokens 7"),
        ("/set repeat_last_n=9", "penalty_last_n 9"),
        ("/regen", "there is nothing yet in this conversation"),
        ("/system-prompt Be brief.", "The system message is set."),
        ("/read", "which file?"),
    ],
)
def test_words_of_other_chats_are_understood(model: str, line: str, shown: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        terminal.send(line)
        terminal.wait_for(shown)


def test_a_model_is_no_conversation_to_load(model: str) -> None:
    with chat(model, columns=200) as terminal:
        terminal.wait_for(READY)
        terminal.send(f"/load {model}")
        terminal.wait_for("is no conversation but a model")
        terminal.wait_for("hint: /model ")


def test_what_was_imported_does_not_steer_the_terminal(model: str) -> None:
    title = "\x1b]0;title\x07zebra"
    with saved() as history:
        number = history.create(model=model, title=title)
        history.add_turn(number, parent=None, user=f"q{title}", text=f"a{title}")
    with chat(model) as terminal:
        terminal.wait_for(READY)
        for line, shown in (
            ("/list", "turns  ]0;titlezebra"),
            ("/search zebra", "a]0;titlezebra"),
            ("/open 1", "1 ]0;titlezebra"),
            ("/branches", "* marks the branch in use"),
            ("/context", "of 4096 tokens"),
            ("/delete", "yes or no?"),
        ):
            terminal.send(line)
            terminal.wait_for(shown)
        assert b"\x1b]0;title" not in terminal.written
        assert b"\x07" not in terminal.written
