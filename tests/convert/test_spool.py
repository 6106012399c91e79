"""Shards that come and go, fetched by the real client from a server on the loopback."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from sus_local import download
from sus_local.convert.folder import FolderSource
from sus_local.errors import (
    HubError,
    OutputHeldError,
    ShardError,
)

from .hub_client import leave_part, lying
from .hub_reading import NAME, SHARDS, held_bytes, ignore, open_hub, read_all
from .hub_server import HubServer


def test_shard_is_deleted_when_its_reader_is_left(server: HubServer, spool: Path) -> None:
    source = open_hub()
    with source.open(source.shards[0]) as reader:
        assert reader.path == lying(spool, server, SHARDS[0])
        assert reader.sha256() == server.sha256(SHARDS[0])
    assert not reader.path.exists()
    read_all(source)
    assert not spool.exists()


def test_next_shard_is_fetched_while_one_is_read_and_no_further(
    server: HubServer, spool: Path
) -> None:
    source = open_hub()
    with source.open(source.shards[0]):
        fetch = source._spool._fetches[SHARDS[1]]
        assert fetch.wait(ignore) == lying(spool, server, SHARDS[1])
        assert SHARDS[2] not in source._spool._fetches
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
            for fetch in list(source._spool._fetches.values()):
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


def test_kept_source_takes_its_room_in_the_clients_cache(
    server: HubServer, home: Path, spool: Path
) -> None:
    leave_part(lying(spool, server, SHARDS[0]), b"x" * 1000, server.sha256(SHARDS[0]))
    source = open_hub(keep_source=True)
    assert source.spool == home / "hub"
    assert source.peak_disk_bytes == sum(len(server.files[name]) for name in SHARDS)
    source.close()


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
    partial = lying(spool, server, SHARDS[0]).with_suffix(".safetensors.part")
    assert partial.stat().st_size == 1 << 16
    source.close()


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
    assert not lying(spool, server, SHARDS[0]).exists()
    source.close()


def test_skipped_shards_are_never_fetched_and_their_rests_deleted(
    server: HubServer, spool: Path
) -> None:
    lying(spool, server, SHARDS[0]).parent.mkdir(parents=True)
    lying(spool, server, SHARDS[0]).write_bytes(server.files[SHARDS[0]])
    leave_part(lying(spool, server, SHARDS[1]), b"x", server.sha256(SHARDS[1]))
    source = open_hub()
    first, second, third = source.shards
    source.skip(first)
    source.skip(second)
    assert source.peak_disk_bytes == third.size
    with source.open(third):
        held = [path for path in spool.rglob("*") if path.is_file()]
        assert held == [lying(spool, server, third.name)]
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


def test_where_no_file_can_be_locked_shards_are_fetched_all_the_same(
    server: HubServer, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    source = open_hub()
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert len(read_all(source)) == 21
    assert not spool.exists()


def test_shard_of_another_conversion_is_not_deleted_under_it(
    server: HubServer, spool: Path
) -> None:
    first, second = open_hub(), open_hub()
    with first.open(first.shards[0]) as reader:
        with pytest.raises(OutputHeldError, match="another conversion"):
            second.skip(second.shards[0])
        with pytest.raises(OutputHeldError, match="another conversion"):
            second.open(second.shards[0]).__enter__()
        assert reader.path.exists()
    first.close()
    second.close()


def test_close_ends_what_is_under_way(
    server: HubServer, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.convert.spool._STOP_S", 0.0)
    server.faults.holds[SHARDS[1]] = threading.Event()
    source = open_hub()
    with source.open(source.shards[0]):
        fetch = source._spool._fetches[SHARDS[1]]
        source.close()
        server.faults.holds[SHARDS[1]].set()
        with pytest.raises(download.DownloadStopped):
            fetch.wait(ignore)
    partial = lying(spool, server, SHARDS[1]).with_suffix(".safetensors.part")
    assert partial.stat().st_size < source.shards[1].size


def test_full_disk_is_told_as_such(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from sus_local.errors import DiskFullError

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    source = open_hub()
    monkeypatch.setattr(download.Download, "_fill", full)
    with pytest.raises(DiskFullError), source.open(source.shards[0]):
        pass
    source.close()
