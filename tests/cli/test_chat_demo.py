"""The chat on the demo model: what a user of the real thing gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sus_local import paths
from sus_local.history import History
from sus_local.saved import SavedTurn

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from tests.cli.terminal import Terminal

pytestmark = pytest.mark.model

LONG_QUESTION = "Please remember that my name is Otto. " * 20


def turns() -> list[SavedTurn]:
    with History(paths.history_path()) as history:
        return history.turns(1)


def ask(terminal: Terminal, line: str) -> None:
    before = terminal.scrolled.count("tokens/s")
    terminal.send(line)
    terminal.wait_until(lambda: terminal.scrolled.count("tokens/s") > before, "the answer")


def open_chat(*args: str) -> Terminal:
    return Terminal(["chat", *args, "--temp", "0"], scripted=False, columns=100)


def test_after_a_kill_only_new_tokens_are_computed(demo_gguf: Path) -> None:
    with open_chat(str(demo_gguf)) as terminal:
        terminal.wait_for(">>>")
        ask(terminal, LONG_QUESTION)
        ask(terminal, "What is the capital of China?")
        terminal.wait_gone("working")
        terminal.kill()
    with open_chat("--continue") as terminal:
        terminal.wait_for("What is the capital of China?")
        ask(terminal, "And of France?")
    first, second, third = turns()
    past = sum(len(turn.prompt_token_ids) + len(turn.token_ids) for turn in (first, second))
    assert third.usage["prompt_tokens"] == past + len(third.prompt_token_ids)
    new = third.usage["prompt_tokens"] - third.usage["cached_tokens"]
    # At most the new question and what was in no whole block of the cache yet.
    assert new <= len(third.prompt_token_ids) + 64
    assert third.usage["cached_tokens"] > 0.6 * past


def test_the_model_is_found_again_without_being_named(demo_gguf: Path) -> None:
    with open_chat(str(demo_gguf)) as terminal:
        terminal.wait_for(">>>")
        ask(terminal, "hi")
        terminal.type("\x04")
        assert terminal.wait_end() == 0
    with open_chat() as terminal:
        terminal.wait_for(f"{demo_gguf.stem} · /help")
        ask(terminal, "hi")


def test_a_title_costs_the_conversation_nothing(demo_gguf: Path) -> None:
    with open_chat(str(demo_gguf)) as terminal, History(paths.history_path()) as history:
        terminal.wait_for(">>>")
        ask(terminal, "What is the capital of China?")
        terminal.wait_until(lambda: history.conversation(1).title != "", "the title")
        ask(terminal, "And of France?")
    first, second = turns()
    cached = second.usage["cached_tokens"]
    assert cached >= len(first.prompt_token_ids) + len(first.token_ids) - 1


def test_demo_goes_on_by_hand() -> None:
    with Terminal(["demo", "--chat"], scripted=False) as terminal:
        terminal.wait_for("The capital of China is Beijing.")
        ask(terminal, "And of France?")
        terminal.wait_for("Paris")


def test_the_first_prompt_comes_within_seconds(demo_gguf: Path) -> None:
    seconds = []
    for _ in range(3):
        with open_chat(str(demo_gguf)) as terminal:
            seconds.append(terminal.wait_for(">>>"))
    assert min(seconds) <= 6  # a quarter of one, where nothing else runs
