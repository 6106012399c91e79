"""What the screen of a chat prints after its application has ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sus_local.cli.chat.screen import Screen


@pytest.mark.skipif(sys.platform == "win32", reason="needs a console there")
@pytest.mark.parametrize("ended", [True, False])
def test_what_came_of_an_answer_is_printed_once_though_it_did_not_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ended: bool
) -> None:
    screen = Screen(plain=True, input_history=tmp_path / "input")
    screen.begin_answer()
    screen.add_text("one\nhalf a li")
    if ended:
        screen.end_answer()
    screen._print_rest()
    assert capsys.readouterr().out == "one\r\nhalf a li\r\n"
