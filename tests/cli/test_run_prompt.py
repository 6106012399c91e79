"""What ``sus-local run`` sends to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sus_local import presets
from sus_local.backend.fake import Fake
from sus_local.cli import main
from sus_local.llm import LLM


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What came to the model."""
    found: list[str] = []

    def answer(prompt: list[int]) -> bytes:
        found.append(bytes(token - 3 for token in prompt if token >= 3).decode())
        return b"Yes."

    def load(path: Path, **_: Any) -> LLM:
        return LLM(Fake(script=answer, n_ctx=4096), path=path)

    monkeypatch.setattr("sus_local.load", load)
    monkeypatch.setattr("sus_local.cli.run._piped", lambda: None)
    return found


@pytest.mark.parametrize("piped", [None, ""])
@pytest.mark.parametrize("arguments", [[], [""]])
def test_nothing_to_ask_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prompts: list[str],
    model: str,
    piped: str | None,
    arguments: list[str],
) -> None:
    monkeypatch.setattr("sus_local.cli.run._piped", lambda: piped)
    assert main.run(["run", model, *arguments]) == 2
    assert "no prompt: give one, or pipe one in" in capsys.readouterr().err
    assert prompts == []


def test_a_raw_prompt_has_no_place_for_a_system_message(
    capsys: pytest.CaptureFixture[str], prompts: list[str], model: str
) -> None:
    assert main.run(["run", model, "hi", "--template", "raw", "--system", "Be brief."]) == 2
    assert "--system and --template raw exclude each other" in capsys.readouterr().err
    assert prompts == []


def test_an_empty_system_message_is_none(
    capsys: pytest.CaptureFixture[str], prompts: list[str], model: str
) -> None:
    presets.save("brief", presets.Preset(model, "Be brief."))
    for name in (model, "brief"):
        assert main.run(["run", name, "hi", "--system", ""]) == 0
    assert set(prompts) == {"### Human: hi\n\n### Assistant: "}
