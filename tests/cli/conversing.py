"""What tests of the chat share: to open it, to ask, to see what was saved."""

from __future__ import annotations

from sus_local import paths
from sus_local.history import History
from tests.cli.terminal import Terminal

READY = ">>>"


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
