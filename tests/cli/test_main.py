"""The frame of the command line: help, languages, and how every failure is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from sus_local.cli import main, text
from sus_local.errors import ContextOverflowError, HistoryError


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make ``sus-local run`` raise ``error``."""

    def broken(_name: str) -> Path:
        raise error

    monkeypatch.setattr("sus_local.cli.model_name.model_file", broken)
    monkeypatch.setattr("sus_local.cli.run._piped", lambda: None)


def outcome(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    status = main.run(args)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_failure_is_one_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, ContextOverflowError("9 tokens, 8 fit", hint="shorten it", n_ctx=8))
    expected = (1, "", "error: 9 tokens, 8 fit\nhint: shorten it\n")
    assert outcome(capsys, "run", "m", "hi") == expected


def test_a_failure_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, HistoryError("it broke"))
    status, out, err = outcome(capsys, "run", "m", "hi", "--json")
    assert (status, err) == (1, "")
    assert json.loads(out) == {"error": {"type": "HistoryError", "message": "it broke", "hint": ""}}


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (OSError(28, "No space left on device", "/x"), 1, "error: no space left on the device"),
        (MemoryError(), 1, "error: out of memory"),
        (RuntimeError("two\nlines"), 1, "error: internal error: RuntimeError: two lines\nhint: "),
    ],
)
def test_what_else_can_happen(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_with(monkeypatch, error)
    got, out, err = outcome(capsys, "run", "m", "hi")
    assert (got, out) == (status, "")
    assert err.startswith(said)
    assert bool(err) == bool(said)


def test_interruption_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    status, out, _ = outcome(capsys, "run", "m", "hi", "--json")
    assert (status, json.loads(out)["error"]["type"]) == (130, "Interrupted")


def test_a_traceback_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, HistoryError("it broke"))
    monkeypatch.setenv("SUS_LOCAL_DEBUG", "1")
    with pytest.raises(HistoryError):
        main.run(["run", "m", "hi"])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("demoo",), "There is no command 'demoo'. Did you mean demo?"),
        (("run",), "Missing argument 'MODEL'"),
        (("run", "m", "--nonsense"), "No such option"),
        (("chat", "--continue", "--conversation", "1"), "exclude each other"),
        (("demo", "--chat", "--json"), "exclude each other"),
        (("history", "export"), "or --all"),
        (("models", "verify"), "or --all"),
    ],
)
def test_wrong_usage(args: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = outcome(capsys, *args)
    if "--json" in args:
        assert said in json.loads(out)["error"]["message"]
    else:
        assert out == ""
        assert said in err
        assert "--help" in err
    assert status == 2


def test_an_unknown_model_leads_on(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = outcome(capsys, "run", "org/none:Q4_K_M", "hi", "--json")
    error = json.loads(out)["error"]
    assert status == 1
    assert error["type"] == "ModelNotFoundError"
    assert "sus-local pull org/none:Q4_K_M" in error["hint"]


def test_a_sampling_parameter_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(capsys, "run", "m", "hi", "--temp", "-1") == (
        1,
        "",
        "error: temperature is -1.0, it has to be at least 0\n",
    )


def test_no_model_leads_to_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = outcome(capsys, "chat")
    assert status == 1
    assert "no model is installed yet" in err
    assert "sus-local demo --chat" in err


def commands(command: click.Command, *names: str) -> list[tuple[str, ...]]:
    """Every command of the program, by the words that call it."""
    if not isinstance(command, click.Group):
        return [names]
    context = click.Context(command)
    found = [names]
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        found += commands(child, *names, name)
    return found


@pytest.mark.parametrize("names", commands(main.cli), ids=" ".join)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_has_help(
    names: tuple[str, ...], language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = outcome(capsys, "--lang", language, *names, "--help")
    assert status == 0
    usage = {"en": "Usage: ", "zh": "用法："}[language]
    assert out.startswith(usage + " ".join(("sus-local", *names)))
    assert "--lang" in out
    options = {"en": "Options:", "zh": "选项："}[language]
    assert "..." not in out.split(options)[-1]


def test_the_line_of_each_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = outcome(capsys, "--help")
    for lines in main.SECTIONS.values():
        for name, (_, line) in lines.items():
            assert f"  {name} " in out
            assert line.endswith(".")


@pytest.mark.parametrize(
    ("environ", "args", "said"),
    [
        ({"LANG": "zh_CN.UTF-8"}, (), "对话"),
        ({"LANG": "de_DE.UTF-8"}, (), "Talk"),
        ({"LANG": "zh_CN.UTF-8"}, ("--lang", "en"), "Talk"),
        ({}, ("--lang", "zh"), "对话"),
        ({"LC_ALL": "zh_TW", "LANG": "en_US"}, (), "对话"),
    ],
)
def test_the_language_follows_the_locale(
    environ: dict[str, str],
    args: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("LC_ALL")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    _, out, _ = outcome(capsys, *args, "--help")
    assert said in out


def program(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )


def test_the_module_is_the_same_program() -> None:
    assert program("-m", "sus_local", "--version").stdout.startswith("sus-local, version ")
    failed = program("-m", "sus_local", "run", "nothing", "hi", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["error"]["type"] == "ModelNotFoundError"


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")


def in_shell(redirections: str, *args: str) -> subprocess.CompletedProcess[str]:
    """The program as a shell starts it."""
    command = [sys.executable, "-m", "sus_local", *args]
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirections}', "sh", *command],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@POSIX
@pytest.mark.parametrize(
    ("redirections", "args", "status", "out", "err"),
    [
        ("<&-", ("run", "absent", "hi"), 1, "", "error: there is no model absent"),
        ("<&-", ("run", "absent"), 2, "", "error: no prompt"),
        ("<&-", ("models", "rm", "absent"), 1, "", "error: "),
        (">&-", ("history", "list", "--json"), 0, "", ""),
        ("2>&-", ("run", "absent", "hi"), 1, "", ""),
        ("<&- >&- 2>&-", ("run", "absent", "hi", "--json"), 1, "", ""),
    ],
)
def test_closed_standard_streams_are_empty_ones(
    redirections: str, args: tuple[str, ...], status: int, out: str, err: str
) -> None:
    done = in_shell(redirections, *args)
    assert (done.returncode, done.stdout) == (status, out)
    assert done.stderr.startswith(err)
    assert bool(done.stderr) == bool(err)


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@FULL
@pytest.mark.parametrize("args", [("history", "list", "--json"), ("--help",), ("--version",)])
def test_output_that_cannot_be_written_is_a_failure(args: tuple[str, ...]) -> None:
    done = in_shell(">/dev/full", *args)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no space left on the device")
    assert len(done.stderr.splitlines()) == 2


@FULL
def test_a_failure_that_cannot_be_told_as_json_is_told_in_words() -> None:
    done = in_shell(">/dev/full", "run", "absent", "hi", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no model absent\nhint: ")
    assert len(done.stderr.splitlines()) == 2
    assert in_shell("2>/dev/full", "run", "absent", "hi").returncode == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell: str) -> None:
    script = program("-m", "sus_local", "completion", shell).stdout
    assert "_SUS_LOCAL_COMPLETE" in script


def completions(*words: str) -> list[str]:
    line = " ".join(("sus-local", *words))
    done = program(
        "-m", "sus_local", _SUS_LOCAL_COMPLETE="bash_complete", COMP_WORDS=line,
        COMP_CWORD=str(len(words)),
    )  # fmt: skip
    return [each.partition(",")[2] for each in done.stdout.split()]


def test_a_shell_completes_commands_and_models() -> None:
    from sus_local import paths

    paths.models_dir().mkdir()
    (paths.models_dir() / "Tiny-Q8_0.gguf").write_bytes(b"GGUF")
    assert completions("his") == ["history"]
    assert completions("models", "sh") == ["show"]
    assert completions("run", "t") == ["Tiny-Q8_0"]


def text_calls() -> list[Any]:
    """Every text that the command line says through ``t``."""
    import ast

    found: list[Any] = []
    for path in sorted(Path(main.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t":
                first = node.args[0]
                found += [first.value] if isinstance(first, ast.Constant) else []
    return found


def help_texts() -> list[str]:
    import inspect

    found: list[str] = []
    for names in commands(main.cli):
        command: click.Command = main.cli
        for name in names:
            assert isinstance(command, click.Group)
            child = command.get_command(click.Context(command), name)
            assert child is not None
            command = child
        paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
        found += [" ".join(each.split()) for each in paragraphs if "\b" not in each]
        found += [each.help for each in command.params if getattr(each, "help", None)]  # type: ignore[attr-defined]
    return found


def tables() -> list[str]:
    from sus_local.cli.chat.about import KEYS
    from sus_local.cli.chat.commands import COMMANDS

    lines = [line for each in main.SECTIONS.values() for _, line in each.values()]
    return [*main.SECTIONS, *lines, *(c.line for c in COMMANDS.values()), *(x for _, x in KEYS)]


@pytest.mark.parametrize("collect", [text_calls, help_texts, tables])
def test_everything_is_said_in_chinese_too(collect: Callable[[], list[str]]) -> None:
    from sus_local.cli.zh import TEXTS

    assert sorted({each for each in collect() if each not in TEXTS}) == []


def test_translations_have_the_same_values() -> None:
    import string

    from sus_local.cli.zh import TEXTS

    def names(template: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(template) if name}

    assert {key for key, value in TEXTS.items() if names(key) != names(value)} == set()


def test_an_unknown_text_stays_english() -> None:
    text.use("zh")
    assert text.t("no such text {n}", n=1) == "no such text 1"
