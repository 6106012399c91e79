"""What the store and the client's cache hold already, when a model is pulled there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sus_local import checksums, models, paths
from sus_local import pull as pulling
from sus_local.errors import (
    DiskFullError,
    HubError,
    InvalidModelError,
    OutputHeldError,
    VerificationError,
)
from tests.convert.hub_client import leave_part
from tests.convert.hub_server import HubServer
from tests.pulling import NAME, Q4, gguf, pull, put, serving


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving(tmp_path, monkeypatch) as server:
        yield server


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


@pytest.mark.parametrize(
    ("size", "manifest", "why"),
    [
        (10, {}, "10 bytes, not the 200070 of tiny/llama"),
        (None, {"files": [{"name": Q4, "sha256": "ab" * 32}]}, "its SHA-256 is abababababab…"),
        (None, {"source": {"repository": "other/repo"}}, "does not come from tiny/llama"),
        (None, {"source": {"label": "/home/me/mine"}}, "does not come from tiny/llama"),
    ],
)
def test_another_model_of_that_name_is_left_alone(
    server: HubServer, size: int | None, manifest: dict[str, object], why: str
) -> None:
    server.files[Q4] = gguf(0, size=200_001)
    content = gguf(99, size=200_001)[:size]
    path = put(content, **manifest)
    with pytest.raises(OutputHeldError, match=f"is another model already: .*{why}") as caught:
        pull(NAME)
    assert caught.value.hint == "move it away, or: sus-local models rm tiny-llama.Q4_K_M"
    assert path.read_bytes() == content


def test_a_model_that_came_after_the_plan_is_left_alone(server: HubServer) -> None:
    plan = pulling.plan(NAME)
    path = put(b"GGUF other")
    with pytest.raises(OutputHeldError, match="already: 10 bytes"):
        pulling.pull(plan)
    assert path.read_bytes() == b"GGUF other"


def test_a_folder_of_that_name_is_told_as_one(server: HubServer) -> None:
    (paths.models_dir() / Q4).mkdir(parents=True)
    with pytest.raises(OutputHeldError, match="already: a folder") as caught:
        pull(NAME)
    assert caught.value.hint == "move it away"


def test_a_file_stays_until_the_new_one_is_whole(server: HubServer) -> None:
    path = put(gguf(99)[: len(server.files[Q4])])
    before = path.read_bytes()
    server.faults.instead[Q4] = (403, b"{}", {})
    with pytest.raises(HubError, match="status 403"):
        pull(NAME)
    assert path.read_bytes() == before


def test_a_file_keeps_its_name_while_it_is_verified(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        assert path.exists()
        raise KeyboardInterrupt

    path = put(server.files[Q4])
    monkeypatch.setattr("sus_local.download.Checksum.read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pull(NAME)
    assert path.read_bytes() == server.files[Q4]
    assert not path.with_name(f"{Q4}.part").exists()


@pytest.mark.parametrize(
    "manifest",
    [
        {"files": 5},
        {"files": "ab"},
        {"files": [{"name": 5}, 7], "source": 3},
        {"files": [{"name": Q4, "sha256": 5}]},
    ],
)
def test_a_manifest_of_anything_is_made_anew(
    server: HubServer, manifest: dict[str, object]
) -> None:
    put(server.files[Q4], **manifest)
    assert checksums.verify(pull(NAME)).sha256 == (server.sha256(Q4),)
    assert server.fetched(Q4) == []


@pytest.mark.parametrize("damage", ["content", "size"])
def test_a_model_that_was_found_damaged_is_fetched_again(server: HubServer, damage: str) -> None:
    model = pull(NAME)
    content = server.files[Q4]
    model.path.write_bytes(content[:-5] + bytes(5) if damage == "content" else content[:-5])
    with pytest.raises(VerificationError):
        checksums.verify(models.at_path(model.path))
    assert pull(NAME).path.read_bytes() == content


def test_mending_a_damaged_part_needs_room_for_that_part(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    names = [f"big-Q6_K-0000{i}-of-00002.gguf" for i in (1, 2)]
    server.files.update({name: gguf(seed) for seed, name in enumerate(names)})
    model = pull(f"{NAME}:Q6_K")
    model.files[1].write_bytes(bytes(len(server.files[names[1]])))
    with pytest.raises(VerificationError):
        checksums.verify(model)
    steps: list[int] = []
    plan = pulling.plan(f"{NAME}:Q6_K")
    assert plan.missing_bytes == len(server.files[names[1]])
    assert checksums.verify(pulling.pull(plan, on_bytes=steps.append)).num_files == 2
    assert sum(steps) == plan.missing_bytes
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    pulling.plan(f"{NAME}:Q6_K")
    models.write_manifest(model.path, {**model.manifest, "damaged": names[1]})
    with pytest.raises(DiskFullError, match="are needed at"):
        pulling.plan(f"{NAME}:Q6_K")


def test_a_store_that_cannot_be_written_has_its_model_named(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} would be written")

    model = pull(NAME)
    monkeypatch.setattr(pulling, "held", refuse)
    assert pull(NAME) == model


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


def test_file_in_the_clients_cache_takes_no_second_place(server: HubServer) -> None:
    from huggingface_hub import hf_hub_download

    cached = Path(hf_hub_download(NAME, Q4))
    leave_part(paths.models_dir() / Q4, server.files[Q4][:1000], server.sha256(Q4))
    assert pull(NAME).path.samefile(cached)


def cache(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client's cache have a file, on another disk than the store."""
    from huggingface_hub import hf_hub_download

    def cross(*args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    hf_hub_download(NAME, name)
    monkeypatch.setattr("sus_local.target.os.link", cross)
    monkeypatch.setattr("sus_local.target._same_disk", lambda source, path: False)


def test_a_copy_out_of_the_cache_that_was_cut_off_begins_again_there(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache(Q4, monkeypatch)
    leave_part(paths.models_dir() / Q4, server.files[Q4][:1000], server.sha256(Q4))
    asked = len(server.fetched(Q4))
    assert pull(NAME).path.read_bytes() == server.files[Q4]
    assert len(server.fetched(Q4)) == asked


def test_a_disk_that_is_full_is_told_with_the_file_that_is_written(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*args: object) -> None:
        raise OSError(28, "No space left on device")

    cache(Q4, monkeypatch)
    monkeypatch.setattr("shutil.copyfileobj", fill)
    with pytest.raises(DiskFullError, match=rf"writing {paths.models_dir() / Q4}"):
        pull(NAME)


def cached_elsewhere(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cache(Q4, monkeypatch)


def part_of_another(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_part(paths.models_dir() / Q4, server.files[Q4][:1000], "ab" * 32)


@pytest.mark.parametrize("prepare", [cached_elsewhere, part_of_another])
def test_whatever_has_to_be_written_needs_room(
    server: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[HubServer, pytest.MonkeyPatch], None],
) -> None:
    class Usage:
        free = 100_000

    prepare(server, monkeypatch)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(DiskFullError, match="are needed at"):
        pulling.plan(NAME)


@pytest.mark.parametrize("place", ["store", "cache"])
def test_other_architecture_is_refused_wherever_it_lies(server: HubServer, place: str) -> None:
    from huggingface_hub import hf_hub_download

    server.files[Q4] = gguf(0, architecture="qwen2moe")
    if place == "cache":
        hf_hub_download(NAME, Q4)
    else:
        put(server.files[Q4])
    asked = len(server.fetched(Q4))
    with pytest.raises(InvalidModelError, match="has the architecture 'qwen2moe'"):
        pulling.plan(NAME)
    assert len(server.fetched(Q4)) == asked


def test_a_file_that_git_holds_is_verified_by_its_hash(server: HubServer) -> None:
    server.plain.add(Q4)
    path = put(server.files[Q4])
    assert checksums.verify(pull(NAME)).sha256 == (server.sha256(Q4),)
    assert server.fetched(Q4) == []
    server.files[Q4], server.commit = gguf(5), "f" * 40
    path.write_bytes(bytes(len(server.files[Q4])))
    assert pull(NAME).path.read_bytes() == server.files[Q4]
