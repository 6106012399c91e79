"""Bytes of a file on the hub, without the rest of it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any, cast

from sus_local import hub
from sus_local.errors import HubError
from sus_local.hub import Repository
from sus_local.hub_errors import not_a_hub, translate_errors

_CONTENT_RANGE = re.compile(r"bytes (\d+)-")


def read_range(repository: Repository, name: str, start: int, end: int) -> bytes:
    """Bytes ``start`` to ``end`` of a file, without fetching the rest.

    Raises:
        HubError: As :func:`sus_local.hub.resolve`; also if the hub sends fewer bytes.
    """

    def ask() -> bytes:
        content = b"".join(stream(repository, name, start, end))
        if len(content) != end - start:
            raise HubError(
                f"the hub sent {len(content)} of {end - start} bytes of {name}",
                hint="run the same command again",
                transient=True,
            )
        return content

    return hub.patiently(ask)


def stream(repository: Repository, name: str, start: int, end: int) -> Generator[bytes, None, None]:
    """Bytes ``start`` to ``end`` of a file in pieces, at most as many as asked for.

    The connection may break at any piece: the error's ``transient`` says whether to try again.
    """
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repository.name, name, revision=repository.commit)
    headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
    told = translate_errors(repository.name, revision=repository.commit, file=name)
    with told, _get(url, headers) as response:
        hub.client().hf_raise_for_status(response)
        ahead = _ahead(response, name, start, repository.files[name].size)
        yield from _cut(_pieces(response), ahead, end - start)


def _ahead(response: Any, name: str, start: int, size: int) -> int:
    """How many bytes an answer has before those that were asked for.

    Raises:
        HubError: It is no part of this file.
    """
    if response.status_code == 206:
        told = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if told and int(told[1]) != start:
            raise _misplaced(name, int(told[1]), start)
        return 0
    length = response.headers.get("Content-Length", "")
    is_counted = length.isdigit() and "Content-Encoding" not in response.headers
    # A server that ignores the range sends the file from its beginning; a login page is shorter.
    if response.status_code != 200 or (is_counted and int(length) != size):
        raise not_a_hub(f"status {response.status_code} and {length or 0} bytes for {name}")
    return start


def _misplaced(name: str, found: int, wanted: int) -> HubError:
    return HubError(
        f"the hub sent {name} from byte {found} on, asked for byte {wanted}",
        hint="check HF_ENDPOINT and the proxy: parts of files are mixed up there",
        file=name,
        transient=True,
    )


def _cut(pieces: Iterator[bytes], ahead: int, length: int) -> Iterator[bytes]:
    """Leave out the first ``ahead`` bytes, and what comes after the next ``length``."""
    for piece in pieces:
        kept = piece[ahead : ahead + length]
        ahead = max(0, ahead - len(piece))
        length -= len(kept)
        if kept:
            yield kept
        if not length:
            return


def _get(url: str, headers: dict[str, str]) -> AbstractContextManager[Any]:
    """The client's session is of requests up to 0.x, of httpx from 1.0 on."""
    session = hub.client().get_session()
    headers = {**hub.client().build_hf_headers(), **headers}
    if callable(getattr(session, "stream", None)):
        response = session.stream("GET", url, headers=headers, timeout=hub.timeout_s())
    else:
        response = session.get(url, headers=headers, timeout=hub.timeout_s(), stream=True)
    return cast("AbstractContextManager[Any]", response)


def _pieces(response: Any) -> Iterator[bytes]:
    """Bytes as they come: in pieces of a given size, the last would be lost with the connection."""
    pieces = getattr(response, "iter_bytes", None) or response.iter_content
    return cast("Iterator[bytes]", pieces(None))
