"""A checkpoint in a folder on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sus_local.errors import ShardError, from_os_error

from . import safetensors_file, torch_file, weights
from .mapped import MappedShard
from .source import Shard, ShardReader, TensorInfo, Waiting
from .weights import Layout


class FolderSource:
    """A :class:`~sus_local.convert.source.Source` that reads a folder and writes nothing.

    Args:
        folder: Holds ``config.json`` and the weights.
        label: What the user calls it.
        repository: ``org/name``, if the folder is a copy of a repository.
        revision: The commit of that copy.

    Raises:
        CheckpointError: The checkpoint is damaged, incomplete or of another kind.
        StorageError: The folder or a file cannot be read.
    """

    spool: Path | None = None
    peak_disk_bytes = 0

    def __init__(
        self,
        folder: Path,
        *,
        label: str,
        repository: str | None = None,
        revision: str | None = None,
    ) -> None:
        self.label = label
        self.repository = repository
        self.revision = revision
        self._folder = folder
        self.config: Mapping[str, Any] = self._json("config.json", required=True)
        self.generation_config: Mapping[str, Any] = self._json("generation_config.json")
        present = _names(folder)
        self.layout: Layout = weights.choose_layout(present, label=label)
        index = self._index()
        names = weights.shard_names(self.layout, index, present=present, label=label)
        self.shards: Sequence[Shard] = [self._shard(name) for name in names]
        self.tensors: Mapping[str, TensorInfo] = self._read_tensors(index)

    def path(self, name: str) -> Path | None:
        """A small file such as ``tokenizer.model``; None if the folder has none."""
        path = self._folder / name
        return path if weights.is_plain_name(name) and path.is_file() else None

    @contextmanager
    def open(self, shard: Shard, *, waiting: Waiting | None = None) -> Iterator[ShardReader]:
        """Map a shard into memory.

        Raises:
            ShardError: It is gone, or changed its size since it was found.
        """
        with reading(shard.name):
            path = self._folder / shard.name
            opened = (
                MappedShard(path, shard)
                if self.layout.kind == "safetensors"
                else torch_file.open_shard(path, shard)
            )
        with opened as reader:
            yield reader

    def skip(self, shard: Shard) -> None:
        """Nothing to do: the shard is here already."""

    def close(self) -> None:
        """Nothing to do: nothing is under way."""

    def _json(self, name: str, *, required: bool = False) -> dict[str, Any]:
        if not (self._folder / name).exists():
            if not required:
                return {}
            raise weights.lacks(name, _names(self._folder), label=self.label)
        with reading(name):
            return weights.parse_json((self._folder / name).read_bytes(), name=name)

    def _index(self) -> dict[str, str] | None:
        if self.layout.index is None:
            return None
        with reading(self.layout.index):
            text = (self._folder / self.layout.index).read_bytes()
        return weights.parse_index(text, name=self.layout.index)

    def _shard(self, name: str) -> Shard:
        with reading(name):
            stat = (self._folder / name).stat()
            return Shard(name, stat.st_size, version=str(stat.st_mtime_ns))

    def _read_tensors(self, index: Mapping[str, str] | None) -> dict[str, TensorInfo]:
        return weights.merge((self._header(shard) for shard in self.shards), index)

    def _header(self, shard: Shard) -> list[TensorInfo]:
        path = self._folder / shard.name
        with reading(shard.name):
            if self.layout.kind == "safetensors":
                return safetensors_file.read_header(path)
            return torch_file.read_header(path)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Tell the file system's errors as this project's own."""
    try:
        yield
    except FileNotFoundError as error:
        hint = "run the same command again once it is back"
        raise ShardError(f"{name} is gone", hint=hint, shard=name) from error
    except OSError as error:
        raise from_os_error(error, doing="reading", path=name) from error


def _names(folder: Path) -> set[str]:
    with reading(str(folder)):
        return {entry.name for entry in folder.iterdir() if entry.is_file()}
