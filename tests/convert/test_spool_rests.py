"""What an earlier attempt left in the spool: what is gone on with, and what is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local.convert.spool import Spool
from sus_local.hub import HubFile, Repository

from .hub_client import leave_part, lying
from .hub_reading import NAME, SHARDS, ignore, open_hub, read_all
from .hub_server import HubServer


def test_another_process_goes_on_with_the_partial_file(server: HubServer, spool: Path) -> None:
    content = server.files[SHARDS[0]]
    path = lying(spool, server, SHARDS[0])
    leave_part(path, content[:123_456], server.sha256(SHARDS[0]))
    source = open_hub()
    sizes = [shard.size for shard in source.shards]
    expected = max(sizes[0] - 123_456 + sizes[1], sizes[1] + sizes[2])
    assert source.peak_disk_bytes == expected
    with source.open(source.shards[0]) as reader:
        assert reader.path.read_bytes() == content
    assert server.fetched(SHARDS[0])[1:] == [(123_456, len(content))]
    source.close()


def test_another_process_finds_finished_shards(server: HubServer) -> None:
    source = open_hub()
    first, second, _ = source.shards
    opened = source.open(first)
    opened.__enter__()
    source._spool._fetches[second.name].wait(ignore)
    opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    source.close()
    asked = len(server.requests)
    again = open_hub()
    read_all(again)
    later = [r for r in server.requests[asked:] if r.method == "GET"]
    assert {r.file for r in later} == {"api", SHARDS[2]}


def test_another_commit_goes_on_with_shards_that_are_the_same(
    server: HubServer, spool: Path
) -> None:
    first, second, _ = SHARDS
    lying(spool, server, first).parent.mkdir(parents=True)
    lying(spool, server, first).write_bytes(server.files[first])
    leave_part(lying(spool, server, second), server.files[second][:1000], server.sha256(second))
    server.commit = "f" * 40
    read_all(open_hub())
    size = len(server.files[second])
    assert server.fetched(first) == []
    assert server.fetched(second) == [(0, 1 << 16), (1000, size)]


def test_what_another_commit_left_is_not_used_and_deleted(server: HubServer, spool: Path) -> None:
    name, content = SHARDS[0], bytes(len(server.files[SHARDS[0]]))
    old = spool / ("0" * 40) / name
    leave_part(old, b"x" * 1000, "0" * 64)
    old.write_bytes(content)
    wanted = read_all(open_hub())
    assert not spool.exists()
    assert wanted == read_all(open_hub())


@pytest.mark.parametrize("etag", ["../../../../../out", "..\\..\\out"])
def test_what_the_hub_calls_a_hash_leads_to_no_other_folder(
    server: HubServer, spool: Path, etag: str
) -> None:
    source = open_hub()
    name = SHARDS[0]
    repository = Repository(NAME, "main", "c" * 40, {name: HubFile(name, 10, etag)})
    path = Spool(repository, spool).path(source.shards[0])
    assert path.resolve().parent.parent == spool.resolve()
    source.close()


def test_partial_file_of_other_content_is_fetched_anew(server: HubServer, spool: Path) -> None:
    for name, size in ((SHARDS[0], 1000), (SHARDS[1], len(server.files[SHARDS[1]]) + 1)):
        leave_part(lying(spool, server, name), b"x" * size, server.sha256(name))
    source = open_hub()
    assert read_all(source) == read_all(open_hub())
