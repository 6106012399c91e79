"""How long the hub is waited for, when it asks for it, seen by its real client."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from sus_local import hub
from sus_local.download import Download
from sus_local.errors import HubError
from sus_local.hub_errors import retry_after_s
from tests.convert.hub_client import client_of
from tests.convert.hub_server import HubServer

NAME, FILE = "tiny/llama", "a.gguf"
NOON, LATER = "Sun, 01 Feb 2026 12:00:00 GMT", "Sun, 01 Feb 2026 12:00:42 GMT"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / FILE).write_bytes(bytes(100_000))
    monkeypatch.setattr(hub, "LONGEST_WAIT_S", 0.0)
    with HubServer(folder) as server, client_of(server.endpoint, tmp_path / "home", monkeypatch):
        yield server


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": LATER, "Date": NOON}, 42.0),
        ({"Retry-After": NOON, "Date": LATER}, 0.0),
        ({"Retry-After": NOON}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "\u0661"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=10;t=55'}, None),
        ({"Retry-After": "7", "RateLimit": '"api";r=0;t=55'}, 7.0),
    ],
)
def test_an_answer_says_how_long_to_wait(
    headers: Mapping[str, str], expected: float | None
) -> None:
    assert retry_after_s(headers) == expected


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("headers", [{"Retry-After": "42"}, {"Retry-After": LATER, "Date": NOON}])
def test_a_download_waits_as_long_as_the_hub_asks_and_says_so(
    server: HubServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: dict[str, str],
) -> None:
    server.faults.statuses[FILE] = [status]
    server.faults.headers = headers
    download = Download(hub.resolve(NAME), FILE, tmp_path / FILE)
    waits: list[float] = []
    monkeypatch.setattr(download._stop, "wait", waits.append)
    assert download.run() == server.sha256(FILE)
    assert waits == [42.0]
    assert caplog.messages == [
        f"the hub answered {status} when asked for {FILE}; next attempt in 42 s"
    ]


def test_a_range_waits_as_long_as_the_hub_asks(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = hub.resolve(NAME)
    server.faults.statuses[FILE] = [503, 429]
    server.faults.headers = {"Retry-After": "3"}
    waits: list[float] = []
    monkeypatch.setattr(hub, "time", SimpleNamespace(sleep=waits.append))
    assert hub.read_range(repository, FILE, 10, 20) == bytes(10)
    assert waits == [3.0, 3.0]


def test_a_hub_that_asks_for_too_much_patience_is_given_up_with_its_time(
    server: HubServer, tmp_path: Path
) -> None:
    download = Download(hub.resolve(NAME), FILE, tmp_path / FILE)
    server.faults.statuses[FILE] = [429]
    server.faults.headers = {"Retry-After": "7200"}
    with pytest.raises(HubError, match="answered 429") as caught:
        download.run()
    assert caught.value.hint == "wait 7200 s, as the hub asks, then run the same command again"
    assert caught.value.numbers["retry_after_s"] == 7200
    assert len(server.fetched(FILE)) == 1


def test_short_waits_are_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        hub.tell_wait(2.0, None)
    assert caplog.messages == []
