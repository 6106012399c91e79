"""``sus-local presets``, and presets where ``chat`` and ``run`` take a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sus_local import presets
from sus_local.backend.fake import Fake
from sus_local.errors import BackendError
from sus_local.llm import LLM
from sus_local.presets import Preset
from tests.cli.calling import call
from tests.cli.conversing import READY, ask, chat, saved


def test_a_preset_is_saved_shown_listed_and_removed(
    capsys: pytest.CaptureFixture[str], model: str
) -> None:
    options = ("--system", "Be brief.", "--temp", "0.3", "--stop", "###", "-c", "512")
    status, _, err = call(capsys, "presets", "save", "brief", model, *options)
    assert (status, err) == (0, f"saved to {presets._path('brief')}\n")
    _, out, _ = call(capsys, "presets", "show", "brief")
    assert out == (
        f"name: brief\nmodel: {model}\nsystem: Be brief.\n"
        'sampling: {"temperature": 0.3, "stop": ["###"]}\nn_ctx: 512\n'
    )
    _, out, _ = call(capsys, "presets", "list", "--json")
    (facts,) = json.loads(out)
    assert facts["name"] == "brief"
    assert facts["sampling"] == {"temperature": 0.3, "stop": ["###"]}
    _, out, _ = call(capsys, "presets", "list")
    heads, row = out.splitlines()
    assert heads.split() == ["name", "model", "settings", "system", "message"]
    assert row.startswith("brief")
    assert "temperature 0.3" in row
    assert row.endswith("Be brief.")
    status, _, err = call(capsys, "presets", "rm", "brief")
    assert status == 2
    assert err.startswith("error: nobody can be asked here: give --yes\n")
    assert call(capsys, "presets", "rm", "brief", "--yes")[0] == 0
    assert call(capsys, "presets", "list") == (0, "", "No preset is saved yet.\n")


def test_what_cannot_be_a_preset_is_refused(
    capsys: pytest.CaptureFixture[str], model: str, isolated_home: Path
) -> None:
    (isolated_home / "models").mkdir()
    (isolated_home / "models" / "SUS-Q4_K_M.gguf").write_bytes(b"GGUF")
    for name in ("demo", "sus", "SUS-Q4_K_M"):
        _, _, err = call(capsys, "presets", "save", name, model)
        assert f"{name} is the name of a model" in err
    assert "there is no model" in call(capsys, "presets", "save", "brief", "nothing")[2]
    assert "temperature is -1" in call(capsys, "presets", "save", "brief", model, "--temp", "-1")[2]
    assert presets.names() == []


def test_a_wrong_preset_is_listed_with_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    presets.save("good", Preset("demo"))
    presets._path("bad").write_text("{}", encoding="utf-8")
    _, out, _ = call(capsys, "presets", "list")
    assert "bad" in out
    assert "cannot be used: it names no model" in out
    status, _, err = call(capsys, "run", "bad", "hi")
    assert status == 1
    assert f"hint: edit {presets._path('bad')}" in err
    assert call(capsys, "presets", "rm", "bad", "--yes")[0] == 0


class Loaded:
    """What ``run`` loads, and what it asks of that."""

    def __init__(self) -> None:
        self.path = Path()
        self.options: dict[str, Any] = {}
        self.prompts: list[str] = []

    def load(self, path: Path, *, on_progress: object, **options: Any) -> LLM:
        self.path, self.options = path, options
        return LLM(Fake(script=self._answer, n_ctx=4096), path=path)

    def _answer(self, prompt: list[int]) -> bytes:
        self.prompts.append(bytes(token - 3 for token in prompt if token >= 3).decode())
        return b"one two"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    made = Loaded()
    monkeypatch.setattr("sus_local.load", made.load)
    return made


def test_run_takes_what_a_preset_sets(
    capsys: pytest.CaptureFixture[str], model: str, loaded: Loaded
) -> None:
    presets.save("brief", Preset(model, "Be brief.", {"max_tokens": 3}, 256))
    assert call(capsys, "run", "brief", "hi")[1] == "one\n"
    assert str(loaded.path) == model
    assert loaded.options["n_ctx"] == 256
    assert loaded.prompts[0].startswith("Be brief.\n\n### Human: hi")


def test_figures_of_an_answer_go_to_standard_error(
    capsys: pytest.CaptureFixture[str], model: str, loaded: Loaded
) -> None:
    assert call(capsys, "run", model, "hi") == (0, "one two\n", "")
    status, out, err = call(capsys, "run", model, "hi", "--stats")
    assert (status, out) == (0, "one two\n")
    assert err.startswith("8 tokens · ")
    assert "KV cache" in err


def test_options_come_before_what_a_preset_sets(
    capsys: pytest.CaptureFixture[str], model: str, loaded: Loaded
) -> None:
    presets.save("brief", Preset(model, "Be brief.", {"max_tokens": 3}, 256))
    _, out, _ = call(capsys, "run", "brief", "hi", "--system", "Be kind.", "-n", "5", "-c", "512")
    assert out == "one t\n"
    assert loaded.options["n_ctx"] == 512
    assert loaded.prompts[0].startswith("Be kind.\n\n### Human: hi")


def test_chat_begins_with_a_preset_and_goes_on_with_its_model(model: str) -> None:
    presets.save("brief", Preset(model, "Be brief.", {"max_tokens": 12}))
    with chat("brief", columns=200) as terminal:
        terminal.wait_for(READY)
        terminal.send("/system")
        terminal.wait_for("system: Be brief.")
        ask(terminal, "hello", "You said: he")
        terminal.wait_for("stopped at the limit of tokens")
    with saved() as history:
        (row,) = history.conversations()
        assert (row.model, row.system) == (model, "Be brief.")


@pytest.mark.parametrize(
    ("kept", "option", "text"),
    [
        ({"json_schema": {"type": "object"}}, "--grammar", 'root ::= "y"'),
        ({"grammar": 'root ::= "y"'}, "--schema", '{"type": "object"}'),
    ],
)
def test_the_rules_of_the_command_line_come_before_other_rules(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    tmp_path: Path,
    kept: dict[str, Any],
    option: str,
    text: str,
) -> None:
    def load(_path: Path, **_: Any) -> LLM:
        raise BackendError("it comes to the model")

    monkeypatch.setattr("sus_local.load", load)
    (tmp_path / "rules").write_text(text)
    presets.save("ruled", Preset(model, sampling=kept))
    for command in (["run", "ruled", "hi"], ["chat", "ruled"]):
        _, _, err = call(capsys, *command, option, str(tmp_path / "rules"))
        assert "exclude each other" not in err
        assert "it comes to the model" in err


def test_one_file_that_cannot_be_read_keeps_nobody_from_the_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    presets.save("good", Preset("demo"))
    presets._path("deep").write_text("[" * 100_000)
    status, out, _ = call(capsys, "presets", "list")
    assert status == 0
    assert "deep" in out
    assert "good" in out


def test_a_preset_does_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    presets.save("red", Preset("de\x07mo", "\x1b[31mred\x07"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for command in (["list"], ["show", "red"]):
        _, out, _ = call(capsys, "presets", *command)
        assert "red" in out
        assert not {"\x1b", "\x07"} & set(out)


def test_a_context_without_tokens_is_told(capsys: pytest.CaptureFixture[str], model: str) -> None:
    status, _, err = call(capsys, "presets", "save", "brief", model, "-c", "0")
    assert status == 1
    assert err.startswith("error: n_ctx is 0, not a positive number\nhint: give a number of tokens")
