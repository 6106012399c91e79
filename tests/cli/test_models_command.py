"""``sus-local models`` and ``sus-local pull``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from sus_local import paths
from sus_local.models import manifest_path, remember_used
from tests.cli.calling import Typed, call, value
from tests.convert.hub_client import client_of, leave_part
from tests.convert.hub_server import HubServer


@pytest.fixture
def tiny(demo_gguf: Path) -> Path:
    """The demo model in the store, as ``Tiny-Q8_0``."""
    path = paths.models_dir() / "Tiny-Q8_0.gguf"
    path.parent.mkdir(parents=True)
    shutil.copyfile(demo_gguf, path)
    manifest = json.loads(manifest_path(demo_gguf).read_text(encoding="utf-8"))
    manifest["files"][0]["name"] = path.name
    manifest_path(path).write_text(json.dumps(manifest), encoding="utf-8")
    return path


def test_list(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "models", "list")
    head, row = out.splitlines()
    assert head.split()[:4] == ["name", "type", "size", "parameters"]
    assert row.split()[:2] == ["Tiny-Q8_0", "Q8_0"]
    (facts,) = value(capsys, "models", "list")
    assert facts["bytes"] == tiny.stat().st_size
    assert facts["architecture"] == "llama"
    assert facts["n_ctx_train"] > 0
    assert facts["checksums"] == "recorded"


def test_list_of_nothing_leads_on(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, "models", "list")
    assert (status, out) == (0, "")
    assert "sus-local demo" in err
    assert value(capsys, "models", "list") == []


def test_a_damaged_file_is_listed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    paths.models_dir().mkdir(parents=True)
    (paths.models_dir() / "bad.gguf").write_bytes(b"GGUF\3\0\0\0")
    _, out, _ = call(capsys, "models", "list")
    assert "damaged" in out
    assert "is damaged" in value(capsys, "models", "list")[0]["problem"]


def test_show_tells_the_provenance(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "models", "show", "tiny")
    for said in ("provenance", "general.architecture", "tensor_types", "sha256", str(tiny)):
        assert said in out
    shown = value(capsys, "models", "show", "tiny:q8_0")
    assert shown["tensor_types"]["Q8_0"] > 0
    assert shown["provenance"]["versions"]["sus-local"]


def test_verify_finds_the_damaged_tensor(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "models", "verify", "tiny")[:2] == (0, "Tiny-Q8_0: as recorded\n")
    assert value(capsys, "models", "list")[0]["checksums"] == "verified"
    content = bytearray(tiny.read_bytes())
    content[-1000] ^= 1
    tiny.write_bytes(content)
    assert value(capsys, "models", "list")[0]["checksums"] == "changed"
    status, _, err = call(capsys, "models", "verify", "--all")
    assert status == 1
    assert "Tiny-Q8_0.gguf is not what was recorded (tensor " in err


def test_verify_goes_on_after_a_damaged_model(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tiny.with_name("Bad.gguf")
    bad.write_bytes(b"GGUF1")
    record = {"name": "x", "bytes": 5, "sha256": "0"}
    manifest_path(bad).write_text(json.dumps({"files": [record]}), encoding="utf-8")
    status, out, err = call(capsys, "models", "verify", "--all")
    assert (status, out) == (1, "Tiny-Q8_0: as recorded\n")
    assert "Bad: Bad.gguf is not what was recorded" in err
    assert "1 of 2 models are not as recorded" in err


def test_show_sends_no_control_character_to_the_terminal(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads(manifest_path(tiny).read_text(encoding="utf-8"))
    manifest["source"] = "\x1b[2Jbad"
    manifest_path(tiny).write_text(json.dumps(manifest), encoding="utf-8")
    _, out, _ = call(capsys, "models", "show", "tiny")
    assert "\x1b" not in out


def test_rm_does_not_guess_which_model_is_meant(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny.with_name("Tiny-Q4_0.gguf")
    shutil.copyfile(tiny, other)
    remember_used(tiny)
    status, _, err = call(capsys, "models", "rm", "-y", "tiny")
    assert status == 1
    assert "2 models are called tiny" in err
    removed = value(capsys, "models", "rm", "-y", "tiny-q4_0", "Tiny-Q4_0")
    assert removed == {"removed": ["Tiny-Q4_0"]}
    assert tiny.exists()
    assert not other.exists()


def test_rm_asks(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, "models", "rm", "tiny")[0] == 2
    assert tiny.exists()
    asked: list[str] = []
    monkeypatch.setattr("sus_local.cli.ask.confirm", asked.append)
    assert call(capsys, "models", "rm", "tiny")[0] == 0
    assert asked[0].startswith(f"Remove {tiny}")
    assert list(paths.models_dir().iterdir()) == []


def test_nothing_is_removed_where_one_of_several_is_to_stay(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny.with_name("Tiny-Q4_0.gguf")
    shutil.copyfile(tiny, other)
    monkeypatch.setattr(sys, "stdin", Typed("y\nn\n"))
    status, _, err = call(capsys, "models", "rm", "tiny-q8_0", "tiny-q4_0")
    assert status == 1
    assert err.endswith("error: not done: the answer was not yes\n")
    assert tiny.exists()
    assert other.exists()


def test_what_was_stopped_is_listed_and_removed(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny.parent
    leave_part(folder / "Big-Q4_0-00002-of-00003.gguf", b"12345", "etag")
    for name in ("half-made.gguf.partial", "half-made.gguf.journal"):
        (folder / name).write_bytes(b"123")
    _, out, err = call(capsys, "models", "list")
    assert len(out.splitlines()) == 2
    assert err == (
        "unfinished: Big-Q4_0, 5 B; its command goes on with it, "
        "or: sus-local models rm Big-Q4_0\n"
        "unfinished: half-made, 3 B; its command goes on with it, "
        "or: sus-local models rm half-made\n"
    )
    removed = value(capsys, "models", "rm", "-y", "big-q4_0", "half-made")
    assert removed == {"removed": ["Big-Q4_0", "half-made"]}
    assert set(folder.iterdir()) == {tiny, manifest_path(tiny)}
    assert call(capsys, "models", "rm", "-y", "half-made")[0] == 1


@pytest.mark.parametrize("name", ["Tiny-Q8_0", "tiny"])
def test_what_was_stopped_is_meant_before_a_model_that_its_name_fits(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sus_local.cli.ask.confirm", asked.append)
    rest = tiny.with_name(f"{name}.gguf.partial")
    rest.write_bytes(b"123")
    assert f"or: sus-local models rm {name}\n" in call(capsys, "models", "list")[2]
    assert call(capsys, "models", "rm", name)[0] == 0
    assert asked == [f"Remove {rest} (3 B)?"]
    assert set(tiny.parent.iterdir()) == {tiny, manifest_path(tiny)}
    assert call(capsys, "models", "rm", name)[0] == 0
    assert not tiny.exists()


def test_rm_asks_with_the_name_of_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sus_local.cli.ask.confirm", asked.append)
    paths.models_dir().mkdir(parents=True)
    parts = [paths.models_dir() / f"a-0000{n}-of-00003.gguf.partial" for n in (1, 2, 3)]
    for part in parts:
        part.write_bytes(b"12")
    assert call(capsys, "models", "rm", "a")[0] == 0
    assert asked == [f"Remove {parts[0]} and 2 more (6 B)?"]


@pytest.mark.parametrize("lock", [".a-00001-of-00002.gguf.lock", "a.gguf.lock"])
def test_what_is_under_way_is_not_removed(capsys: pytest.CaptureFixture[str], lock: str) -> None:
    part = paths.models_dir() / "a-00002-of-00002.gguf"
    leave_part(part, b"12345", "etag")
    with FileLock(part.with_name(lock)):
        status, _, err = call(capsys, "models", "rm", "-y", "a")
    assert status == 1
    assert "another process writes a" in err
    assert part.with_name(f"{part.name}.part").exists()


@pytest.fixture
def hub(demo_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("tiny.Q8_0.gguf", "other.Q8_0.gguf", "tiny.IQ4_XS.gguf"):
        shutil.copyfile(demo_gguf, folder / name)
    with (
        HubServer(folder) as server,
        client_of(server.endpoint, tmp_path / "home", monkeypatch),
    ):
        yield server


def test_pull_then_use(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    facts = value(capsys, "pull", "tiny/llama:IQ4_XS")
    assert facts["repository"] == "tiny/llama"
    assert facts["revision"] == hub.commit
    assert Path(facts["path"]).read_bytes() == hub.files["tiny.IQ4_XS.gguf"]
    assert call(capsys, "models", "verify", "tiny/llama:iq4_xs")[0] == 0
    assert value(capsys, "models", "list")[0]["source"] == "tiny/llama"


def test_pull_lists_what_could_be_meant(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, "pull", "tiny/llama:Q8_0")
    assert (status, out) == (1, "")
    assert "tiny.Q8_0" in err
    assert "other.Q8_0" in err
    assert "fits" in err
    assert "2 models of type Q8_0" in err
    listed = value(capsys, "pull", "tiny/llama", "--list")
    assert {each["name"] for each in listed} == {"tiny.Q8_0", "other.Q8_0", "tiny.IQ4_XS"}
    assert all(each["fits"] for each in listed)
    assert not paths.models_dir().exists()


def test_pull_of_no_such_repository(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "pull", "tiny/none", "--json")
    assert status == 1
    assert json.loads(out)["error"]["type"] == "RepositoryNotFoundError"


def test_the_demo_model_is_shown_and_verified_by_its_short_name(
    demo_gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert value(capsys, "models", "show", "demo")["name"].startswith("sus-local-demo-")
    (verified,) = value(capsys, "models", "verify", "demo")["verified"]
    assert verified["files"] == 1
