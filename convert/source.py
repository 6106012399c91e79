"""Where a checkpoint comes from: a local folder, or a repository on the hub.

Whatever it is, it shows the same face: small files by name, the place of every tensor before any
weight is read, and the shards one after another.

>>> info = TensorInfo("w", "BF16", (2, 3), "model.safetensors", 96, 108)
>>> info.num_values, info.num_bytes
(6, 12)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sus_local.errors import ConvertError, SourceNotFoundError
from sus_local.hub import repository_name


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies.

    Attributes:
        name: Its name in the checkpoint.
        dtype: As safetensors writes it: ``"BF16"``, ``"F16"``, ``"F32"``, …
        shape: Rows first, as in the checkpoint.
        shard: The file that holds it.
        start: First byte in that file.
        end: One past the last byte in that file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: str
    start: int
    end: int

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes in the file."""
        return self.end - self.start

    @property
    def num_values(self) -> int:
        """The product of its shape."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of weights.

    Attributes:
        name: Its file name.
        size: Bytes, header included.
        version: Changes when the content does: the hub's SHA-256, or the time of change.
        sha256: What the hub says it is.
    """

    name: str
    size: int
    version: str = ""
    sha256: str | None = None


Waiting = Callable[[int], None]
"""Told how many bytes of a shard are here."""


class ShardReader(Protocol):
    """An open shard. Any number of threads may read from it at once."""

    path: Path

    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the whole file."""
        ...

    def read(self, tensor: TensorInfo, start: int = 0, end: int | None = None) -> memoryview:
        """Bytes ``start`` to ``end`` of a tensor, counted from its own first byte, not copied."""
        ...

    def drop(self, tensor: TensorInfo, start: int = 0, end: int | None = None) -> None:
        """Let those bytes leave memory; reading them again is correct, only slower."""
        ...


class Source(Protocol):
    """A checkpoint that can be read shard by shard.

    Attributes:
        label: What the user calls it.
        repository: ``org/name`` if it comes from the hub.
        revision: The commit, if it comes from the hub.
        config: ``config.json``.
        generation_config: ``generation_config.json``; empty if there is none.
        tensors: Every tensor by name.
        shards: In the order to be read.
        peak_disk_bytes: What reading takes on disk at once, beyond what is there already.
        spool: The folder where those bytes lie; None if nothing is written.
    """

    label: str
    repository: str | None
    revision: str | None
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    shards: Sequence[Shard]
    spool: Path | None

    @property
    def peak_disk_bytes(self) -> int: ...

    def path(self, name: str) -> Path | None:
        """A small file such as ``tokenizer.model``; None if the checkpoint has none."""
        ...

    def open(
        self, shard: Shard, *, waiting: Waiting | None = None
    ) -> AbstractContextManager[ShardReader]:
        """Wait until a shard is here, and fetch the next one meanwhile.

        While it waits, ``waiting`` is told a few times a second how far that is.

        Leaving the context releases what was fetched for it, unless an error leaves it: the same
        command then finds the shard again.
        """
        ...

    def skip(self, shard: Shard) -> None:
        """This shard is not needed any more: do not fetch it."""
        ...

    def close(self) -> None:
        """Stop what is under way. Finished and partial shards stay for the next attempt."""
        ...


def open_source(
    source: str,
    *,
    revision: str | None = None,
    keep_source: bool = False,
    cache_dir: Path | None = None,
) -> Source:
    """Open a checkpoint and learn where its tensors lie; no weight is read yet.

    Args:
        source: A folder, or ``org/name`` (or its address) on the hub. A folder that exists comes
            first.
        revision: Branch, tag or commit on the hub.
        keep_source: Leave fetched shards in the hub client's cache.
        cache_dir: Where shards lie while they are fetched and read; by default under
            :func:`sus_local.paths.cache_dir`.

    Raises:
        SourceNotFoundError: Neither a folder nor the name of a repository.
        CheckpointError: The checkpoint is damaged, incomplete or of another kind.
        HubError: The hub said no, or cannot be reached.

    >>> open_source("./no/such/folder")
    Traceback (most recent call last):
        ...
    sus_local.errors.SourceNotFoundError: no such folder: ./no/such/folder
    """
    folder = _expanded(source)
    if folder.exists():
        if revision is not None:
            raise ConvertError(
                f"{source} is a folder, which has no revision {revision}",
                hint="leave --revision out, or give org/name on the hub",
                revision=revision,
            )
        return _open_folder(folder, source)
    name = repository_name(source)
    if not name:
        hint = "give a folder with config.json and *.safetensors, or org/name on the hub"
        raise SourceNotFoundError(f"no such folder: {source}", hint=hint, source=source)
    from .hub import open_repository

    return open_repository(name, revision=revision, keep_source=keep_source, cache_dir=cache_dir)


def _expanded(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError:  # "~" and a name that no user has
        return Path(source)


def _open_folder(folder: Path, label: str) -> Source:
    if not folder.is_dir():
        hint = "give the folder that holds it"
        raise SourceNotFoundError(f"{label} is a file, not a folder", hint=hint, source=label)
    from .folder import FolderSource

    return FolderSource(folder, label=label)
