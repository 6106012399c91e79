"""What a reader of the terminal gets: whole frames, and no leftovers when the window changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from tests.cli.terminal import BEGIN, END, SCRIPTED, Terminal

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_frame_is_whole(model: str) -> None:
    with Terminal(["chat", model], env={"SCRIPT_DELAY": "0.004"}) as terminal:
        terminal.wait_for(">>>")
        terminal.send("markdown")
        terminal.wait_for("tokens/s")
        terminal.wait_gone("working")
    assert len(terminal.frames) > 20
    first = next(at for at, frame in enumerate(terminal.frames) if ">>>" in frame)
    for frame in terminal.frames[first:]:
        assert frame.split("\n")[-1].startswith(">>>"), frame
    outside = re.sub(re.escape(BEGIN) + b".*?" + re.escape(END), b"", terminal.written, flags=re.S)
    assert b">>>" not in outside
    assert BEGIN not in outside


ONE_ROW = 16
"""The most words in a row of the widest window."""

SHELL = ["sh", "-c", '"$@"; :', "sh"]
"""Runs a command; what tmux started itself, it would not let stand still."""


class Tmux:
    """The chat below a shell in tmux, which breaks lines anew; a context manager."""

    def __init__(self, shell: Sequence[str], model: str, home: Path, **env: str) -> None:
        self._name = f"sus-local-{os.getpid()}-{home.parent.name}"
        variables = {**os.environ, "SUS_LOCAL_HOME": str(home), "LC_ALL": "C.UTF-8", **env}
        variables["PYTHONPATH"] = str(ROOT)
        start = ["new-session", "-d", "-x", "100", "-y", "30"]
        self.command = [sys.executable, str(SCRIPTED), "chat", model]
        self._tmux(*start, *shell, *self.command * (shell == SHELL), env=variables)

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-f", os.devnull, "-L", self._name, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return done.stdout

    @property
    def text(self) -> str:
        """What was ever shown, and is not taken away."""
        whole = self._tmux("capture-pane", "-p", "-S", "-")
        return "\n".join(line.rstrip() for line in whole.split("\n")).rstrip()

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, columns: int) -> None:
        """Change the window while the program stands still, that it draws nothing meanwhile."""
        shell = psutil.Process(int(self._tmux("display", "-p", "#{pane_pid}")))
        (program,) = shell.children()
        program.suspend()
        try:
            self._wait_until_still()
            self._tmux("resize-window", "-x", str(columns))
            terminal = os.open(self._tmux("display", "-p", "#{pane_tty}").strip(), os.O_RDONLY)
            self.wait(lambda _: os.get_terminal_size(terminal).columns == columns)
            os.close(terminal)
        finally:
            program.resume()

    def _wait_until_still(self) -> None:
        """What the program wrote before may still be on its way through tmux."""
        seen = [self.text]
        while len(seen) < 20 or len(set(seen[-20:])) > 1:
            seen.append(self.text)

    def wait(self, condition: Callable[[str], bool]) -> None:
        end = time.monotonic() + 60
        while not condition(self.text):
            assert time.monotonic() < end, self.text
            time.sleep(0.05)


@pytest.fixture
def tmux(model: str, tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    with Tmux(SHELL, model, tmp_path / "home", SCRIPT_DELAY="0.003") as opened:
        opened.wait(lambda text: ">>>" in text)
        yield opened


def words(text: str) -> list[int]:
    """The numbers of the words of the long answer, in their order, whole ones only."""
    return [int(number) for number in re.findall(r"\bword(\d+)(?= )", text)]


def test_a_window_that_changes_in_an_answer_keeps_nothing_old(tmux: Tmux) -> None:
    # Where the prompt stands high, tmux moves what is above it out of reach.
    tmux.type("lines", "Enter")
    tmux.wait(lambda text: "tokens/s" in text)
    # With markup, a paragraph is not printed before its end: all of it stays in the drawing.
    tmux.type("paragraph", "Enter")
    for columns in (60, 45, 90, 50):
        last = words(tmux.text)[-1:]
        tmux.wait(lambda text, last=last: (words(text)[-1:] or [0])[0] > (last or [0])[0] + 40)
        tmux.resize(columns)
    tmux.type("C-c")
    tmux.wait(lambda text: "stopped by you" in " ".join(text.split()))
    text = tmux.text
    assert "working" not in text
    assert text.count(">>>") == 3
    assert text.split("\n")[-1] == ">>>"
    # A frame that is being made at the very moment may leave a row; a whole one has six and more.
    shown = words(text)
    assert len(shown) - len(set(shown)) <= 2 * ONE_ROW


def test_ctrl_z_goes_to_the_shell_and_fg_comes_back(model: str, tmp_path: Path) -> None:
    if shutil.which("tmux") is None or shutil.which("bash") is None:
        pytest.skip("needs tmux and bash")
    shell = ["bash", "--norc", "-i"]
    with Tmux(shell, model, tmp_path / "home", SCRIPT_DELAY="0.003") as tmux:
        tmux.type(" ".join(tmux.command), "Enter")
        tmux.wait(lambda text: ">>>" in text)
        tmux.type("long", "Enter")
        tmux.wait(lambda text: len(words(text)) > 20)
        tmux.type("C-z")
        tmux.wait(lambda text: "Stopped" in text)
        tmux.type("fg", "Enter")
        tmux.wait(lambda text: len(words(text)) > 40)
        tmux.type("C-c")
        tmux.wait(lambda text: "stopped by you" in " ".join(text.split()))
