"""The chat without a screen: what comes in a pipe, and where nothing but plain lines can be."""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sus_local.cli import main
from tests.cli import scripted
from tests.cli.conversing import saved

Talk = Callable[..., tuple[int, str, str]]


class Typed(io.StringIO):
    """Standard input: a pipe, or a terminal."""

    def __init__(self, text: str, *, terminal: bool) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str) -> Talk:
    """Hold a chat with these lines; gives its exit status and what it wrote."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("SCRIPT_LOAD_SECONDS", "0")
    monkeypatch.setattr("sus_local.load", scripted.load)

    def held(*lines: str, args: Any = (model,), terminal: bool = False) -> tuple[int, str, str]:
        text = "".join(f"{line}\n" for line in lines)
        monkeypatch.setattr(sys, "stdin", Typed(text, terminal=terminal))
        status = main.run(["chat", *args])
        return (status, *capsys.readouterr())

    return held


def asked() -> list[tuple[int | None, str]]:
    """What was asked in the first conversation, and after which turn."""
    with saved() as history:
        return [(turn.parent, turn.user) for turn in history.turns(1)]


def test_every_line_gets_its_answer(talk: Talk) -> None:
    status, out, _ = talk("one", "", "two")
    assert (status, out) == (0, "You said: one\nYou said: two\n")
    assert asked() == [(None, "one"), (1, "two")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (('"""one', "", 'two"""'), "one\n\ntwo"),
        (("one \\", "two\\", "three"), "one \ntwo\nthree"),
        (('"""exit"""',), "exit"),
        (('"""/new"""',), "/new"),
        (('"""never ended',), '"""never ended'),
    ],
)
def test_lines_that_belong_together_are_one_message(
    talk: Talk, lines: tuple[str, ...], message: str
) -> None:
    assert talk(*lines)[0] == 0
    assert asked() == [(None, message)]


@pytest.mark.parametrize("lines", [("/nonsense", "one"), ("one", "x" * 5000), ("/load no.json",)])
def test_a_line_that_fails_is_told_by_the_exit_status(talk: Talk, lines: tuple[str, ...]) -> None:
    status, _, err = talk(*lines)
    assert status == 1
    assert err.count("error: ") == 1


def test_who_sees_what_fails_leaves_as_always(talk: Talk) -> None:
    assert talk("/nonsense", "exit", terminal=True)[0] == 0


def test_nothing_is_asked_without_the_file_that_goes_with_it(talk: Talk, model: str) -> None:
    status, out, err = talk("Summarise", args=(model, "-f", "/none/such.txt"))
    assert (status, out) == (1, "")
    assert "no such file" in err


class Broken(io.StringIO):
    """Standard output that takes no more after the first text."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, text: str) -> int:
        if self.getvalue():
            raise OSError(self._number, "cannot")
        return super().write(text)


@pytest.mark.parametrize(("number", "status"), [(errno.EPIPE, 141), (errno.ENOSPC, 1)])
def test_an_answer_that_nobody_takes_ends_the_chat_and_is_kept(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(number))
    found, _, err = talk("one", "two")
    assert found == status
    assert ("error: no space left" in err) == (number == errno.ENOSPC)
    assert [user for _, user in asked()] == ["one"]
    with saved() as history:
        assert history.turns(1)[0].finish_reason is not None


@pytest.mark.parametrize(("answer", "there"), [("no", True), ("", True), ("yes", False)])
def test_who_is_at_the_terminal_is_asked_before_something_is_lost(
    talk: Talk, answer: str, there: bool
) -> None:
    _, _, err = talk("one", "/delete", answer, "exit", terminal=True)
    assert "Delete conversation 1, 'one'? [y/N]" in err
    assert ("Not done." in err) == there
    with saved() as history:
        assert bool(history.conversations()) == there


@pytest.mark.parametrize(("terminal", "kept"), [(True, True), (False, False)])
def test_a_file_is_written_over_only_after_asking(
    talk: Talk, tmp_path: Path, terminal: bool, kept: bool
) -> None:
    path = tmp_path / "notes.md"
    path.write_text("precious")
    talk("one", f"/save {path}", "no", "exit", terminal=terminal)
    assert (path.read_text() == "precious") == kept


@pytest.mark.parametrize("place", ["stdout", "stderr"])
def test_nothing_steers_a_terminal(talk: Talk, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, err = talk("steer", "/title \x1b]0;t\x07", "/list", "/branches", "/context", "/open 1")
    written = {"stdout": out, "stderr": err}[place]
    assert "title" in written
    assert not {"\x1b", "\x07"} & set(written)


def test_an_answer_in_a_file_is_as_it_is(talk: Talk) -> None:
    assert "\x1b[2J" in talk("steer")[1]


EDITED = [(None, "one"), (1, "two")]


@pytest.mark.parametrize(
    ("lines", "turns"),
    [
        (("/edit", "", "three"), [*EDITED, (2, "three")]),
        (("/edit", "three"), [*EDITED, (1, "three")]),
        (("/edit", "x" * 5000, "three"), [*EDITED, (1, "three")]),
        (("/edit", "/set temp 1", "three"), [*EDITED, (1, "three")]),
        (("/edit", "/set n_ctx 700", "three"), [*EDITED, (1, "three")]),
        (("/edit", "/new", "three"), EDITED),
        (("/edit", "/undo", "three"), [*EDITED, (1, "three")]),
        (("/edit", "/branches 1", "three"), [*EDITED, (2, "three")]),
        (("/edit", "/open 1", "three"), [*EDITED, (2, "three")]),
        (("/edit", "/delete", "three"), [(None, "three")]),
    ],
)
def test_a_question_that_was_to_be_changed(
    talk: Talk, lines: tuple[str, ...], turns: list[tuple[int | None, str]]
) -> None:
    talk("one", "two", *lines)
    with saved() as history:
        *_, first = history.conversations()
        assert [(turn.parent, turn.user) for turn in history.turns(first.id)] == [
            (None if parent is None else parent, user) for parent, user in turns
        ]


def test_a_path_begins_a_message_and_no_command(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("")
    talk(f"{tmp_path}/hosts \\", "127.0.0.1", f"{tmp_path}/none")
    assert [user for _, user in asked()] == [f"{tmp_path}/hosts \n127.0.0.1"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/set stop a=b", "stop 'a=b'"),
        ("/set stop=a=b", "stop 'a=b'"),
        ("/set seed = 3", "seed 3"),
        ("/set parameter seed 3", "seed 3"),
        ("/set seed", "seed (default)"),
        ("/set =", "there is no parameter"),
    ],
)
def test_a_parameter_and_its_value(talk: Talk, line: str, shown: str) -> None:
    assert shown in talk(line)[2]


def test_the_system_message_of_the_command_line_is_that_of_every_new_conversation(
    talk: Talk, model: str
) -> None:
    talk("one")
    _, _, err = talk("/open 1", "/system", "/new", "/system", args=(model, "--system", "Be brief."))
    assert err.index("no system message") < err.index("system: Be brief.")


@pytest.mark.parametrize("lines", [("[{}]", "turns"), ("[]", "it is an empty list")])
def test_a_file_without_a_conversation_is_told(
    talk: Talk, tmp_path: Path, lines: tuple[str, str]
) -> None:
    path = tmp_path / "some.json"
    path.write_text(lines[0])
    assert "some.json holds no conversation" in talk(f"/load {path}")[2]


def test_a_file_with_several_conversations_is_not_taken_for_its_first(
    talk: Talk, tmp_path: Path
) -> None:
    path = tmp_path / "two talks.json"
    talk("one", "/new", "two")
    assert main.run(["history", "export", "--all", "-o", str(path)]) == 0
    status, _, err = talk(f"/load {path}")
    assert status == 1
    assert "two talks.json holds 2 conversations\nhint: sus-local history import" in err
    assert shlex.split(err.rpartition("hint: ")[2])[3:] == [str(path)]


def test_a_conversation_that_cannot_be_opened_ends_the_chat(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    talk("one")
    monkeypatch.setattr("sus_local.cli.chat.session.Session.open", fail)
    status, out, err = talk("two", args=("--continue",))
    assert (status, out) == (1, "")
    assert "input/output error" in err
    assert asked() == [(None, "one")]


def test_the_model_of_a_conversation_that_is_gone_is_named(
    talk: Talk, model: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    Path(model).rename(other)
    talk("one", args=(str(other),))
    other.rename(tmp_path / "third.gguf")
    status, _, err = talk(args=("--continue",))
    assert status == 1
    assert str(other) in err
    talk("hi", args=(str(tmp_path / "third.gguf"),))
    status, out, err = talk("two", args=("--conversation", "1"))
    assert (status, out) == (0, "You said: two\n")
    assert "The conversation's model, other, is not here: third goes on with it." in err


def test_a_model_that_cannot_be_loaded_is_not_the_one_used_last(
    talk: Talk, model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sus_local.errors import ModelLoadError

    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF")

    def load(path: Path, **options: Any) -> Any:
        if path == damaged:
            raise ModelLoadError("it is damaged")
        return scripted.load(path, **options)

    monkeypatch.setattr("sus_local.load", load)
    talk("one")
    assert talk("two", args=(str(damaged),))[0] == 1
    assert talk("three", args=())[:2] == (0, "You said: three\n")


def test_what_is_no_file_goes_with_no_question(talk: Talk, tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no such files here")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        status, _, err = talk(f"/file {path}")
        assert status == 1
        assert f"{path.name} is not a text file" in err


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="a shell of POSIX")
@pytest.mark.parametrize(("content", "told"), [(b"text", "(4 tokens) goes"), (b"x" * 9, "has 9")])
def test_what_another_command_writes_goes_with_the_question(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    monkeypatch.setattr("sus_local.cli.chat.files.LARGEST_FILE_BYTES", 8)
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    assert told in talk(f"/file /dev/fd/{reader}")[2]
    os.close(reader)
