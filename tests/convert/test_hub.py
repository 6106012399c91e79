"""The real client of the hub against a server on the loopback interface."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local import hub
from sus_local.convert.folder import FolderSource
from sus_local.convert.source import open_source
from sus_local.errors import (
    CheckpointError,
    GatedRepositoryError,
    HubError,
    OfflineError,
    RepositoryNotFoundError,
    ShardError,
)

from .hub_client import client_of
from .hub_reading import NAME, SHARDS, open_hub, read_all
from .hub_server import HubServer


def test_repository_reads_as_its_folder_does(server: HubServer, checkpoint: Path) -> None:
    source = open_hub()
    folder = FolderSource(checkpoint, label="folder")
    assert source.config == folder.config
    assert source.generation_config == folder.generation_config
    assert source.tensors == folder.tensors
    assert [s.name for s in source.shards] == SHARDS
    assert (source.repository, source.revision) == (NAME, server.commit)
    assert read_all(source) == read_all(folder)


def test_headers_come_by_ranges_before_any_weight(server: HubServer) -> None:
    source = open_hub()
    for name in SHARDS:
        assert server.fetched(name) == [(0, 1 << 16)]
        assert server.num_sent[name] <= 1 << 16
    assert len(source.tensors) == 21
    source.close()


def test_header_longer_than_the_first_range_is_read_to_its_end(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.convert.hub._FIRST_HEADER_BYTES", 64)
    source = open_hub()
    assert len(source.tensors) == 21
    assert [r and r[0] for r in server.fetched(SHARDS[0])] == [0, 64]


def test_server_without_ranges_is_not_read_to_its_end(server: HubServer) -> None:
    server.faults.ignores_ranges = True
    assert len(open_hub().tensors) == 21


def test_busy_hub_is_asked_again_for_everything(server: HubServer) -> None:
    server.faults.statuses = {
        "api": [503, 429],
        "config.json": [500],
        SHARDS[0]: [503, 502],
        SHARDS[1]: [429],
    }
    server.faults.drops[SHARDS[2]] = [1000, 1000]
    assert len(open_hub().tensors) == 21


def test_small_files_come_into_the_clients_cache(server: HubServer, home: Path) -> None:
    source = open_hub()
    path = source.path("tokenizer.model")
    assert path is not None
    assert path.read_bytes() == server.files["tokenizer.model"]
    assert home / "hub" in path.parents
    assert source.path("tokenizer.json") is None


def test_commit_is_pinned_when_the_source_is_opened(server: HubServer) -> None:
    source = open_source(f"https://huggingface.co/{NAME}/", revision="main")
    assert source.revision == server.commit
    with source.open(source.shards[0]):
        pass
    source.close()


@pytest.mark.parametrize(
    ("refusal", "kind", "said"),
    [
        ((401, "RepoNotFound"), RepositoryNotFoundError, "no repository tiny/llama"),
        ((404, "RepoNotFound"), RepositoryNotFoundError, "no repository tiny/llama"),
        ((403, "GatedRepo"), GatedRepositoryError, "does not let you read tiny/llama"),
        ((401, "GatedRepo"), GatedRepositoryError, "does not let you read tiny/llama"),
        ((401, ""), GatedRepositoryError, "status 401"),
        ((403, ""), GatedRepositoryError, "status 403"),
        ((503, ""), HubError, "answered 503"),
        ((418, ""), HubError, "answered 418"),
    ],
)
def test_refusals_are_told_by_kind(
    server: HubServer, refusal: tuple[int, str], kind: type[HubError], said: str
) -> None:
    server.faults.refusal = refusal
    with pytest.raises(kind, match=said) as caught:
        open_source(NAME)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_unknown_revision_is_named(server: HubServer) -> None:
    with pytest.raises(RepositoryNotFoundError, match="tiny/llama has no revision v9"):
        open_source(NAME, revision="v9")


def test_token_opens_a_gated_repository(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.faults.token = "hf_secret"
    with pytest.raises(GatedRepositoryError, match="does not let you") as caught:
        open_source(NAME)
    assert "hf auth login" in caught.value.hint
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    open_source(NAME).close()
    sent = {r.token for r in server.requests if r.file in SHARDS}
    assert sent == {None}, "the token must not go to the storage's host"


def test_unreachable_hub_is_offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        client_of("http://127.0.0.1:9", home, monkeypatch),
        pytest.raises(OfflineError, match=r"cannot reach http://127\.0\.0\.1:9 for tiny/llama"),
    ):
        open_source(NAME)


def test_offline_reads_the_cache_or_says_what_it_lacks(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    wanted = read_all(open_hub(keep_source=True))
    server.faults.refusal = (500, "")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    source = open_source(NAME)
    assert source.revision == server.commit
    assert read_all(source) == wanted


def test_offline_without_a_copy_says_so(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, hf_hub_download

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OfflineError, match="HF_HUB_OFFLINE is set"):
        open_source(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("config.json", "model.safetensors.index.json", SHARDS[0]):
        hf_hub_download(NAME, name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OfflineError, match="2 of 3 shards are missing"):
        open_source(NAME)
    assert server.fetched(SHARDS[1]) == []


def test_repository_without_the_shards_of_its_index_is_refused(server: HubServer) -> None:
    del server.files[SHARDS[1]]
    with pytest.raises(ShardError, match=f"1 of 3 shards are missing.*{SHARDS[1]}"):
        open_source(NAME)


def test_shard_truncated_on_the_hub_is_refused_by_its_header(server: HubServer) -> None:
    server.files[SHARDS[1]] = server.files[SHARDS[1]][:-10]
    with pytest.raises(ShardError, match="is truncated"):
        open_source(NAME)


def test_repository_of_gguf_files_points_to_pull(server: HubServer) -> None:
    server.files = {"llama.Q4_K_M.gguf": b"GGUF"}
    with pytest.raises(CheckpointError, match=r"has no config\.json") as caught:
        open_source(NAME)
    assert caught.value.hint == "its GGUF files are ready to use: sus-local pull tiny/llama"


def test_repository_of_torch_files_says_what_to_do(server: HubServer) -> None:
    server.files = {"config.json": server.files["config.json"], "pytorch_model.bin": b"PK"}
    with pytest.raises(CheckpointError, match="cannot be read as a stream") as caught:
        open_source(NAME)
    assert "hf download" in caught.value.hint


def test_missing_file_is_named(server: HubServer) -> None:
    repository = hub.resolve(NAME)
    del server.files["tokenizer.model"]
    with pytest.raises(RepositoryNotFoundError, match="has no file tokenizer"):
        hub.fetch(repository, "tokenizer.model")


def test_small_file_that_does_not_come_whole_is_fetched_again(server: HubServer) -> None:
    content = server.files["config.json"]
    etag = {"ETag": f'"{server.etag("config.json")}"', "X-Repo-Commit": server.commit}
    server.faults.instead["config.json"] = (200, content[:50], etag)
    with pytest.raises(HubError) as caught:
        open_source(NAME)
    assert caught.value.message == f"the hub sent 50 of {len(content)} bytes of config.json"
    assert caught.value.hint == "run the same command again"
    assert len(server.fetched("config.json")) == 4
    del server.faults.instead["config.json"]
    assert len(open_hub().tensors) == 21


def test_answer_for_a_small_file_that_is_no_hubs_is_told_in_one_line(server: HubServer) -> None:
    server.faults.instead["config.json"] = (200, server.files["config.json"], {})
    with pytest.raises(HubError, match="did not answer as a hub does: no ETag of config") as caught:
        open_source(NAME)
    assert "\n" not in caught.value.message


def test_login_page_in_the_hubs_place_is_told(server: HubServer) -> None:
    server.faults.instead["api"] = (200, b"<html>login</html>", {})
    with pytest.raises(HubError, match="did not answer as a hub does"):
        open_source(NAME)


def test_headers_from_elsewhere_in_the_file_are_not_read(server: HubServer) -> None:
    server.faults.shifts[SHARDS[0]] = [1000]
    assert len(open_hub().tensors) == 21
    server.faults.shifts[SHARDS[0]] = [1000] * 9
    with pytest.raises(HubError, match=f"sent {SHARDS[0]} from byte 1000 on, asked for byte 0"):
        open_hub()
