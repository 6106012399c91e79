"""What tests of pulling share: files that begin as GGUF files do, and a hub that has them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sus_local import hub, models, paths
from sus_local import pull as pulling
from tests.convert.hub_client import client_of
from tests.convert.hub_server import HubServer

NAME = "tiny/llama"
Q4 = "tiny-llama.Q4_K_M.gguf"


def gguf(seed: int, *, architecture: str = "llama", size: int = 200_000) -> bytes:
    """The beginning of a GGUF file, and noise."""
    key, value = b"general.architecture", architecture.encode()
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    header += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    noise = hashlib.shake_256(bytes([seed])).digest(size)
    return header + noise


@contextmanager
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A repository of three models and what belongs to them."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "README.md").write_text("# Tiny")
    for seed, quant in enumerate(("Q4_K_M", "Q8_0", "IQ2_XS")):
        (folder / f"tiny-llama.{quant}.gguf").write_bytes(gguf(seed, size=200_000 + seed))
    (folder / "mmproj-tiny-f16.gguf").write_bytes(gguf(7))
    (folder / "tiny-llama.imatrix.gguf").write_bytes(gguf(8))
    home = tmp_path / "home"
    monkeypatch.setattr(hub, "LONGEST_WAIT_S", 0.0)
    with HubServer(folder) as server, client_of(server.endpoint, home, monkeypatch):
        yield server


def pull(reference: str) -> models.StoredModel:
    """Plan and fetch."""
    return pulling.pull(pulling.plan(reference))


def put(content: bytes, **manifest: object) -> Path:
    """A model in the store under the name of the one that is pulled."""
    path = paths.models_dir() / Q4
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if manifest:
        models.write_manifest(path, manifest)
    return path
