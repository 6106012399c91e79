"""``sus-local pull`` with a hub on the loopback interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local import models
from tests.cli import calling
from tests.convert.hub_server import HubServer
from tests.pulling import NAME, Q4, gguf, pull, serving


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def offline(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    for quant in ("Q8_0", "Q4_K_M"):
        pull(f"{NAME}:{quant}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    return calling.call(capsys, "pull", *args)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (NAME, "tiny-llama.Q4_K_M"),
        (f"{NAME}:q8_0", "tiny-llama.Q8_0"),
        (f"{NAME}:tiny-llama.Q8_0.gguf", "tiny-llama.Q8_0"),
    ],
)
@pytest.mark.usefixtures("offline")
def test_offline_a_model_that_is_here_is_named(
    server: HubServer, capsys: pytest.CaptureFixture[str], reference: str, name: str
) -> None:
    assert call(capsys, reference) == (0, f"{models.find(name).path}\n", "")
    status, out, _ = call(capsys, reference, "--json", "--revision", server.commit)
    facts = json.loads(out)
    assert (status, facts["name"], facts["revision"]) == (0, name, server.commit)


@pytest.mark.parametrize("options", [(f"{NAME}:Q2_K",), (NAME, "--revision", "v9"), ("a/b",)])
@pytest.mark.usefixtures("offline")
def test_offline_what_is_not_here_is_told(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    status, out, err = call(capsys, *options)
    assert (status, out) == (1, "")
    assert "HF_HUB_OFFLINE is set\nhint: unset HF_HUB_OFFLINE, then run" in err


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("damage", ["size", "content"])
def test_offline_a_model_that_is_damaged_is_not_named(
    capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    model = models.find("tiny-llama.Q4_K_M")
    if damage == "size":
        model.path.write_bytes(model.path.read_bytes()[:-1])
    else:
        models.write_manifest(model.path, {**model.manifest, "damaged": True})
    assert call(capsys, f"{NAME}:Q4_K_M")[0] == 1


def test_the_list_tells_which_models_lack_parts(
    server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files = {"x-Q4_0-00001-of-00002.gguf": gguf(1), "x-Q8_0.gguf": gguf(2)}
    _, out, _ = call(capsys, NAME, "--list")
    assert [line.split()[1] for line in out.splitlines() if "parts are missing" in line] == [
        "x-Q4_0"
    ]
    _, out, _ = call(capsys, NAME, "--list", "--json")
    assert {each["name"]: each["complete"] for each in json.loads(out)} == {
        "x-Q4_0": False,
        "x-Q8_0": True,
    }


def test_nothing_is_fetched_of_a_model_that_lacks_parts(
    server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x-Q4_0-00002-of-00002.gguf"
    server.files = {name: gguf(1)}
    status, _, err = call(capsys, NAME)
    assert status == 1
    assert "tiny/llama has 1 of the 2 parts of x-Q4_0" in err
    assert server.fetched(name) == []


def test_a_whole_file_name_is_taken(server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, f"{NAME}:{Q4}")
    assert (status, err) == (0, "")
    assert Path(out.strip()).read_bytes() == server.files[Q4]
