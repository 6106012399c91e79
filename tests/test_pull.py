"""Pulling ready GGUF files with the hub's real client, from a server on the loopback interface."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local import checksums, hub, models, paths
from sus_local import pull as pulling
from sus_local.errors import (
    DiskFullError,
    HubError,
    InvalidModelError,
    ModelNotFoundError,
    OfflineError,
    OutputHeldError,
)
from sus_local.hub import HubFile, Repository
from tests.convert.hub_client import client_of
from tests.convert.hub_server import HubServer

NAME = "tiny/llama"


def gguf(seed: int, *, architecture: str = "llama", size: int = 200_000) -> bytes:
    """The beginning of a GGUF file, and noise."""
    key, value = b"general.architecture", architecture.encode()
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    header += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    noise = hashlib.shake_256(bytes([seed])).digest(size)
    return header + noise


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "README.md").write_text("# Tiny")
    for seed, quant in enumerate(("Q4_K_M", "Q8_0", "IQ2_XS")):
        (folder / f"tiny-llama.{quant}.gguf").write_bytes(gguf(seed, size=200_000 + seed))
    (folder / "mmproj-tiny-f16.gguf").write_bytes(gguf(7))
    (folder / "tiny-llama.imatrix.gguf").write_bytes(gguf(8))
    home = tmp_path / "home"
    monkeypatch.setattr(hub, "LONGEST_WAIT_S", 0.0)
    with HubServer(folder) as server, client_of(server.endpoint, home, monkeypatch):
        yield server


def pull(reference: str) -> models.StoredModel:
    return pulling.pull(pulling.plan(reference))


def test_model_is_in_the_store_with_what_verifies_it(server: HubServer) -> None:
    model = pull(f"{NAME}:q8_0")
    assert model.path == paths.models_dir() / "tiny-llama.Q8_0.gguf"
    assert model.path.read_bytes() == server.files[model.path.name]
    assert model.repository == NAME
    assert model.manifest["source"]["revision"] == server.commit
    assert checksums.verify(model).num_files == 1
    assert models.find(f"{NAME}:Q8_0") == models.at_path(model.path)
    assert sorted(p.name for p in paths.models_dir().iterdir()) == [
        "tiny-llama.Q8_0.gguf",
        "tiny-llama.Q8_0.gguf.json",
    ]


def test_plan_tells_the_size_and_fetches_only_the_beginning(server: HubServer) -> None:
    plan = pulling.plan(NAME)
    assert plan.candidate.quant == "Q4_K_M"
    assert plan.missing_bytes == plan.candidate.num_bytes == len(server.files[plan.paths[0].name])
    assert server.fetched(plan.paths[0].name) == [(0, 1 << 16)]
    assert not paths.models_dir().exists()


def test_second_pull_fetches_nothing(server: HubServer) -> None:
    model = pull(NAME)
    asked = len(server.fetched(model.path.name))
    plan = pulling.plan(NAME)
    assert plan.missing_bytes == 0
    assert pulling.pull(plan).manifest["files"] == model.manifest["files"]
    assert len(server.fetched(model.path.name)) == asked


def test_progress_counts_every_byte(server: HubServer) -> None:
    steps: list[int] = []
    plan = pulling.plan(NAME)
    pulling.pull(plan, on_bytes=steps.append)
    assert sum(steps) == plan.missing_bytes


def test_stopped_pull_goes_on(server: HubServer) -> None:
    name = "tiny-llama.Q4_K_M.gguf"
    partial = paths.models_dir() / f"{name}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.files[name][:150_000])
    plan = pulling.plan(NAME)
    assert plan.missing_bytes == len(server.files[name]) - 150_000
    model = pulling.pull(plan)
    assert model.path.read_bytes() == server.files[name]
    assert server.fetched(name)[1:] == [(150_000, len(server.files[name]))]
    assert not partial.exists()


def test_file_without_a_manifest_is_verified_not_fetched(server: HubServer) -> None:
    name = "tiny-llama.Q4_K_M.gguf"
    paths.models_dir().mkdir(parents=True)
    (paths.models_dir() / name).write_bytes(server.files[name])
    assert checksums.verify(pull(NAME)).num_files == 1
    assert server.fetched(name) == []


def test_damaged_file_of_the_right_size_is_fetched_anew(server: HubServer) -> None:
    name = "tiny-llama.Q4_K_M.gguf"
    paths.models_dir().mkdir(parents=True)
    (paths.models_dir() / name).write_bytes(bytes(len(server.files[name])))
    assert pull(NAME).path.read_bytes() == server.files[name]


def test_another_model_of_that_name_is_left_alone(server: HubServer) -> None:
    other = paths.models_dir() / "tiny-llama.Q4_K_M.gguf"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"GGUF other")
    with pytest.raises(OutputHeldError, match="is another model already: 10 bytes"):
        pulling.plan(NAME)
    assert other.read_bytes() == b"GGUF other"


def test_file_in_the_clients_cache_is_not_fetched_again(server: HubServer) -> None:
    from huggingface_hub import hf_hub_download

    name = "tiny-llama.Q4_K_M.gguf"
    cached = Path(hf_hub_download(NAME, name))
    asked = len(server.fetched(name))
    plan = pulling.plan(NAME)
    assert plan.missing_bytes == 0
    model = pulling.pull(plan)
    assert len(server.fetched(name)) == asked
    models.remove(model)
    assert cached.read_bytes() == server.files[name]


def test_parts_of_a_split_file_come_together(server: HubServer) -> None:
    names = [f"Q6_K/big-Q6_K-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for seed, name in enumerate(names):
        server.files[name] = gguf(20 + seed)
    model = pull(f"{NAME}:Q6_K")
    assert model.name == "big-Q6_K"
    assert model.is_complete
    assert [p.read_bytes() for p in model.files] == [server.files[name] for name in names]
    assert checksums.verify(model).num_files == 3


def test_lost_part_is_fetched_again_and_only_that(server: HubServer) -> None:
    names = [f"big-Q6_K-0000{i}-of-00002.gguf" for i in (1, 2)]
    for seed, name in enumerate(names):
        server.files[name] = gguf(20 + seed)
    model = pull(f"{NAME}:Q6_K")
    model.files[1].unlink()
    asked = len(server.fetched(names[0]))
    assert pull(f"{NAME}:Q6_K").is_complete
    assert len(server.fetched(names[0])) == asked + 1, "its beginning alone"


def test_quantization_that_is_not_there_is_told_with_those_that_are(server: HubServer) -> None:
    with pytest.raises(ModelNotFoundError, match="has no Q5_K_M: Q4_K_M, Q8_0, IQ2_XS") as caught:
        pulling.plan(f"{NAME}:Q5_K_M")
    assert caught.value.names == ["Q4_K_M", "Q8_0", "IQ2_XS"]


def test_whole_file_name_picks_a_file(server: HubServer) -> None:
    assert pulling.plan(f"{NAME}:tiny-llama.IQ2_XS").candidate.quant == "IQ2_XS"


def test_repository_of_a_checkpoint_points_to_convert(server: HubServer) -> None:
    server.files = {"model.safetensors": b"", "config.json": b"{}"}
    with pytest.raises(ModelNotFoundError, match="has no GGUF files") as caught:
        pulling.plan(NAME)
    assert caught.value.hint == f"sus-local convert {NAME} -q Q4_K_M"


def test_other_architecture_is_refused_before_it_is_fetched(server: HubServer) -> None:
    name = "tiny-llama.Q4_K_M.gguf"
    server.files[name] = gguf(0, architecture="qwen2moe")
    with pytest.raises(InvalidModelError, match="has the architecture 'qwen2moe'"):
        pulling.plan(NAME)
    assert server.num_sent[name] <= 1 << 16


def test_what_is_no_gguf_is_refused_before_it_is_fetched(server: HubServer) -> None:
    server.files["tiny-llama.Q4_K_M.gguf"] = b"<html>" * 100
    with pytest.raises(InvalidModelError, match="is not a GGUF file"):
        pulling.plan(NAME)


def test_full_disk_is_told_before_anything_is_fetched(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(DiskFullError, match="are needed at") as caught:
        pulling.plan(NAME)
    assert caught.value.free_bytes == 1000


def test_two_pulls_do_not_write_to_one_file(server: HubServer) -> None:
    plan = pulling.plan(NAME)
    with (
        pulling._held(plan.paths[0]),
        pytest.raises(OutputHeldError, match="another process fetches"),
    ):
        pulling.pull(plan)


def test_content_that_stays_damaged_leaves_nothing_under_the_name(server: HubServer) -> None:
    name = "tiny-llama.Q4_K_M.gguf"
    plan = pulling.plan(NAME)
    server.faults.corrupt[name] = 99
    with pytest.raises(HubError, match="another SHA-256"):
        pulling.pull(plan)
    assert list(paths.models_dir().glob("*.gguf*")) == []


def test_unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        client_of("http://127.0.0.1:9", tmp_path, monkeypatch),
        pytest.raises(OfflineError, match="cannot reach"),
    ):
        pulling.plan(NAME)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("a/b", ("a/b", "")),
        ("a/b:Q4_K_M", ("a/b", "Q4_K_M")),
        ("hf.co/a/b:q4_0", ("a/b", "Q4_0")),
        ("https://huggingface.co/a/b-GGUF/", ("a/b-GGUF", "")),
        (" a/b ", ("a/b", "")),
    ],
)
def test_references(reference: str, expected: tuple[str, str]) -> None:
    assert pulling.parse_reference(reference) == expected


@pytest.mark.parametrize("reference", ["", "a", "a/b/c", "a/b:", "a b/c", "https://x.org/a/b"])
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(ModelNotFoundError, match="names no repository"):
        pulling.parse_reference(reference)


def repository(*names: str) -> Repository:
    return Repository("a/b", "main", "0" * 40, {name: HubFile(name, 1) for name in names})


def test_one_model_needs_no_name() -> None:
    assert pulling.choose(repository("x.gguf", "README.md")).name == "x"


def test_several_models_without_a_preferred_one_are_asked_about() -> None:
    with pytest.raises(ModelNotFoundError, match="several models: F16, Q2_K") as caught:
        pulling.choose(repository("x-F16.gguf", "x-Q2_K.gguf"))
    assert caught.value.hint == "sus-local pull a/b:F16"


def test_two_models_of_one_type_are_named_in_full() -> None:
    with pytest.raises(ModelNotFoundError, match="2 models of type Q4_K_M: x-Q4_K_M, y-Q4_K_M"):
        pulling.choose(repository("x-Q4_K_M.gguf", "y-Q4_K_M.gguf"), "Q4_K_M")


@pytest.mark.parametrize("name", ["../../x-Q4_0.gguf", "a\\b-Q4_0.gguf", "C:x-Q4_0.gguf"])
def test_hostile_names_are_no_models(name: str) -> None:
    assert pulling.candidates(repository(name)) == []
