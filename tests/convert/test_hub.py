"""The real client of the hub against a server on the loopback interface."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local import download, hub
from sus_local.convert.folder import FolderSource
from sus_local.convert.hub import HubSource
from sus_local.convert.source import Source, open_source
from sus_local.errors import (
    CheckpointError,
    GatedRepositoryError,
    HubError,
    OfflineError,
    OutputHeldError,
    RepositoryNotFoundError,
    ShardError,
)

from .checkpoints import write_checkpoint
from .hub_client import client_of
from .hub_server import HubServer

NAME = "tiny/llama"
SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Shards are several times as large as what is read to find their headers.
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_checkpoint(folder, num_shards=3, hidden=256, ffn=512)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(checkpoint: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(download, "_LONGEST_WAIT_S", 0.0)
    with HubServer(checkpoint) as server, client_of(server.endpoint, home, monkeypatch):
        yield server


@pytest.fixture
def spool(home: Path, server: HubServer) -> Path:
    return home / "sus" / "convert" / "tiny--llama" / server.commit


def open_hub(**options: object) -> HubSource:
    source = open_source(NAME, **options)  # type: ignore[arg-type]
    assert isinstance(source, HubSource)
    return source


def read_all(source: Source) -> dict[str, bytes]:
    contents = {}
    for shard in source.shards:
        with source.open(shard) as reader:
            for tensor in source.tensors.values():
                if tensor.shard == shard.name:
                    contents[tensor.name] = bytes(reader.read(tensor))
                    reader.drop(tensor)
    source.close()
    return contents


def ignore(num_bytes: int) -> None:
    pass


def held_bytes(folder: Path) -> int:
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


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


def test_small_files_come_into_the_clients_cache(server: HubServer, home: Path) -> None:
    source = open_hub()
    path = source.path("tokenizer.model")
    assert path is not None
    assert path.read_bytes() == server.files["tokenizer.model"]
    assert home / "hub" in path.parents
    assert source.path("tokenizer.json") is None


def test_commit_is_pinned_when_the_source_is_opened(server: HubServer) -> None:
    source = open_hub(revision="main")
    assert source.revision == server.commit
    with source.open(source.shards[0]):
        pass
    source.close()


def test_shard_is_deleted_when_its_reader_is_left(server: HubServer, spool: Path) -> None:
    source = open_hub()
    with source.open(source.shards[0]) as reader:
        assert reader.path.parent == spool
        assert reader.sha256() == server.sha256(SHARDS[0])
    assert not reader.path.exists()
    read_all(source)
    assert not spool.exists()


def test_next_shard_is_fetched_while_one_is_read_and_no_further(
    server: HubServer, spool: Path
) -> None:
    source = open_hub()
    with source.open(source.shards[0]):
        fetch = source._fetches[SHARDS[1]]
        assert fetch.wait(ignore) == spool / SHARDS[1]
        assert SHARDS[2] not in source._fetches
        assert len(server.fetched(SHARDS[2])) == 1
    source.close()


def test_who_waits_is_told_how_far_it_is(server: HubServer) -> None:
    hold = server.faults.holds[SHARDS[0]] = threading.Event()
    told: list[int] = []

    def waiting(num_bytes: int) -> None:
        told.append(num_bytes)
        hold.set()

    source = open_hub()
    with source.open(source.shards[0], waiting=waiting):
        pass
    source.close()
    assert told
    assert told[0] == 0
    assert sorted(told) == told
    assert told[-1] <= source.shards[0].size


def test_nothing_but_two_shards_is_ever_on_disk(server: HubServer, home: Path) -> None:
    source = open_hub()
    promised = source.peak_disk_bytes
    before = held_bytes(home)
    peak = 0
    for place, shard in enumerate(source.shards):
        with source.open(shard):
            for fetch in list(source._fetches.values()):
                fetch.wait(ignore)
            peak = max(peak, held_bytes(home) - before)
            assert held_bytes(home) - before <= promised, f"at shard {place}"
    source.close()
    sizes = [len(server.files[name]) for name in SHARDS]
    assert promised == max(sizes[0] + sizes[1], sizes[1] + sizes[2])
    assert peak == promised
    assert held_bytes(home) == before


def test_what_the_cache_held_before_is_used_and_never_deleted(
    server: HubServer, home: Path
) -> None:
    from huggingface_hub import hf_hub_download

    kept = Path(hf_hub_download(NAME, SHARDS[1]))
    times = len(server.fetched(SHARDS[1]))
    source = open_hub()
    assert source.peak_disk_bytes == len(server.files[SHARDS[0]]) + len(server.files[SHARDS[2]])
    read_all(source)
    assert kept.read_bytes() == server.files[SHARDS[1]]
    assert len(server.fetched(SHARDS[1])) == times


def test_damage_in_the_cache_is_noticed_when_it_is_hashed(server: HubServer) -> None:
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download(NAME, SHARDS[0])).resolve()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    source = open_hub()
    with pytest.raises(ShardError, match="is corrupt"), source.open(source.shards[0]) as reader:
        reader.sha256()
    assert path.exists()
    source.close()


def test_kept_source_is_complete_in_the_clients_cache(server: HubServer, home: Path) -> None:
    source = open_hub(keep_source=True)
    assert source.peak_disk_bytes == sum(len(server.files[name]) for name in SHARDS)
    read_all(source)
    again = open_hub()
    assert again.peak_disk_bytes == 0
    assert read_all(again) == read_all(FolderSource(_snapshot(home, server), label="snapshot"))


def _snapshot(home: Path, server: HubServer) -> Path:
    return home / "hub" / "models--tiny--llama" / "snapshots" / server.commit


def test_broken_connection_goes_on_where_it_was(server: HubServer) -> None:
    source = open_hub()
    size = len(server.files[SHARDS[0]])
    server.faults.drops[SHARDS[0]] = [1 << 17, 1 << 16]
    with source.open(source.shards[0]) as reader:
        assert reader.path.read_bytes() == server.files[SHARDS[0]]
    assert server.fetched(SHARDS[0])[1:] == [(0, size), (1 << 17, size), (3 << 16, size)]
    source.close()


def test_broken_connection_is_survived_without_ranges(server: HubServer) -> None:
    source = open_hub()
    server.faults.ignores_ranges = True
    server.faults.drops[SHARDS[0]] = [100_000]
    with source.open(source.shards[0]) as reader:
        assert reader.path.read_bytes() == server.files[SHARDS[0]]
    source.close()


def test_busy_server_is_asked_again(server: HubServer) -> None:
    source = open_hub()
    server.faults.statuses[SHARDS[0]] = [503, 429, 500]
    with source.open(source.shards[0]) as reader:
        assert reader.path.read_bytes() == server.files[SHARDS[0]]
    source.close()


def test_server_that_stays_busy_is_given_up(server: HubServer, spool: Path) -> None:
    source = open_hub()
    server.faults.statuses[SHARDS[0]] = [200, *[503] * 20]
    server.faults.drops[SHARDS[0]] = [1 << 16]
    with pytest.raises(HubError, match="answered 503"), source.open(source.shards[0]):
        pass
    assert (spool / (SHARDS[0] + ".part")).stat().st_size == 1 << 16
    source.close()


def test_another_process_goes_on_with_the_partial_file(server: HubServer, spool: Path) -> None:
    content = server.files[SHARDS[0]]
    spool.mkdir(parents=True)
    (spool / (SHARDS[0] + ".part")).write_bytes(content[:123_456])
    source = open_hub()
    with source.open(source.shards[0]) as reader:
        assert reader.path.read_bytes() == content
    assert server.fetched(SHARDS[0])[1:] == [(123_456, len(content))]
    source.close()


def test_another_process_finds_finished_shards(server: HubServer) -> None:
    source = open_hub()
    first, second, _ = source.shards
    opened = source.open(first)
    opened.__enter__()
    source._fetches[second.name].wait(ignore)
    opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    source.close()
    asked = len(server.requests)
    again = open_hub()
    read_all(again)
    later = [r for r in server.requests[asked:] if r.method == "GET"]
    assert {r.file for r in later} == {"api", SHARDS[2]}


def test_partial_file_of_other_content_is_fetched_anew(server: HubServer, spool: Path) -> None:
    spool.mkdir(parents=True)
    (spool / (SHARDS[0] + ".part")).write_bytes(b"x" * 1000)
    (spool / (SHARDS[1] + ".part")).write_bytes(b"x" * (len(server.files[SHARDS[1]]) + 1))
    source = open_hub()
    assert read_all(source) == read_all(open_hub())


def test_content_that_arrives_damaged_is_fetched_once_more(server: HubServer) -> None:
    source = open_hub()
    server.faults.corrupt[SHARDS[0]] = 1
    with source.open(source.shards[0]) as reader:
        assert reader.path.read_bytes() == server.files[SHARDS[0]]
    source.close()


def test_content_that_stays_damaged_is_refused(server: HubServer, spool: Path) -> None:
    source = open_hub()
    server.faults.corrupt[SHARDS[0]] = 99
    with pytest.raises(HubError, match="another SHA-256") as caught, source.open(source.shards[0]):
        pass
    assert caught.value.sha256 == server.sha256(SHARDS[0])
    assert not (spool / SHARDS[0]).exists()
    source.close()


def test_skipped_shards_are_never_fetched_and_their_rests_deleted(
    server: HubServer, spool: Path
) -> None:
    spool.mkdir(parents=True)
    (spool / SHARDS[0]).write_bytes(server.files[SHARDS[0]])
    (spool / (SHARDS[1] + ".part")).write_bytes(b"x")
    source = open_hub()
    first, second, third = source.shards
    source.skip(first)
    source.skip(second)
    assert source.peak_disk_bytes == third.size
    with source.open(third):
        assert [p.name for p in spool.iterdir()] == [third.name]
    assert server.fetched(second.name) == [(0, 1 << 16)]
    source.close()


def test_two_conversions_do_not_write_to_one_partial_file(server: HubServer) -> None:
    server.faults.holds[SHARDS[1]] = threading.Event()
    first, second = open_hub(), open_hub()
    with first.open(first.shards[0]):
        with (
            pytest.raises(OutputHeldError, match="another conversion"),
            second.open(second.shards[2]),
        ):
            pass
        server.faults.holds[SHARDS[1]].set()
    first.close()
    with second.open(second.shards[2]):
        pass
    second.close()


def test_close_ends_what_is_under_way(
    server: HubServer, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.convert.hub._STOP_S", 0.0)
    server.faults.holds[SHARDS[1]] = threading.Event()
    source = open_hub()
    with source.open(source.shards[0]):
        fetch = source._fetches[SHARDS[1]]
        source.close()
        server.faults.holds[SHARDS[1]].set()
        with pytest.raises(download.DownloadStopped):
            fetch.wait(ignore)
    assert (spool / (SHARDS[1] + ".part")).stat().st_size < source.shards[1].size


def test_full_disk_is_told_as_such(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from sus_local.errors import DiskFullError

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    source = open_hub()
    monkeypatch.setattr(download.Download, "_fill", full)
    with pytest.raises(DiskFullError), source.open(source.shards[0]):
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
    config = server.files["config.json"]
    server.files = {"config.json": config, "llama.Q4_K_M.gguf": b"GGUF"}
    with pytest.raises(CheckpointError, match="has no weights") as caught:
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
