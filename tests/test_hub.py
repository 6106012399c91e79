"""What the hub answers, and for how long it is waited for, seen by its real client."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from sus_local import hub, ranges
from sus_local.download import Download
from sus_local.errors import GatedRepositoryError, HubError, RepositoryNotFoundError
from sus_local.hub_errors import retry_after_s, translate_errors
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
    assert sum(waits) == pytest.approx(42.0)
    assert max(waits) < 0.5  # Ctrl-C takes effect between two
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
    assert ranges.read_range(repository, FILE, 10, 20) == bytes(10)
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


COMMIT = '"sha":"0123456789abcdef"'
NO_SIZE = f'{{"id":"{NAME}",{COMMIT},"siblings":[{{"rfilename":"{FILE}"}}]}}'


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (200, "<html>login</html>", "no JSON of a repository"),
        (200, "[]", "no JSON of a repository"),
        (200, "null", "no JSON of a repository"),
        (200, '{"error":"x"}', "no JSON of a repository"),
        (200, f'{{"id":"{NAME}",{COMMIT},"siblings":[5]}}', "no JSON of a repository"),
        (200, f'{{"id":"{NAME}"}}', f"it tells no commit of {NAME}"),
        (200, NO_SIZE, f"it tells no size of {FILE}"),
        (200, NO_SIZE.replace('.gguf"', '.gguf","size":-1'), f"it tells no size of {FILE}"),
        (204, "", "no JSON of a repository"),
        (302, "Found", "no JSON of a repository"),
        (304, "", "no JSON of a repository"),
    ],
)
def test_whatever_answers_in_the_hubs_place_is_told(
    server: HubServer, status: int, body: str, what: str
) -> None:
    server.faults.instead["api"] = (status, body.encode(), {})
    with pytest.raises(HubError) as caught:
        hub.resolve(NAME)
    assert caught.value.message == f"{server.endpoint} did not answer as a hub does: {what}"
    assert "a login page" in caught.value.hint


INVALID = {"X-Error-Message": "Invalid credentials in Authorization header"}
DISABLED = {"X-Error-Message": "Access to this resource is disabled."}


@pytest.mark.parametrize(
    ("status", "headers", "kind", "said", "hint"),
    [
        (401, INVALID, GatedRepositoryError, "refuses the token", "set HF_TOKEN to one"),
        (403, {}, GatedRepositoryError, "does not let you read", "accept its licence"),
        (403, DISABLED, HubError, "tiny/llama is disabled", "see http"),
        (404, {}, RepositoryNotFoundError, "nothing to read", "check the name and HF_ENDPOINT"),
        (400, {}, HubError, "answered 400", "it will not answer otherwise"),
        (410, {}, HubError, "answered 410", "it will not answer otherwise"),
        (416, {}, HubError, "answered 416", "it will not answer otherwise"),
        (451, {}, HubError, "answered 451", "it will not answer otherwise"),
        (429, {}, HubError, "answered 429", "wait a moment"),
        (520, {}, HubError, "answered 520", "wait a moment"),
    ],
)
def test_each_refusal_has_its_own_next_step(
    server: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: dict[str, str],
    kind: type[HubError],
    said: str,
    hint: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    server.faults.instead["api"] = (status, b"{}", headers)
    with pytest.raises(kind, match=said) as caught:
        hub.resolve(NAME)
    assert type(caught.value) is kind
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("revision", ["", " "])
def test_an_empty_revision_is_not_taken_for_the_main_one(server: HubServer, revision: str) -> None:
    with pytest.raises(RepositoryNotFoundError, match="the revision is empty") as caught:
        hub.resolve(NAME, revision=revision)
    assert caught.value.hint == "give a branch, tag or commit"


@pytest.mark.parametrize(
    ("name", "revision", "hint"),
    [
        (NAME, "nope", "its branches, tags and commits are at "),
        ("a/b..c", None, "give org/name"),
    ],
)
def test_what_is_not_found_has_a_next_step(
    server: HubServer, name: str, revision: str | None, hint: str
) -> None:
    with pytest.raises(RepositoryNotFoundError) as caught:
        hub.resolve(name, revision=revision)
    assert caught.value.hint.startswith(hint)


def test_a_token_in_typographic_quotes_is_told_and_not_shown(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "“hf_secret”")
    with pytest.raises(HubError, match="has a character that no token has") as caught:
        hub.resolve(NAME)
    assert "without quotation marks" in caught.value.hint
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("endpoint", ["http://[::1", "huggingface.co", "ftp://x"])
def test_an_endpoint_that_is_no_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    with (
        client_of(endpoint, tmp_path, monkeypatch),
        pytest.raises(HubError, match="is no address of a hub") as caught,
    ):
        hub.resolve(NAME)
    assert caught.value.hint == "set HF_ENDPOINT to one that begins with https://, or unset it"


def test_what_the_client_finds_too_short_is_told_in_one_line_and_asked_for_again() -> None:
    what = "Consistency check failed: file should be of size 439 but has size 50 (config.json).\n"
    with (
        pytest.raises(HubError, match=r"^the hub sent 50 of 439 bytes of config\.json$") as caught,
        translate_errors("a/b", file="config.json"),
    ):
        raise OSError(f"{what}This is usually due to network issues.")
    assert caught.value.hint == "run the same command again"
    assert caught.value.transient
