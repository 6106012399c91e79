"""One file fetched by the hub's real client: what it goes on from, and what it does not take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local import hub, ranges
from sus_local.download import Download
from sus_local.errors import HubError
from sus_local.partial import Partial
from tests.convert.hub_client import client_of, leave_part
from tests.convert.hub_server import HubServer
from tests.pulling import gguf

NAME, FILE, SMALL = "tiny/llama", "a.gguf", "b.gguf"
CONTENT = gguf(1, size=400_000)
PAGE = b"<html>login</html>"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in (FILE, SMALL):
        (folder / name).write_bytes(CONTENT)
    monkeypatch.setattr(hub, "LONGEST_WAIT_S", 0.0)
    with HubServer(folder) as server, client_of(server.endpoint, tmp_path / "home", monkeypatch):
        server.plain.add(SMALL)
        yield server


def download(path: Path, steps: list[int] | None = None) -> Download:
    on_bytes = steps.append if steps is not None else None
    return Download(hub.resolve(NAME), path.name, path, on_bytes=on_bytes)


@pytest.mark.parametrize("name", [FILE, SMALL])
@pytest.mark.parametrize(
    ("content", "etag", "start"),
    [
        (CONTENT[:1000], "right", 1000),
        (CONTENT[:1000], "other", 0),
        (b"x" * (len(CONTENT) + 1), "right", 0),
    ],
)
def test_only_a_part_of_the_same_content_is_gone_on_with(
    server: HubServer, tmp_path: Path, name: str, content: bytes, etag: str, start: int
) -> None:
    path = tmp_path / name
    leave_part(path, content, server.etag(name) if etag == "right" else "0" * 64)
    steps: list[int] = []
    assert download(path, steps).run() == server.sha256(name)
    assert path.read_bytes() == CONTENT
    assert server.fetched(name) == [(start, len(CONTENT))]
    assert sum(steps) == len(CONTENT) - start
    assert list(tmp_path.glob("*.part*")) == []


def test_a_part_without_a_record_is_not_gone_on_with(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(bytes(1000))
    download(tmp_path / FILE).run()
    assert server.fetched(FILE) == [(0, len(CONTENT))]


def test_a_part_of_another_commit_without_hashes_is_not_gone_on_with(tmp_path: Path) -> None:
    one, other = (
        hub.Repository(NAME, "main", commit * 40, {FILE: hub.HubFile(FILE, 10)})
        for commit in ("a", "b")
    )
    leave_part(tmp_path / FILE, b"x", one.etag(FILE))
    assert Partial(tmp_path / FILE, one.etag(FILE), 10).num_bytes == 1
    assert Partial(tmp_path / FILE, other.etag(FILE), 10).num_bytes == 0


@pytest.mark.parametrize("name", [FILE, SMALL])
def test_damaged_bytes_come_again_and_are_not_counted_twice(
    server: HubServer, tmp_path: Path, name: str
) -> None:
    server.faults.corrupt[name] = 1
    steps: list[int] = []
    download(tmp_path / name, steps).run()
    assert (tmp_path / name).read_bytes() == CONTENT
    assert sum(steps) == len(CONTENT)


def test_no_byte_is_lost_where_a_connection_breaks(server: HubServer, tmp_path: Path) -> None:
    server.faults.drops[FILE] = [20_000] * 15
    download(tmp_path / FILE).run()
    assert [r and r[0] for r in server.fetched(FILE)] == [20_000 * n for n in range(16)]


def test_an_answer_that_begins_elsewhere_is_not_appended(server: HubServer, tmp_path: Path) -> None:
    server.faults.shifts[FILE] = [1000]
    download(tmp_path / FILE).run()
    assert (tmp_path / FILE).read_bytes() == CONTENT


def test_answers_that_always_begin_elsewhere_are_told(server: HubServer) -> None:
    server.faults.shifts[FILE] = [1000] * 20
    with pytest.raises(HubError, match=r"sent a\.gguf from byte 1005 on, asked for byte 5") as told:
        ranges.read_range(hub.resolve(NAME), FILE, 5, 10)
    assert told.value.hint == "check HF_ENDPOINT and the proxy: parts of files are mixed up there"


@pytest.mark.parametrize("status", [200, 204, 302, 304])
def test_what_is_no_file_is_not_appended(server: HubServer, tmp_path: Path, status: int) -> None:
    leave_part(tmp_path / FILE, CONTENT[:1000], server.etag(FILE))
    server.faults.instead[FILE] = (status, PAGE if status in {200, 302} else b"", {})
    with pytest.raises(HubError, match="did not answer as a hub does: status") as caught:
        download(tmp_path / FILE).run()
    assert "login page" in caught.value.hint
    assert (tmp_path / f"{FILE}.part").read_bytes() == CONTENT[:1000]


def test_a_hub_that_sends_nothing_more_leaves_what_came(server: HubServer, tmp_path: Path) -> None:
    server.faults.drops[FILE] = [1000, *[0] * 20]
    with pytest.raises(HubError) as caught:
        download(tmp_path / FILE).run()
    assert caught.value.hint
    assert (tmp_path / f"{FILE}.part").stat().st_size == 1000


def test_an_end_before_the_end_has_a_next_step(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "_cut", lambda pieces, ahead, length: iter(()))
    with pytest.raises(HubError, match=r"sends no more bytes of a\.gguf") as caught:
        download(tmp_path / FILE).run()
    assert caught.value.hint == "run the same command again later: it goes on where it was"
