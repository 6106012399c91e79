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
    split = split_finished(text)
    assert split.finished + split.rest == text
    assert split_finished(text + "\n\nmore").finished.startswith(split.finished)


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
    view.add("".join(f"line {number}\n" for number in range(500)), width=40)
    shown = view.draw_tail(view.tail, width=40, rows=5)
    assert shown.split("\n")[-1] == "line 499"
    assert len(shown.split("\n")) == 5


def test_the_tail_of_code_stays_code() -> None:
    view = AnswerView(plain=False, colors=False)
    view.add("```py\n" + "".join(f"* {number}\n" for number in range(500)), width=40)
    assert view.draw_tail(view.tail, width=40, rows=3).endswith("* 499")


LONG_LIST = "Tips:\n\n" + "".join(
    f"{number}. Tip\n\n   Why\n\n   - because\n\n" for number in range(1, 31)
)
LONG_CODE = "```py\n" + "".join(
    f"def f{number}(x):\n    return x\n\n\n" for number in range(30)
) + "```\n\nDone.\n"  # fmt: skip


@pytest.mark.parametrize(("text", "most"), [(LONG_LIST, 60), (LONG_CODE, 400)])
def test_a_long_list_and_long_code_are_printed_while_they_come(text: str, most: int) -> None:
    view, printed = AnswerView(plain=False, colors=False), 0
    for at in range(len(text)):
        printed += len(view.add(text[at], width=60))
        assert len(view.tail.text) <= most
    assert printed > 100
    whole = to_ansi(text, width=60, colors=False) + "\n"
    assert drawn(text, step=1) == drawn(text, step=50) == whole


PLAIN = "Well - so it is, (perhaps) 3 of 7! 中文也可以，没有空格的很长的一句话。 Yes? - " * 30


@pytest.mark.parametrize("width", [20, 33, 80])
@pytest.mark.parametrize("text", [PLAIN, PLAIN.replace(" ", ""), "word " * 99, "长" * 500])
def test_a_long_paragraph_is_printed_while_it_comes(text: str, width: int) -> None:
    text = text.strip()
    view, printed = AnswerView(plain=False, colors=False), 0
    for at in range(len(text)):
        printed += len(view.add(text[at], width=width))
    assert printed > 0.7 * len(text)
    assert drawn(text, step=1, width=width) == to_ansi(text, width=width, colors=False) + "\n"


def test_a_long_paragraph_with_markup_waits_for_its_end() -> None:
    text = "Some **bold " + "word " * 99 + "text**."
    view = AnswerView(plain=False, colors=True)
    assert "".join(view.add(each, width=40) for each in text) == ""
    assert "**" not in view.finish(width=40)


def test_code_is_not_cut_inside_of_a_string() -> None:
    text = '```py\nx = """\n' + "".join(f"line {n}\n" for n in range(40)) + '"""\n'
    assert split_finished(text + "y\n" * 3).finished.endswith('"""\ny\n')
    assert split_finished(text.removesuffix('"""\n')).finished == ""


def test_plain_text_is_printed_line_by_line() -> None:
    view = AnswerView(plain=True, colors=True)
    assert view.add("# on", width=40) == ""
    assert view.draw_tail(view.tail, width=40, rows=3) == "# on"
    assert view.add("e\ntw", width=40) == "# one\n"
    assert view.finish(width=40) == "tw\n"


def test_the_tail_stands_off_from_what_is_finished() -> None:
    view = AnswerView(plain=False, colors=False)
    before = view.tail
    assert view.add("One.\n\nTw", width=40) == "One.\n"
    assert view.draw_tail(view.tail, width=40, rows=5) == "\nTw"
    assert view.draw_tail(before, width=40, rows=5) == ""
    view.add("o.\n\n- a\n- b", width=40)
    assert view.draw_tail(view.tail, width=40, rows=5) == " • b"
