"""The conversion of SUS-Chat-34B at its full size, from a hub that makes up the weights.

    python bench/full_size.py --folder DIR [--type Q4_K_M] [--layers 60] [--kill-at 0.4] [--keep]

A server on the loopback interface has a model of the shape of SUS-Chat-34B: bf16 noise in seven
shards, 69 GB that are made as they are sent. ``sus-local convert org/name`` streams them as it does
from the hub; what it takes of time, memory and disk is told, and at the end ``models verify`` reads
the file again. ``--kill-at`` kills it when so much of the output is written, and starts it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

REPOSITORY = "bench/SUS-Chat-34B"
COMMIT = "0" * 40
HIDDEN, FFN, KEYS, VOCABULARY = 7168, 20480, 1024, 64000
SHARD_BYTES = 10_000_000_000
_PIECE_BYTES = 1 << 20
_SAMPLE_S = 0.2
_DEMO = Path(__file__).parent.parent / "sus_local" / "demo" / "checkpoint"
# Not a multiple of any row's length, so that no two rows of a tensor are alike.
_NOISE = np.random.default_rng(0).standard_normal((1 << 24) + 77, np.float32) * np.float32(0.02)
_POOL: bytes = (_NOISE.view(np.uint32) >> 16).astype("<u2").tobytes()
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
        """The length and the JSON, padded as the safetensors library does."""
        place, entries = 0, {}
        for name, shape in self.tensors.items():
            end = place + num_bytes(shape)
            entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place, end]}
            place = end
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    @cached_property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + sum(map(num_bytes, self.tensors.values()))

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
            yield num_bytes(shape), _noise if len(shape) == 2 else _ones


def num_bytes(shape: tuple[int, ...]) -> int:
    """Of a bf16 tensor."""
    return 2 * int(np.prod(shape))


def _ones(start: int, end: int) -> bytes:
    return (_ONE * (end // 2 + 1))[start:end]


def _noise(start: int, end: int) -> bytes:
    start, length = start % len(_POOL), end - start
    piece = _POOL[start : start + length]
    return piece if len(piece) == length else piece + _POOL[: length - len(piece)]


def shards(layers: int) -> list[Shard]:
    """The checkpoint, cut into files of at most ``SHARD_BYTES``."""
    groups: list[dict[str, tuple[int, ...]]] = [{}]
    for name, shape in _tensors(layers):
        if sum(map(num_bytes, groups[-1].values())) + num_bytes(shape) > SHARD_BYTES:
            groups.append({})
        groups[-1][name] = shape
    names = (f"model-{n:05}-of-{len(groups):05}.safetensors" for n in range(1, len(groups) + 1))
    return [Shard(name, group) for name, group in zip(names, groups, strict=True)]


def _tensors(layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", KEYS, HIDDEN),
            ("self_attn.v_proj", KEYS, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", FFN, HIDDEN),
            ("mlp.up_proj", FFN, HIDDEN),
            ("mlp.down_proj", HIDDEN, FFN),
        ):
            yield f"{prefix}{name}.weight", (rows, columns)
        yield f"{prefix}input_layernorm.weight", (HIDDEN,)
        yield f"{prefix}post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


class Hub(ThreadingHTTPServer):
    """Enough of the hub for its client: one repository at one commit, ranges honoured."""

    daemon_threads = True

    def __init__(self, layers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.shards = {shard.name: shard for shard in shards(layers)}
        self.small = _small_files(self.shards.values(), layers)
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


def _small_files(parts: Any, layers: int) -> dict[str, bytes]:
    """Configuration, index, and the demo model's tokenizer, which the vocabulary pads."""
    config = json.loads((_DEMO / "config.json").read_text())
    config |= {"num_hidden_layers": layers, "hidden_size": HIDDEN, "intermediate_size": FFN}
    config |= {"num_attention_heads": 56, "num_key_value_heads": 8, "vocab_size": VOCABULARY}
    weights = {name: shard.name for shard in parts for name in shard.tensors}
    index = {"metadata": {}, "weight_map": weights}
    files = {"config.json": config, "model.safetensors.index.json": index}
    made = {name: json.dumps(content).encode() for name, content in files.items()}
    copied = ("tokenizer.model", "tokenizer_config.json", "generation_config.json")
    return made | {name: (_DEMO / name).read_bytes() for name in copied}


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


class Watch(threading.Thread):
    """Measures a process's memory and what lies on the disk; kills it when the output is so large.

    Not by ``ru_maxrss``, which begins at what this process held when it started the other one.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], kill_bytes: float) -> None:
        super().__init__(daemon=True)
        self._folder, self._process, self._kill_bytes = folder, process, kill_bytes
        self.peak_disk_bytes = 0
        self.peak_memory_bytes = 0

    def run(self) -> None:
        while self._process.returncode is None:
            sizes = dict(_sizes(self._folder))
            self.peak_disk_bytes = max(self.peak_disk_bytes, sum(sizes.values()))
            self.peak_memory_bytes = max(self.peak_memory_bytes, _peak_resident(self._process.pid))
            written = sum(size for path, size in sizes.items() if ".gguf" in path.name)
            if self._kill_bytes and written > self._kill_bytes:
                self._process.kill()
                return
            time.sleep(_SAMPLE_S)


def _peak_resident(pid: int) -> int:
    """The most memory that a process had so far; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _sizes(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every file, with the bytes that it takes on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                yield path, path.lstat().st_blocks * 512
            except OSError:  # it was deleted meanwhile
                continue


def convert(folder: Path, hub: Hub, kind: str, kill_bytes: float = 0.0) -> dict[str, Any]:
    """One run of the program: what it took, whether or not it came to its end."""
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HOME": str(folder / "hf"), "SUS_LOCAL_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "sus_local", "convert", REPOSITORY, "-q", kind, "--json"]
    before, started = hub.num_sent, time.monotonic()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        watch = Watch(folder, process, kill_bytes)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    watch.join()
    return {
        "status": process.returncode,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_mb": round(watch.peak_memory_bytes / 1e6),
        "peak_disk_gb": round(watch.peak_disk_bytes / 1e9, 2),
        "fetched_gb": round((hub.num_sent - before) / 1e9, 2),
    }


def _verify(folder: Path, name: str) -> dict[str, Any]:
    environment = {**os.environ, "SUS_LOCAL_HOME": str(folder / "home")}
    started = time.monotonic()
    command = [sys.executable, "-m", "sus_local", "models", "verify", name]
    status = subprocess.run(command, env=environment, check=False).returncode
    return {"status": status, "seconds": round(time.monotonic() - started, 1)}


def main() -> int:
    """Run it; 0 if the file was made and is what its manifest says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="a disk with 45 GB free")
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--layers", type=int, default=60, help="fewer: a smaller model, sooner")
    parser.add_argument("--kill-at", type=float, default=0.0, help="share of the output")
    parser.add_argument("--keep", action="store_true", help="leave the model in the folder")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="full-size-"))
    hub = Hub(options.layers)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    source = sum(shard.size for shard in hub.shards.values())
    print(json.dumps({"source_gb": round(source / 1e9, 2), "shards": len(hub.shards)}), flush=True)
    if options.kill_at:
        # Four and a half of sixteen bits, roughly; to be killed somewhere is all that matters.
        run = convert(folder, hub, options.type, options.kill_at * source * 4.8 / 16)
        print(json.dumps({"killed": run}), flush=True)
    run = convert(folder, hub, options.type)
    print(json.dumps({"converted": run}), flush=True)
    made = sorted((folder / "home").rglob("*.gguf"))
    for path in made:
        print(json.dumps({"file": str(path), "gb": round(path.stat().st_size / 1e9, 2)}))
    verified = _verify(folder, made[0].stem) if made else {"status": 1}
    print(json.dumps({"verified": verified}), flush=True)
    for path in () if options.keep else made:
        path.unlink()
    return int(run["status"] != 0 or verified["status"] != 0)


if __name__ == "__main__":
    sys.exit(main())
