"""A hub on the loopback interface whose one checkpoint is made up as it is sent.

It answers what the hub's client asks of one repository at one commit, ranges honoured. The weights
are bf16 noise, so that a checkpoint of any size takes no place on the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import random_checkpoint
from random_checkpoint import DEMO, DEVIATION, TOKENIZER_FILES, bf16, config, num_elements
from random_model import Shape

REPOSITORY = "bench/SUS-Chat-34B"
COMMIT = "0" * 40
SHARD_BYTES = 10_000_000_000
_PIECE_BYTES = 1 << 20
# Not a multiple of any row's length, so that no two rows of a tensor are alike.
_POOL = bf16(np.random.default_rng(0).standard_normal((1 << 24) + 77, np.float32) * DEVIATION)
_ONE: bytes = np.array([0x3F80], "<u2").tobytes()


@dataclass(frozen=True)
class Shard:
    """A safetensors file that exists only as its header.

    Attributes:
        name: Its name in the repository.
        tensors: Name → shape.
    """

    name: str
    tensors: dict[str, tuple[int, ...]]

    @cached_property
    def header(self) -> bytes:
        """The length and the JSON."""
        return random_checkpoint.header(self.tensors)

    @cached_property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + sum(map(_num_bytes, self.tensors.values()))

    @cached_property
    def sha256(self) -> str:
        """Of the whole file; takes seconds."""
        digest = hashlib.sha256()
        for piece in self.pieces(0, self.size):
            digest.update(piece)
        return digest.hexdigest()

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end``."""
        place = 0
        for length, content in self._parts():
            first, last = max(start, place), min(end, place + length)
            for at in range(first, last, _PIECE_BYTES):
                yield content(at - place, min(last, at + _PIECE_BYTES) - place)
            place += length

    def _parts(self) -> Iterator[tuple[int, Any]]:
        yield len(self.header), lambda a, b: self.header[a:b]
        for shape in self.tensors.values():
            yield _num_bytes(shape), _noise if len(shape) == 2 else _ones


def _num_bytes(extents: tuple[int, ...]) -> int:
    return 2 * num_elements(extents)


def _ones(start: int, end: int) -> bytes:
    return (_ONE * (end // 2 + 1))[start:end]


def _noise(start: int, end: int) -> bytes:
    start, length = start % len(_POOL), end - start
    piece = _POOL[start : start + length]
    return piece if len(piece) == length else piece + _POOL[: length - len(piece)]


def shards(shape: Shape) -> list[Shard]:
    """The checkpoint, cut into files of at most ``SHARD_BYTES``."""
    groups: list[dict[str, tuple[int, ...]]] = [{}]
    for name, extents in random_checkpoint.tensors(shape):
        if sum(map(_num_bytes, groups[-1].values())) + _num_bytes(extents) > SHARD_BYTES:
            groups.append({})
        groups[-1][name] = extents
    names = (f"model-{n:05}-of-{len(groups):05}.safetensors" for n in range(1, len(groups) + 1))
    return [Shard(name, group) for name, group in zip(names, groups, strict=True)]


class Hub(ThreadingHTTPServer):
    """Enough of the hub for its client: one repository at one commit, ranges honoured."""

    daemon_threads = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.shards = {shard.name: shard for shard in shards(shape)}
        self.small = _small_files(self.shards.values(), shape)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda shard: shard.sha256, self.shards.values()))
        self.num_sent = 0

    @property
    def endpoint(self) -> str:
        """What ``HF_ENDPOINT`` has to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def info(self) -> dict[str, Any]:
        """The model's page in the API."""
        siblings: list[dict[str, Any]] = [
            {"rfilename": name, "size": len(content), "blobId": _git_hash(content)}
            for name, content in self.small.items()
        ]
        for name, shard in self.shards.items():
            lfs = {"sha256": shard.sha256, "size": shard.size, "pointerSize": 134}
            sibling = {"rfilename": name, "size": shard.size, "blobId": shard.sha256, "lfs": lfs}
            siblings.append(sibling)
        return {"id": REPOSITORY, "sha": COMMIT, "private": False, "siblings": siblings}


def _small_files(parts: Iterable[Shard], shape: Shape) -> dict[str, bytes]:
    """Configuration, index, and the demo model's tokenizer."""
    weights = {name: shard.name for shard in parts for name in shard.tensors}
    index = {"metadata": {}, "weight_map": weights}
    files = {"config.json": config(shape), "model.safetensors.index.json": index}
    made = {name: json.dumps(content).encode() for name, content in files.items()}
    return made | {name: (DEMO / name).read_bytes() for name in TOKENIZER_FILES}


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        name = path.split("/resolve/", 1)[-1].partition("/")[2]
        if path.startswith(f"/api/models/{REPOSITORY}"):
            self._send(json.dumps(self.server.info()).encode(), "")
        elif name in self.server.small:
            self._send(self.server.small[name], _git_hash(self.server.small[name]))
        elif name in self.server.shards:
            self._send(self.server.shards[name], self.server.shards[name].sha256)
        else:
            self._head(404, 0, {"X-Error-Code": "EntryNotFound"})

    def _send(self, content: bytes | Shard, etag: str) -> None:
        size = content.size if isinstance(content, Shard) else len(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start, end, asked = 0, size, self.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(size, int(last) + 1 if last else size)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._head(206 if asked else 200, end - start, headers)
        if self.command != "HEAD":
            self._body(content, start, end)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()

    def _body(self, content: bytes | Shard, start: int, end: int) -> None:
        whole = isinstance(content, Shard)
        pieces = content.pieces(start, end) if isinstance(content, Shard) else [content[start:end]]
        try:
            for piece in pieces:
                self.wfile.write(piece)
                self.server.num_sent += len(piece) * whole
        except OSError:  # the client was killed
            self.close_connection = True
