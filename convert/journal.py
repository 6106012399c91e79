"""What of an output is done, on disk, so that a conversion that was killed goes on.

One JSON object a line: first what is being made and by whom, then every tensor and shard that is
finished. A line that was cut off by a crash counts as not written.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from sus_local.errors import OutputHeldError
from sus_local.locks import LockFile


@dataclass(slots=True)
class Journal:
    """The journal of one output.

    Attributes:
        fingerprint: Of everything that decides the bytes of the output.
        tensors: SHA-256 of every finished tensor.
        shards: SHA-256 of every finished shard of the source.
    """

    path: Path
    fingerprint: str
    tensors: dict[str, str] = field(default_factory=dict)
    shards: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, fingerprint: str) -> Journal:
        """The journal at ``path``; empty if there is none, or it is of another conversion."""
        journal = cls(path, fingerprint)
        lines = _lines(path)
        if lines and lines[0].get("fingerprint") == fingerprint:
            for line in lines[1:]:
                journal._take(line)
        return journal

    def begin(self) -> None:
        """Write the journal anew, with this process as its owner."""
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "started": time.time()}
        lines: list[dict[str, Any]] = [{"fingerprint": self.fingerprint, **owner}]
        lines += [{"tensor": name, "sha256": digest} for name, digest in self.tensors.items()]
        lines += [{"shard": name, "sha256": digest} for name, digest in self.shards.items()]
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(fresh, self.path)

    def add_tensor(self, name: str, digest: str) -> None:
        """A tensor is written."""
        self.tensors[name] = digest
        self._append({"tensor": name, "sha256": digest})

    def add_shard(self, name: str, digest: str) -> None:
        """A shard of the source is done."""
        self.shards[name] = digest
        self._append({"shard": name, "sha256": digest})

    def _take(self, line: Mapping[str, Any]) -> None:
        digest = line.get("sha256")
        if isinstance(digest, str) and isinstance(line.get("tensor"), str):
            self.tensors[line["tensor"]] = digest
        elif isinstance(digest, str) and isinstance(line.get("shard"), str):
            self.shards[line["shard"]] = digest

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _lines(path: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for text in texts:
        with contextlib.suppress(ValueError):
            value = json.loads(text)
            if isinstance(value, dict):
                lines.append(value)
    return lines


class OutputLock:
    """Keeps two conversions from writing one output; the second is told who holds it.

    Args:
        path: The lock file; it is there while the lock is held.
        journal: Where the holder wrote who it is.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._journal = journal
        self._lock = LockFile(path)

    def __enter__(self) -> OutputLock:
        if not self._lock.acquire():
            raise self._held()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _held(self) -> OutputHeldError:
        output = self._lock.path.name.removesuffix(".lock")
        lines = _lines(self._journal)
        owner = lines[0] if lines else {}
        who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}" if owner else "another"
        return OutputHeldError(
            f"{output} is being written by {who}",
            hint="wait for it, or choose another output with -o",
            pid=owner.get("pid"),
            host=owner.get("host"),
        )
