"""``/model`` and ``/show`` on the demo model, in two types."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from sus_local import models, paths

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from tests.cli.conversing import READY, ask, saved
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.model

CHINA, FRANCE = "What is the capital of China?", "And of France?"


@pytest.fixture(scope="module")
def converted(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sus_local.convert import convert

    path = tmp_path_factory.mktemp("other") / "Other-F16.gguf"
    convert(str(demo_checkpoint), types=["F16"], output=path)
    return path


@pytest.fixture
def other(converted: Path) -> Path:
    """The demo model in another type, in the local store."""
    path = paths.models_dir() / converted.name
    path.parent.mkdir(parents=True)
    for each in (path, models.manifest_path(path)):
        os.link(converted.with_name(each.name), each)
    return path


def open_chat(*args: str) -> Terminal:
    return Terminal(["chat", *args, "--temp", "0"], scripted=False, rows=50, columns=160)


def test_a_conversation_goes_on_with_another_model(demo_gguf: Path, other: Path) -> None:
    with open_chat(str(demo_gguf)) as terminal:
        terminal.wait_for(READY)
        ask(terminal, CHINA, "The capital of China is Beijing.")
        terminal.send("/model other")
        terminal.wait_for("Other-F16 · context")
        ask(terminal, FRANCE, "Paris")
        terminal.send("/bye")
        assert terminal.wait_end() == 0
    with saved() as history:
        row, (first, second) = history.conversation(1), history.turns(1)
    assert second.parent == first.id
    assert (Path(first.model).name, second.model) == (demo_gguf.name, "Other-F16")
    assert first.fingerprint != second.fingerprint
    assert row.model == "Other-F16"
    recent = models.last_used()
    assert recent is not None
    assert recent.path == other
    # What the other one answered is not in its own cache, and all of it was read.
    assert second.usage["cached_tokens"] == 0
    assert second.usage["prompt_tokens"] > len(first.prompt_token_ids) + len(first.token_ids)
    with open_chat("--continue") as terminal:
        terminal.wait_for("Other-F16 · /help")
        terminal.wait_for(FRANCE)


@pytest.mark.parametrize("args", [(), ("--no-history",)])
def test_a_chat_that_saves_nothing_leaves_no_kv_blocks(
    demo_gguf: Path, args: tuple[str, ...]
) -> None:
    with open_chat(str(demo_gguf), *args) as terminal:
        terminal.wait_for(READY)
        ask(terminal, CHINA, "The capital of China is Beijing.")
        terminal.send("/set n_ctx 1024")
        terminal.wait_for("n_ctx 1024")
        ask(terminal, FRANCE, "Paris")
        terminal.send("/bye")
        assert terminal.wait_end() == 0
    assert any(paths.kv_dir().rglob("*.kv")) == (args == ())


def test_back_at_the_first_model_its_kv_cache_is_found_again(demo_gguf: Path, other: Path) -> None:
    with open_chat(str(demo_gguf)) as terminal:
        terminal.wait_for(READY)
        ask(terminal, CHINA, "The capital of China is Beijing.")
        terminal.send("/model Other-F16")
        terminal.wait_for("Other-F16 · context")
        terminal.send(f"/model {demo_gguf}")
        terminal.wait_for(f"{demo_gguf.stem} · context")
        ask(terminal, FRANCE, "Paris")
    with saved() as history:
        first, second = history.turns(1)
    past = len(first.prompt_token_ids) + len(first.token_ids)
    assert second.usage["cached_tokens"] >= past - 1


def test_a_model_that_cannot_be_loaded_leaves_the_old_one(
    demo_gguf: Path, other: Path, tmp_path: Path
) -> None:
    cut, foreign = tmp_path / "cut.gguf", tmp_path / "foreign.gguf"
    content = other.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    foreign.write_bytes(content.replace(b"llama", b"gpt-x"))
    with open_chat(str(demo_gguf)) as terminal:
        terminal.wait_for(READY)
        ask(terminal, CHINA, "The capital of China is Beijing.")
        for name, error in (
            (str(cut), "cut.gguf is truncated"),
            (str(foreign), "error: "),
            ("nonsense", "there is no model nonsense"),
        ):
            before = terminal.scrolled.count("error: ")
            terminal.send(f"/model {name}")
            terminal.wait_until(
                lambda before=before: terminal.scrolled.count("error: ") > before, "the error"
            )
            terminal.wait_for(error)
        ask(terminal, FRANCE, "Paris")
        assert terminal.is_running
    with saved() as history:
        first, second = history.turns(1)
    assert second.fingerprint == first.fingerprint
    assert json.loads((paths.data_dir() / "last_model.json").read_text())["path"] == str(demo_gguf)


def test_the_models_are_listed_and_the_one_in_use_is_shown(demo_gguf: Path, other: Path) -> None:
    with open_chat(os.path.relpath(demo_gguf)) as terminal:
        terminal.wait_for(READY)
        terminal.send(f"/model {demo_gguf}")
        terminal.wait_for("is the model in use")
        terminal.send("/model")
        terminal.wait_for("* marks the model in use")
        rows = [line.split()[:3] for line in terminal.text.split("\n")]
        assert ["*", demo_gguf.stem, "Q8_0"] in rows
        assert ["Other-F16", "F16"] in [row[:2] for row in rows]
        assert ["demo"] in rows
        terminal.send("/show")
        terminal.wait_for(f"all of it: sus-local models show {demo_gguf}")
        rows = [line.split()[:2] for line in terminal.text.split("\n")]
        assert ["architecture", "llama"] in rows
        assert ["type", "Q8_0"] in rows


def test_answers_obey_a_schema_that_is_set_in_the_chat(demo_gguf: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["yes", "no"]}')
    with open_chat(str(demo_gguf)) as terminal:
        terminal.wait_for(READY)
        terminal.send("/set schema /none/such.json")
        terminal.wait_for("no such file")
        terminal.send(f"/set schema {schema}")
        terminal.wait_for("schema {'enum'")
        before = terminal.scrolled.count("tokens/s")
        terminal.send(CHINA)
        terminal.wait_until(lambda: terminal.scrolled.count("tokens/s") > before, "the answer")
        terminal.send("/set schema default")
        terminal.wait_for("schema (default)")
        ask(terminal, CHINA, "The capital of China is Beijing.")
    with saved() as history:
        assert json.loads(history.turns(1)[0].text) in ("yes", "no")
