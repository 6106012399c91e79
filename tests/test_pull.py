"""Pulling ready GGUF files with the hub's real client, from a server on the loopback interface."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local import checksums, models, paths
from sus_local import pull as pulling
from sus_local.errors import (
    DiskFullError,
    HubError,
    InvalidModelError,
    ModelNotFoundError,
    OfflineError,
    OutputHeldError,
)
from sus_local.partial import held
from tests.convert.hub_client import client_of, leave_part
from tests.convert.hub_server import HubServer
from tests.pulling import NAME, gguf, pull, serving


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving(tmp_path, monkeypatch) as server:
        yield server


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
    leave_part(paths.models_dir() / name, server.files[name][:150_000], server.sha256(name))
    plan = pulling.plan(NAME)
    assert plan.missing_bytes == len(server.files[name]) - 150_000
    model = pulling.pull(plan)
    assert model.path.read_bytes() == server.files[name]
    assert server.fetched(name)[1:] == [(150_000, len(server.files[name]))]
    assert list(paths.models_dir().glob("*.part*")) == []


def test_models_of_one_name_in_two_folders_stand_side_by_side(server: HubServer) -> None:
    server.files = {"Q4_0/x.gguf": gguf(1), "Q8_0/x.gguf": gguf(2)}
    one, other = pull(f"{NAME}:Q4_0"), pull(f"{NAME}:Q8_0")
    assert (one.name, other.name) == ("x-Q4_0", "x-Q8_0")
    assert one.path.read_bytes() == server.files["Q4_0/x.gguf"]
    assert checksums.verify(other).sha256 == (server.sha256("Q8_0/x.gguf"),)


def test_parts_with_a_suffix_in_capitals_are_found_by_the_store(server: HubServer) -> None:
    server.files = {f"x-Q4_0-0000{part}-of-00002.GGUF": gguf(part) for part in (1, 2)}
    model = pull(NAME)
    assert (model.name, len(model.files), model.is_complete) == ("x-Q4_0", 2, True)


def test_brackets_in_the_name_of_a_split_model(server: HubServer) -> None:
    server.files = {f"x[1]-Q4_0-0000{part}-of-00002.gguf": gguf(part) for part in (1, 2)}
    assert pull(NAME) == models.find("x[1]-Q4_0")


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
    assert len(server.fetched(names[0])) == asked


def test_quantization_that_is_not_there_is_told_with_those_that_are(server: HubServer) -> None:
    with pytest.raises(ModelNotFoundError, match="has no Q5_K_M: Q4_K_M, Q8_0, IQ2_XS") as caught:
        pulling.plan(f"{NAME}:Q5_K_M")
    assert caught.value.names == ["Q4_K_M", "Q8_0", "IQ2_XS"]


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
        held(plan.paths[0]),
        pytest.raises(OutputHeldError, match="another process writes"),
    ):
        pulling.pull(plan)


def test_a_file_system_without_locks_is_written_without(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert pull(NAME).is_complete


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
