"""Points the real ``huggingface_hub`` client at a server of the test, in this process or another.

The client reads its environment when it is imported. So in this process its constants are set, and
another process gets the variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .hub_server import HubServer


@contextmanager
def client_of(endpoint: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the client of this process speak with ``endpoint`` and write under ``home`` alone."""
    from huggingface_hub import constants, utils

    monkeypatch.setenv("SUS_LOCAL_HOME", str(home / "sus"))
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    try:
        yield
    finally:
        # Sockets that are left open would be reported as leaks.
        close = getattr(utils, "close_session", None)
        if close is not None:
            close()


def leave_part(path: Path, content: bytes, etag: str) -> None:
    """What an attempt that ended early leaves of the file ``path``, whose content is ``etag``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".part").write_bytes(content)
    path.with_name(path.name + ".part.etag").write_text(etag)


def lying(spool: Path, server: HubServer, name: str) -> Path:
    """Where a shard lies: under its hash and its name."""
    return spool / server.sha256(name)[:16] / name


def environment(endpoint: str, home: Path, **more: str) -> dict[str, str]:
    """The variables of another process that speaks with ``endpoint`` and writes under ``home``."""
    ours = ("HF_", "HUGGING", "SUS_LOCAL_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SUS_LOCAL_HOME": str(home / "sus"),
        **more,
    }
