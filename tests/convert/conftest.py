"""What tests of the hub share: a repository on a loopback server, and a client that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sus_local import hub

from .checkpoints import write_checkpoint
from .hub_client import client_of
from .hub_server import HubServer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Shards are several times as large as what is read to find their headers.
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_checkpoint(folder, num_shards=3, hidden=256, ffn=512)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(checkpoint: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(hub, "LONGEST_WAIT_S", 0.0)
    with HubServer(checkpoint) as server, client_of(server.endpoint, home, monkeypatch):
        yield server


@pytest.fixture
def spool(home: Path, server: HubServer) -> Path:
    return home / "sus" / "convert" / "tiny--llama"
