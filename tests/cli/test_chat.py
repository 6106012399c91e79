"""The chat in a pseudo-terminal, as a user sees it, with a scripted model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sus_local import paths
from sus_local.history import History

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from tests.cli.terminal import Terminal

pytestmark = pytest.mark.slow

READY = ">>>"


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return str(path)


def chat(model: str, *args: str, rows: int = 40, columns: int = 80, **env: str) -> Terminal:
    return Terminal(["chat", model, *args], rows=rows, columns=columns, env=env)


def ask(terminal: Terminal, line: str, answer: str) -> None:
    """Send a line; wait until its answer and the quiet line below it are there."""
    before = terminal.scrolled.count("tokens/s")
    terminal.send(line)
    terminal.wait_for(answer)
    terminal.wait_until(
        lambda: terminal.scrolled.count("tokens/s") > before, "the figures of the answer"
    )


def saved() -> History:
    return History(paths.history_path())


def test_markdown_is_drawn_block_by_block(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "markdown", "The end.")
        terminal.wait_gone("working")
        expected = """\
>>> markdown
Capitals

Some bold text,
and a second line.

 • Beijing 北京
 • Paris

country  capital
────────────────
中国     北京
France   Paris

def f(x):
    return x + 1

The end.
"""
        shown = "\n".join(line.rstrip() for line in terminal.scrolled.split("\n"))
        # Wide characters take two cells; pyte shows the second one as nothing.
        assert expected in shown


def test_a_long_answer_is_printed_once_and_whole(model: str) -> None:
    with chat(model, rows=15) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "lines", "line 59")
        for number in range(60):
            assert terminal.scrolled.count(f"• line {number}\n") == 1


def test_the_figures_tell_what_the_cache_saved(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "one", "You said: one")
        ask(terminal, "two", "You said: two")
        # All of the first turn but its end, which the model wrote and never read.
        history = saved()
        second = history.turns(1)[1]
        history.close()
        cached, prompt = second.usage["cached_tokens"], second.usage["prompt_tokens"]
        assert f"KV cache {cached}/{prompt}" in terminal.text
        assert prompt - cached <= len(second.prompt_token_ids) + 1


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


def test_ctrl_c_stops_the_answer_and_keeps_what_came(model: str) -> None:
    with chat(model, SCRIPT_DELAY="0.003") as terminal:
        terminal.wait_for(READY)
        terminal.send("long")
        terminal.wait_for("word30")
        terminal.type("\x03")
        terminal.wait_for("stopped by you")
        terminal.wait_gone("working")
        with saved() as history:
            (turn,) = history.turns(1)
        assert turn.finish_reason == "cancelled"
        assert turn.text.startswith("word0 word1")
        assert "word30" in turn.text
        assert "word1999" not in turn.text
        terminal.type("\x03")
        assert terminal.wait_end() == 0


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


def test_a_resize_keeps_the_prompt_and_the_text(model: str) -> None:
    with chat(model, rows=30, columns=100, SCRIPT_DELAY="0.003") as terminal:
        terminal.wait_for(READY)
        terminal.send("long")
        terminal.wait_for("word30")
        terminal.resize(20, 60)
        terminal.wait_for("word60")
        terminal.type("\x03")
        terminal.wait_for("stopped by you")
        ask(terminal, "still here", "You said: still here")
        terminal.wait_until(
            lambda: terminal.text.split("\n")[-1].startswith(READY), "the prompt at the end"
        )


def test_an_answer_cannot_steer_the_terminal(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "steer", "a[2J]0;titleb")
        assert "/help shows the commands" in terminal.text
        assert terminal.screen.title == ""


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
        terminal.wait_for("A new conversation")
        terminal.send("/system")
        terminal.wait_for("system: Be brief.")
        ask(terminal, "third", "You said: third")
        terminal.send("/search secon")
        terminal.wait_for("You said: second")
        terminal.send("/new")
        terminal.wait_for("A new conversation.")
    with saved() as history:
        second, first = history.conversations()
        assert (first.title, first.num_turns) == ("Of numbers", 4)
        assert first.active == 2
        assert (second.system, second.num_turns) == ("Be brief.", 1)


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


def test_a_title_is_made_in_idle_time(model: str) -> None:
    with chat(model) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "Which capitals?", "You said: Which capitals?")
        with saved() as history:
            terminal.wait_until(
                lambda: history.conversation(1).title == "Two Capitals", "the title"
            )
            assert history.conversation(1).num_turns == 1


def test_a_killed_chat_goes_on_where_it_was(model: str) -> None:
    with chat(model, SCRIPT_DELAY="0.003") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "first", "You said: first")
        terminal.send("long")
        terminal.wait_for("word100")
        terminal.kill()
    with saved() as history:
        _, cut = history.turns(1)
        assert cut.finish_reason is None
        assert "word50 " in cut.text  # which came more than a second before the end
    with Terminal(["chat", model, "--continue"]) as terminal:
        terminal.wait_for("You said: first")
        terminal.wait_for("word0 word1")
        ask(terminal, "go on", "You said: go on")
    with saved() as history:
        *_, last = history.turns(1)
        assert last.parent == cut.id
        assert last.user == "go on"


def test_a_question_without_an_answer_is_offered_again(model: str) -> None:
    with saved() as history:
        conversation = history.create(model=model)
        history.add_turn(conversation, parent=None, user="never answered")
    with Terminal(["chat", "--conversation", "1"]) as terminal:
        terminal.wait_for("This question got no answer")
        terminal.wait_for(">>> never answered")
        ask(terminal, "", "You said: never answered")


def test_two_chats_at_once_share_one_history(model: str) -> None:
    with chat(model) as one, chat(model) as two:
        one.wait_for(READY)
        two.wait_for(READY)
        ask(one, "from one", "You said: from one")
        ask(two, "from two", "You said: from two")
        ask(one, "again", "You said: again")
        two.send("/open 1")
        two.wait_for("You said: again")
        ask(two, "both", "You said: both")
        ask(one, "branch", "You said: branch")
    with saved() as history:
        turns = history.turns(1)
        assert [turn.user for turn in turns] == ["from one", "again", "both", "branch"]
        assert turns[2].parent == turns[3].parent == turns[1].id


def test_a_damaged_history_does_not_stop_the_chat(model: str) -> None:
    path = paths.history_path()
    path.write_bytes(b"garbage, not a database" * 100)
    with chat(model) as terminal:
        terminal.wait_for("the chat goes on in memory only")
        ask(terminal, "hi", "You said: hi")
        terminal.send("/list")
        terminal.wait_for("this chat is only in memory")
        terminal.send("/bye")
        assert terminal.wait_end() == 0
    assert path.read_bytes() == b"garbage, not a database" * 100


def test_turns_leave_a_full_context_with_a_notice(model: str) -> None:
    with chat(model, SCRIPT_N_CTX="400") as terminal:
        terminal.wait_for(READY)
        for number in range(6):
            ask(terminal, f"question number {number}", f"You said: question number {number}")
        terminal.wait_for("The context was full")
        terminal.send("/context")
        terminal.wait_for("cut here")
    assert "The context is nearly full" in terminal.scrolled


def test_a_model_that_cannot_be_loaded_ends_the_chat(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with Terminal(["chat", str(path)], scripted=False) as terminal:
        assert terminal.wait_end() == 1
        assert "error: " in terminal.text
        assert "Traceback" not in terminal.text


def test_plain_answers_are_not_drawn(model: str) -> None:
    with chat(model, "--plain") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "markdown", "The end.")
        assert "| 中国 | 北京 |" in terminal.text.replace("  ", " ")
        assert "# Capitals" in terminal.text


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
        terminal.type(f"/file {tmp_path}/unmis\t")
        terminal.wait_for("unmistakable.txt")


def test_the_editor_writes_the_message(model: str, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "edited text" > "$1"\n')
    editor.chmod(0o755)
    with chat(model, EDITOR=str(editor), VISUAL="") as terminal:
        terminal.wait_for(READY)
        terminal.type("\x18\x05")
        terminal.wait_for(">>> edited text")
        ask(terminal, "", "You said: edited text")


def test_copying_tells_the_terminal(model: str, tmp_path: Path) -> None:
    with chat(model, PATH=str(tmp_path)) as terminal:
        terminal.wait_for(READY)
        ask(terminal, "hi", "You said: hi")
        terminal.send("/copy")
        terminal.wait_for("copied 12 characters")


def test_the_chat_speaks_chinese(model: str) -> None:
    with chat(model, "--lang", "zh") as terminal:
        terminal.wait_for("/help 显示命令")
        terminal.send("你好")
        terminal.wait_for("KV 缓存")
        terminal.send("/nonsense")
        terminal.wait_for("错误：没有命令 /nonsense")


def test_leaving_while_the_model_loads(model: str) -> None:
    with chat(model, SCRIPT_LOAD_SECONDS="30") as terminal:
        terminal.wait_for("loading tiny")
        terminal.type("typed meanwhile")
        terminal.wait_for(">>> typed meanwhile")
        terminal.type("\x03\x04")
        terminal.wait_until(lambda: not terminal.is_running, "the end", seconds=10)


def test_a_dumb_terminal_gets_plain_lines(model: str) -> None:
    with chat(model, TERM="dumb") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "markdown", "# Capitals")
        terminal.send("/bye")
        assert terminal.wait_end() == 0


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
