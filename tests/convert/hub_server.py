"""A hub on the loopback interface: enough of its HTTP for the real ``huggingface_hub`` client.

It knows one repository at one commit, redirects large files to another host name as the hub does
to its storage, honours ranges, and has faults that a test plants beforehand.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PIECE_BYTES = 1 << 14
_LARGE = (".safetensors", ".model", ".gguf", ".bin")


@dataclass
class Faults:
    """What goes wrong, and how often.

    Attributes:
        drops: File name → after how many bytes each coming answer breaks off.
        statuses: File name, or ``"api"`` → statuses of the coming answers; 200 is the content.
        headers: Headers of every planted status.
        corrupt: File name → how many of the coming answers have a wrong first byte.
        shifts: File name → by how many bytes each coming answer begins too late, and tells so.
        instead: File name, or ``"api"`` → status, content and headers of every answer.
        holds: File name → answers with content wait for this.
        refusal: Status and ``X-Error-Code`` of every answer.
        token: Only requests with this token are served; others are refused as gated.
        ignores_ranges: Answer 200 with the whole file, whatever was asked.
    """

    drops: dict[str, list[int]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    corrupt: dict[str, int] = field(default_factory=dict)
    shifts: dict[str, list[int]] = field(default_factory=dict)
    instead: dict[str, tuple[int, bytes, dict[str, str]]] = field(default_factory=dict)
    holds: dict[str, threading.Event] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    token: str | None = None
    ignores_ranges: bool = False


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    file: str
    range: tuple[int, int] | None
    token: str | None


class HubServer:
    """Serves a folder as ``org/name``; a context manager."""

    def __init__(self, folder: Path, *, repository: str = "tiny/llama") -> None:
        self.repository = repository
        self.commit = COMMIT
        self.faults = Faults()
        self.requests: list[Request] = []
        self.num_sent: dict[str, int] = defaultdict(int)
        self.on_sent: Callable[[str], None] = lambda name: None
        self.files = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}
        self.plain: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), _Answer)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def endpoint(self) -> str:
        """What ``HF_ENDPOINT`` has to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def storage(self) -> str:
        """Where large files lie: the same server under another name, so another host."""
        return f"http://localhost:{self._server.server_address[1]}"

    def is_large(self, name: str) -> bool:
        """Whether it lies in the storage; what is in ``plain`` git holds itself."""
        return name.endswith(_LARGE) and name not in self.plain

    def sha256(self, name: str) -> str:
        """The hash that the hub tells."""
        return hashlib.sha256(self.files[name]).hexdigest()

    def fetched(self, name: str) -> list[tuple[int, int] | None]:
        """The ranges of a file that were asked for, where content was sent."""
        return [r.range for r in self.requests if r.method == "GET" and r.file == name]

    def info(self) -> dict[str, Any]:
        """The model's page in the API."""
        return {
            "id": self.repository,
            "sha": self.commit,
            "private": False,
            "siblings": [self._sibling(name) for name in self.files],
        }

    def _sibling(self, name: str) -> dict[str, Any]:
        size = len(self.files[name])
        sibling = {"rfilename": name, "size": size, "blobId": self.etag(name)}
        if self.is_large(name):
            sibling["lfs"] = {"sha256": self.sha256(name), "size": size, "pointerSize": 134}
        return sibling

    def etag(self, name: str) -> str:
        """SHA-256 of a large file, git's hash of a small one."""
        content = self.files[name]
        if self.is_large(name):
            return self.sha256(name)
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for hold in self.faults.holds.values():
            hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some tests are about."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def hub(self) -> HubServer:
        return self.server.hub

    def log_message(self, *args: object) -> None:
        """Tests read :attr:`HubServer.requests` instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/storage/"):
            self._file(path.removeprefix("/storage/"), stored=True)
        elif self._is_refused():
            return
        elif path.startswith(f"/api/models/{self.hub.repository}"):
            self._api(path.removeprefix(f"/api/models/{self.hub.repository}"))
        elif path.startswith(f"/{self.hub.repository}/resolve/"):
            self._file(path.split("/resolve/", 1)[1].split("/", 1)[1], stored=False)
        else:
            self._refuse(404, "RepoNotFound")

    def _is_refused(self) -> bool:
        faults = self.hub.faults
        if faults.refusal:
            self._refuse(*faults.refusal)
            return True
        if faults.token and self._token() != faults.token:
            self._refuse(403, "GatedRepo")
            return True
        return False

    def _token(self) -> str | None:
        value = self.headers.get("Authorization")
        return value.removeprefix("Bearer ") if value else None

    def _api(self, rest: str) -> None:
        self._note("api")
        if rest and rest not in {"/revision/main", f"/revision/{self.hub.commit}"}:
            self._refuse(404, "RevisionNotFound")
        elif not self._has_planted_status("api"):
            self._send(200, json.dumps(self.hub.info()).encode(), {})

    def _file(self, name: str, *, stored: bool) -> None:
        if name not in self.hub.files:
            self._refuse(404, "EntryNotFound")
            return
        headers = {"ETag": f'"{self.hub.etag(name)}"', "X-Repo-Commit": self.hub.commit}
        if self.hub.is_large(name) and not stored:
            headers["X-Linked-Etag"] = headers["ETag"]
            headers["X-Linked-Size"] = str(len(self.hub.files[name]))
            headers["Location"] = f"{self.hub.storage}/storage/{name}"
            self._send(302, b"", headers)
            return
        self._note(name)
        if not self._has_planted_status(name):
            self._content(name, headers)

    def _has_planted_status(self, name: str) -> bool:
        instead = self.hub.faults.instead.get(name)
        if instead is not None:
            self._send(*instead)
            return True
        planted = self.hub.faults.statuses.get(name)
        status = planted.pop(0) if planted else 200
        if status != 200:
            self._send(status, b"{}", self.hub.faults.headers)
        return status != 200

    def _content(self, name: str, headers: dict[str, str]) -> None:
        content = self.hub.files[name]
        asked = self._range()
        status, start, end = 200, 0, len(content)
        if asked and not self.hub.faults.ignores_ranges:
            shifts = self.hub.faults.shifts.get(name)
            start = asked[0] + (shifts.pop(0) if shifts else 0)
            status, end = 206, min(asked[1], len(content))
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        body = content[start:end]
        if self.command == "GET" and self.hub.faults.corrupt.get(name, 0) > 0:
            self.hub.faults.corrupt[name] -= 1
            body = bytes([body[0] ^ 1]) + body[1:]
        self._send(status, body, {**headers, "Accept-Ranges": "bytes"}, name=name)

    def _range(self) -> tuple[int, int] | None:
        value = self.headers.get("Range")
        if not value:
            return None
        start, _, last = value.removeprefix("bytes=").partition("-")
        return int(start), int(last) + 1 if last else 1 << 62

    def _note(self, file: str) -> None:
        self.hub.requests.append(Request(self.command, file, self._range(), self._token()))

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code} if code else {})

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, name: str = "") -> None:
        # Without the server's own date: a test may plant another.
        self.send_response_only(status)
        for key, value in {"Date": self.date_time_string(), **headers}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, name)

    def _send_body(self, body: bytes, name: str) -> None:
        hold = self.hub.faults.holds.get(name)
        if hold is not None and len(body) > 1 << 16:
            hold.wait()
        drops = self.hub.faults.drops.get(name)
        limit = drops.pop(0) if drops else len(body)
        try:
            for place in range(0, min(limit, len(body)), _PIECE_BYTES):
                piece = body[place : min(place + _PIECE_BYTES, limit)]
                self.wfile.write(piece)
                self.hub.num_sent[name] += len(piece)
                self.hub.on_sent(name)
        except OSError:
            self.close_connection = True
        if limit < len(body):
            self.close_connection = True
