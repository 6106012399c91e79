"""Markdown that grows: what is finished stays as it is, and nothing is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sus_local.cli.chat.answer_view import AnswerView
from sus_local.cli.chat.markdown import split_finished, to_ansi
from tests.cli.scripted import MARKDOWN

PIECES = st.lists(
    st.sampled_from(
        ["para", "\n", "\n\n", "- item", "  - deeper", "1. one", "2. two", "# Head", "```py\n",
         "```", "| a | b |\n|---|---|\n| 1 | 2 |", "> quote", "    code", "***", "中文", "<b>",
         "`x`", " "]
    ),
    max_size=25,
).map("".join)  # fmt: skip


def drawn(text: str, *, step: int, width: int = 60) -> str:
    view = AnswerView(plain=False, colors=False)
    parts = [view.add(text[at : at + step], width=width) for at in range(0, len(text), step)]
    return "".join(parts) + view.finish(width=width)


@given(PIECES)
def test_the_pace_of_the_text_changes_nothing(text: str) -> None:
    def words(shown: str) -> list[str]:
        return re.findall(r"\w+", shown)

    slow, fast = drawn(text, step=1), drawn(text, step=7)
    assert words(slow) == words(fast)


@given(PIECES)
def test_the_cut_loses_nothing_and_is_final(text: str) -> None:
    finished, rest = split_finished(text)
    assert finished + rest == text
    assert split_finished(text + "\n\nmore")[0].startswith(finished)


def test_a_document_looks_the_same_at_any_pace() -> None:
    assert drawn(MARKDOWN, step=1) == drawn(MARKDOWN, step=1000)
    assert drawn(MARKDOWN, step=1) == to_ansi(MARKDOWN, width=60, colors=False) + "\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the <div> tag & <br>", "the <div> tag & <br>"),
        ("<think>\nso\n</think>", "<think>\nso\n</think>"),
        ("one\ntwo", "one\ntwo"),
        ("3. three\n4. four", " 3. three\n 4. four"),
        ("# Title", "Title"),
        ("```\na\n\n\nb\n```", "a\n\n\nb"),
        ("x < y", "x < y"),
        ("", ""),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert to_ansi(text, width=40, colors=False) == shown


@pytest.mark.parametrize(
    "text",
    ["长" * 200, "word " * 80, "x" * 300, f"| a | b |\n|---|---|\n| {'长' * 60} | {'y' * 90} |",
     f"- {'长' * 90}", f"```\n{'z' * 200}\n```"],
)  # fmt: skip
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(text: str) -> None:
    shown = to_ansi(text, width=40, colors=False)
    assert all(cell_len(line) <= 40 for line in shown.split("\n"))
    for character in "长xyz":
        assert shown.count(character) == text.count(character)


def test_the_tail_shows_its_end() -> None:
    view = AnswerView(plain=False, colors=False)
    view.add("".join(f"- {number}\n" for number in range(500)), width=40)
    shown = view.draw_tail(view.tail, width=40, rows=5)
    assert shown.split("\n")[-1] == " • 499"
    assert len(shown.split("\n")) == 5


def test_the_tail_of_code_stays_code() -> None:
    view = AnswerView(plain=False, colors=False)
    view.add("```py\n" + "".join(f"* {number}\n" for number in range(500)), width=40)
    assert view.draw_tail(view.tail, width=40, rows=3).endswith("* 499")


def test_plain_text_is_printed_line_by_line() -> None:
    view = AnswerView(plain=True, colors=True)
    assert view.add("# on", width=40) == ""
    assert view.draw_tail(view.tail, width=40, rows=3) == "# on"
    assert view.add("e\ntw", width=40) == "# one\n"
    assert view.finish(width=40) == "tw\n"
