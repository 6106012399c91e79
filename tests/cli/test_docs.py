"""docs/cli.md is what the program says of itself."""

from __future__ import annotations

from tools.cli_docs import TARGET, document


def test_the_page_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == document(), "run: python tools/cli_docs.py"


def test_the_page_tells_every_command_of_the_chat() -> None:
    from sus_local.cli.chat.commands import COMMANDS

    page = TARGET.read_text(encoding="utf-8")
    assert all(f"| `{name}" in page for name in COMMANDS)
