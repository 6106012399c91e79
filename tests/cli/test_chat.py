"""The chat in a pseudo-terminal, as a user sees it, with a scripted model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sus_local import paths

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from tests.cli.conversing import READY, ask, chat, saved
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.slow


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


def test_what_was_going_on_is_gone_when_it_has_ended(model: str) -> None:
    with chat(model, SCRIPT_LOAD_SECONDS="0.5") as terminal:
        terminal.wait_for("loading tiny")
        terminal.wait_gone("loading tiny")


def test_plain_answers_are_not_drawn(model: str) -> None:
    with chat(model, "--plain") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "markdown", "The end.")
        assert "| 中国 | 北京 |" in terminal.text.replace("  ", " ")
        assert "# Capitals" in terminal.text


def test_the_chat_speaks_chinese(model: str) -> None:
    with chat(model, "--lang", "zh") as terminal:
        terminal.wait_for("/help 显示命令")
        terminal.send("你好")
        terminal.wait_for("KV 缓存")
        terminal.send("/nonsense")
        terminal.wait_for("错误：没有命令 /nonsense")


def test_a_dumb_terminal_gets_plain_lines(model: str) -> None:
    with chat(model, TERM="dumb") as terminal:
        terminal.wait_for(READY)
        ask(terminal, "markdown", "# Capitals")
        terminal.send("/bye")
        assert terminal.wait_end() == 0
