"""Presets: kept under a name, found again, and what a file can have wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local import presets
from sus_local.errors import PresetError
from sus_local.presets import Preset

BRIEF = Preset("demo", "Be brief.", {"temperature": 0.3, "stop": ("\n",)}, 4096)


def test_a_preset_is_found_as_it_was_saved(isolated_home: Path) -> None:
    path = presets.save("简短.v2", BRIEF)
    assert path == isolated_home / "presets" / "简短.v2.json"
    found = presets.find("简短.v2")
    assert (found.model, found.system, found.n_ctx) == ("demo", "Be brief.", 4096)
    assert found.sampling == {"temperature": 0.3, "stop": ["\n"]}
    assert found.loading == {"n_ctx": 4096}
    assert presets.names() == ["简短.v2"]


def test_what_is_not_set_is_not_written() -> None:
    path = presets.save("plain", Preset("demo"))
    assert path.read_text(encoding="utf-8") == '{\n "model": "demo"\n}\n'
    assert presets.find("plain") == Preset("demo")
    assert presets.find("plain").loading == {}


def test_saving_again_writes_over() -> None:
    presets.save("brief", BRIEF)
    presets.save("brief", Preset("demo"))
    assert presets.find("brief").system is None


def test_a_removed_preset_is_gone() -> None:
    presets.save("brief", BRIEF)
    presets.remove("brief")
    assert not presets.exists("brief")
    with pytest.raises(PresetError, match="there is no preset 'brief'"):
        presets.remove("brief")


def test_who_asks_for_another_one_is_told_which_there_are() -> None:
    with pytest.raises(PresetError) as none:
        presets.find("brief")
    presets.save("short", BRIEF)
    with pytest.raises(PresetError) as another:
        presets.find("brief")
    assert (none.value.hint, another.value.hint) == (
        "in a chat: /preset save NAME",
        "there are short",
    )


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "two words", "save", "rm", "a\n"])
def test_a_name_that_is_no_file_name_is_refused(isolated_home: Path, name: str) -> None:
    with pytest.raises(PresetError, match="cannot have the name"):
        presets.save(name, BRIEF)
    assert not presets.exists(name)
    assert not (isolated_home / "presets").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is no JSON: "),
        ("[]", "it is no JSON object"),
        pytest.param("[" * 100_000, "it is no JSON: ", id="deep"),
        ('{"model": "demo", "n_ctx": 0}', "n_ctx is 0, not a positive number"),
        ("{}", "it names no model"),
        ('{"model": ""}', "it names no model"),
        ('{"model": 7}', "model is 7"),
        ('{"model": "demo", "n_ctx": true}', "n_ctx is True"),
        ('{"model": "demo", "n_ctx": "4096"}', "n_ctx is '4096'"),
        ('{"model": "demo", "template": "x"}', "it has 'template', a preset has model, system"),
        ('{"model": "demo", "sampling": {"temperature": -1}}', "temperature is -1"),
        ('{"model": "demo", "sampling": {"heat": 1}}', "heat"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(isolated_home: Path, text: str, why: str) -> None:
    path = isolated_home / "presets" / "brief.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PresetError, match="the preset brief cannot be used: ") as caught:
        presets.find("brief")
    assert why in caught.value.message
    assert caught.value.hint == f"edit {path}"


def test_a_context_without_tokens_is_refused(isolated_home: Path) -> None:
    for n_ctx in (0, -5):
        with pytest.raises(PresetError, match=f"n_ctx is {n_ctx}, not a positive number"):
            presets.save("brief", Preset("demo", n_ctx=n_ctx))
    assert not presets.exists("brief")


def test_a_byte_order_mark_is_no_mistake(isolated_home: Path) -> None:
    path = presets.save("brief", BRIEF)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert presets.find("brief").system == "Be brief."
