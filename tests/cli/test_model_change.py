"""A conversation that goes on with another model: whose tokens are whose, and what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sus_local import models, presets
from sus_local.backend.fake import Fake
from sus_local.cli.chat.dialogue import Dialogue
from sus_local.cli.chat.lines import Lines
from sus_local.cli.chat.session import Session
from sus_local.errors import InvalidModelError, ModelLoadError, SusLocalError
from sus_local.history import History
from sus_local.llm import LLM
from sus_local.presets import Preset

ONE, OTHER = Path("one.gguf"), Path("other.gguf")
SAMPLING = {"max_tokens": 8, "seed": 1}
_SUM = 261
"""Of a token of the one model and that of the same byte in the other."""


class Mirrored(Fake):
    """A model of another vocabulary: the same bytes have other tokens."""

    def tokenize(self, text: str) -> list[int]:
        return [_SUM - token_id for token_id in super().tokenize(text)]

    def token_bytes(self, token_id: int) -> bytes:
        return super().token_bytes(_SUM - token_id) if token_id > 2 else b""


class Shelf:
    """The models, each loaded when it is asked for."""

    def __init__(self) -> None:
        self.loaded: list[Path] = []
        self.options: dict[str, Any] = {}
        self.broken: set[Path] = set()
        self.damaged: set[Path] = set()
        self.delay_s = 0.0
        self.in_use: LLM | None = None

    def read_facts(self, path: Path) -> None:
        if path in self.damaged:
            raise InvalidModelError(f"{path} is damaged")

    def load(self, path: Path, *, on_progress: object = None, **options: Any) -> LLM:
        assert self.in_use is None or self.in_use._loop.closed, "two models at once"
        self.loaded.append(path)
        self.options = options
        if path in self.broken:
            raise ModelLoadError(f"{path} is broken")
        n_ctx = options.get("n_ctx") or 4096
        kind: Callable[..., Fake] = Mirrored if path == OTHER else Fake
        made = kind(n_ctx=n_ctx, fingerprint=str(path), end_every=8, delay_s=self.delay_s)
        self.in_use = LLM(made, path=path)
        return self.in_use


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    made = Shelf()
    monkeypatch.setattr("sus_local.load", made.load)
    monkeypatch.setattr("sus_local.offload.gguf_facts.read_facts", made.read_facts)
    yield made
    if made.in_use is not None:
        made.in_use.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.sqlite3") as opened:
        yield opened


def dialogue_with(history: History | None) -> Dialogue:
    ui = Lines()
    session = Session(ui, history, ONE, name="one", loading={}, sampling=SAMPLING)
    session.load()
    return Dialogue(session, ui)


def prompt_of(session: Session) -> str:
    """The past as the model in use reads its own tokens."""
    llm = session.llm
    ids = [
        i for turn in session.conversation.turns for i in (*turn.prompt_token_ids, *turn.token_ids)
    ]
    return llm.detokenize(ids)


def text_of(session: Session) -> str:
    turns = session.conversation.turns
    return "".join(f"### Human: {turn.user}\n\n### Assistant: {turn.text}" for turn in turns)


def test_another_model_reads_the_text_and_not_the_tokens(shelf: Shelf, history: History) -> None:
    dialogue = dialogue_with(history)
    session = dialogue.session
    dialogue.handle("first")
    session.change_model("other", OTHER)
    dialogue.handle("second")
    session.change_model("one", ONE)
    dialogue.handle("third")
    assert [turn.user for turn in session.conversation.turns] == ["first", "second", "third"]
    assert prompt_of(session) == text_of(session)


def test_each_turn_keeps_the_tokens_of_who_wrote_it(shelf: Shelf, history: History) -> None:
    dialogue = dialogue_with(history)
    session = dialogue.session
    dialogue.handle("first")
    (before,) = session.conversation.turns
    session.change_model("other", OTHER)
    dialogue.handle("second")
    first, second = history.turns(1)
    assert (first.model, first.fingerprint) == ("one", "one.gguf")
    assert (second.model, second.fingerprint) == ("other", "other.gguf")
    assert second.parent == first.id
    assert history.conversation(1).model == "other"
    session.change_model("one", ONE)
    again = session.conversation.turns[0]
    assert again.token_ids == before.token_ids
    assert again.prompt_token_ids == before.prompt_token_ids


def test_a_chat_in_memory_goes_on_with_another_model(shelf: Shelf) -> None:
    dialogue = dialogue_with(None)
    session = dialogue.session
    dialogue.handle("first")
    dialogue.handle("/retry")
    (before,) = session.conversation.turns
    session.change_model("other", OTHER)
    assert session.conversation.turns[0].text == before.text
    assert len(session.conversation.tree) == 2
    _, saved = session.snapshot()
    assert [turn.model for turn in saved] == ["one", "one"]
    assert saved[1].token_ids == before.token_ids


def test_what_was_taken_back_stays_taken_back(shelf: Shelf, history: History) -> None:
    dialogue = dialogue_with(history)
    dialogue.handle("first")
    dialogue.handle("/undo")
    dialogue.session.change_model("other", OTHER)
    assert dialogue.session.conversation.turns == ()
    dialogue.handle("second")
    assert [turn.parent for turn in history.turns(1)] == [None, None]


def test_where_the_other_cannot_be_loaded_the_model_comes_back(
    shelf: Shelf, history: History
) -> None:
    dialogue = dialogue_with(history)
    session = dialogue.session
    dialogue.handle("first")
    before = session.conversation.turns
    shelf.broken = {OTHER}
    with pytest.raises(ModelLoadError, match=r"other\.gguf is broken"):
        session.change_model("other", OTHER)
    assert shelf.loaded == [ONE, OTHER, ONE]
    assert (session.name, session.path) == ("one", ONE)
    assert session.conversation.turns == before
    dialogue.handle("second")
    assert [turn.model for turn in history.turns(1)] == ["one", "one"]


@pytest.mark.parametrize("line", ["/model other", "/preset kept", "/set n_ctx 512"])
def test_a_file_that_is_no_model_is_refused_before_the_other_leaves(
    shelf: Shelf, named: None, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    presets.save("kept", Preset("other"))
    dialogue = dialogue_with(None)
    shelf.damaged = {ONE, OTHER}
    dialogue.handle(line)
    assert "is damaged" in capsys.readouterr().err
    assert shelf.loaded == [ONE]


@pytest.mark.parametrize("n_ctx", ["0", "-5"])
def test_a_context_that_cannot_be_is_refused_before_the_model_leaves(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], n_ctx: str
) -> None:
    dialogue = dialogue_with(None)
    dialogue.handle(f"/set n_ctx {n_ctx}")
    assert f"n_ctx is {n_ctx}, it has to be from 1" in capsys.readouterr().err
    assert shelf.loaded == [ONE]


@pytest.mark.parametrize("line", ["/model other", "/preset kept"])
def test_the_model_that_a_chat_goes_on_with_is_the_one_used_last(
    shelf: Shelf, named: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    OTHER.write_bytes(b"GGUF")
    presets.save("kept", Preset("other"))
    dialogue_with(None).handle(line)
    recent = models.last_used()
    assert recent is not None
    assert recent.path == tmp_path / OTHER


def test_a_model_that_cannot_be_loaded_is_not_the_one_used_last(
    shelf: Shelf, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF")
    shelf.broken = {path}
    dialogue = dialogue_with(history)
    dialogue.handle(f"/model {path}")
    assert shelf.loaded == [ONE, path, ONE]
    assert models.last_used() is None


def test_without_any_model_the_chat_still_takes_one(
    shelf: Shelf,
    history: History,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    ONE.write_bytes(b"GGUF")
    dialogue = dialogue_with(history)
    session = dialogue.session
    dialogue.handle("first")
    shelf.broken = {ONE, OTHER}
    with pytest.raises(SusLocalError, match=r"one\.gguf is broken"):
        session.change_model("other", OTHER)
    dialogue.handle("second")
    assert "no model is loaded" in capsys.readouterr().err
    shelf.broken = set()
    dialogue.handle(f"/model {ONE}")
    dialogue.handle("third")
    assert [turn.user for turn in session.conversation.turns] == ["first", "third"]


def test_a_question_without_an_answer_comes_back_with_the_other_model(
    shelf: Shelf, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[str] = []
    monkeypatch.setattr(Lines, "fill", lambda _self, text: filled.append(text))
    shelf.delay_s = 30
    dialogue = dialogue_with(history)
    dialogue.session.send("never answered").cancel()
    assert dialogue.session.last_turn().unanswered
    dialogue.handle("/set n_ctx 700")
    assert filled == ["never answered"]
    assert dialogue.session.conversation.turns == ()


def test_the_options_of_the_start_hold_for_every_model(shelf: Shelf, history: History) -> None:
    dialogue = dialogue_with(history)
    dialogue.handle("/set n_ctx 512")
    assert dialogue.session.conversation.context.n_ctx == 512
    dialogue.session.change_model("other", OTHER)
    assert shelf.options == {"n_ctx": 512}


# Another system message, presets


def test_another_system_message_stands_before_the_same_conversation(
    shelf: Shelf, history: History
) -> None:
    dialogue = dialogue_with(history)
    session = dialogue.session
    dialogue.handle("/system Be brief.")
    dialogue.handle("first")
    dialogue.handle("/system Be kind.")
    dialogue.handle("second")
    assert [turn.user for turn in session.conversation.turns] == ["first", "second"]
    assert prompt_of(session) == "Be kind.\n\n" + text_of(session)
    assert history.conversation(1).system == "Be kind."
    session.open(1)
    assert prompt_of(session) == "Be kind.\n\n" + text_of(session)


def test_another_system_message_holds_for_turns_of_another_model(
    shelf: Shelf, history: History
) -> None:
    dialogue = dialogue_with(history)
    session = dialogue.session
    dialogue.handle("first")
    session.change_model("other", OTHER)
    dialogue.handle("/system Be kind.")
    dialogue.handle("second")
    session.change_model("one", ONE)
    dialogue.handle("/system -")
    dialogue.handle("third")
    assert prompt_of(session) == text_of(session)
    session.change_model("other", OTHER)
    assert prompt_of(session).startswith("### Human: first")
    assert history.conversation(1).system is None


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"one": ("one", ONE), "other": ("other", OTHER)}
    for module in ("model", "preset"):
        monkeypatch.setattr(f"sus_local.cli.chat.{module}.named_model", found.__getitem__)


def test_a_preset_keeps_what_is_in_use_and_brings_it_back(
    shelf: Shelf, history: History, named: None, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = dialogue_with(history)
    session = dialogue.session
    dialogue.handle("/system Be brief.")
    dialogue.handle("/set temperature 0.25")
    dialogue.handle("/preset save brief")
    assert presets.find("brief") == Preset("one", "Be brief.", {**SAMPLING, "temperature": 0.25})
    dialogue.handle("first")
    session.change_model("other", OTHER, n_ctx=512)
    dialogue.handle("/system -")
    dialogue.handle("/set temperature default")
    dialogue.handle("/preset brief")
    assert (session.name, session.llm.n_ctx) == ("one", 4096)
    assert session.sampling == {**SAMPLING, "temperature": 0.25}
    assert [turn.user for turn in session.conversation.turns] == ["first"]
    assert prompt_of(session) == "Be brief.\n\n" + text_of(session)
    assert "brief: one" in capsys.readouterr().err


def test_a_preset_of_the_same_model_loads_nothing(shelf: Shelf, named: None) -> None:
    dialogue = dialogue_with(None)
    presets.save("kind", Preset("one", "Be kind."))
    dialogue.handle("/preset kind")
    assert shelf.loaded == [ONE]
    assert dialogue.session.sampling == {}
    presets.save("long", Preset("one", n_ctx=512))
    dialogue.handle("/preset long")
    assert (shelf.loaded, dialogue.session.llm.n_ctx) == ([ONE, ONE], 512)
    assert dialogue.session.conversation.system is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/preset nothing", "there is no preset 'nothing'"),
        ("/preset rm nothing", "there is no preset 'nothing'"),
        ("/preset save", "which preset?"),
        ("/preset save demo", "demo is the name of a model"),
        ("/preset save a/b", "a preset cannot have the name 'a/b'"),
        ("/preset", "/preset save NAME keeps what is in use"),
    ],
)
def test_a_preset_that_cannot_be_is_told(
    shelf: Shelf, named: None, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    dialogue = dialogue_with(None)
    dialogue.handle(line)
    assert told in capsys.readouterr().err
    assert presets.names() == []


def test_how_far_a_load_is_can_be_seen(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    dialogue = dialogue_with(None)
    assert dialogue.activity == ""
    seen: list[str] = []
    load = shelf.load

    def watched(path: Path, *, on_progress: Callable[[float], None], **options: Any) -> LLM:
        seen.append(dialogue.activity)
        on_progress(0.42)
        seen.append(dialogue.activity)
        return load(path, **options)

    monkeypatch.setattr("sus_local.load", watched)
    dialogue.session.change_model("other", OTHER)
    assert seen == ["loading other …", "loading other … 42%"]
    assert dialogue.activity == ""
