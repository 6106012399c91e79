"""A checkpoint on the hub, read as a stream.

Headers come first, by range requests. Then one shard after another: the next is fetched while one
is read, and each is deleted when its reader leaves it, so at most two are on disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sus_local import hub, paths, ranges
from sus_local.errors import CheckpointError, OfflineError
from sus_local.hub import HubFile, Repository

from . import safetensors_file, weights
from .folder import FolderSource, reading
from .mapped import MappedShard
from .source import Shard, ShardReader, Source, TensorInfo, Waiting
from .spool import Fetch, Spool

_FIRST_HEADER_BYTES = 1 << 16
_HEADERS_AT_ONCE = 4


def open_repository(
    name: str,
    *,
    revision: str | None = None,
    keep_source: bool = False,
    cache_dir: Path | None = None,
) -> Source:
    """A repository on the hub; its copy in the client's cache where the hub is out of reach.

    Args:
        name: ``org/name``.
        revision: Branch, tag or commit.
        keep_source: Fetch shards into the client's own cache and leave them there.
        cache_dir: Where shards lie otherwise; by default ``convert`` in this program's cache.

    Raises:
        HubError: It does not exist, is gated, or cannot be reached and is not in the cache.
        CheckpointError: It is damaged, incomplete or of another kind.
    """
    try:
        repository = hub.resolve(name, revision=revision)
    except OfflineError as error:
        return _from_cache(name, revision, error)
    spool = (cache_dir or paths.cache_dir() / "convert") / name.replace("/", "--")
    return HubSource(repository, spool=spool, keep_source=keep_source)


def _from_cache(name: str, revision: str | None, why: OfflineError) -> Source:
    snapshot = hub.find_snapshot(name, revision=revision)
    if snapshot is None:
        raise why
    try:
        return FolderSource(snapshot, label=name, repository=name, revision=snapshot.name)
    except CheckpointError as error:
        raise OfflineError(
            f"{why.message}; of its copy in the cache: {error.message}", hint=why.hint
        ) from error


class HubSource:
    """A :class:`~sus_local.convert.source.Source` that fetches shards while others are read."""

    def __init__(self, repository: Repository, *, spool: Path, keep_source: bool = False) -> None:
        self.label = repository.name
        self.repository: str | None = repository.name
        self.revision: str | None = repository.commit
        self.spool: Path | None = _clients_cache() if keep_source else spool
        self._source = repository
        self._spool = Spool(repository, spool, keep=keep_source)
        self._skipped: set[str] = set()
        self.config: Mapping[str, Any] = self._json("config.json", required=True)
        self.generation_config: Mapping[str, Any] = self._json("generation_config.json")
        shards, index = self._find_shards()
        self.shards: Sequence[Shard] = shards
        self.tensors: Mapping[str, TensorInfo] = weights.merge(self._headers(), index)

    @property
    def peak_disk_bytes(self) -> int:
        """Two neighbouring shards at most, or all of them if they are kept."""
        wanted = [shard for shard in self.shards if shard.name not in self._skipped]
        missing = [self._spool.missing_bytes(shard) for shard in wanted]
        if self._spool.keep:
            return sum(missing)
        needed = [size for size in missing if size] + [0]
        return max(a + b for a, b in zip(needed, [*needed[1:], 0], strict=True))

    def path(self, name: str) -> Path | None:
        """A small file, in the client's own cache; None if the repository has none."""
        return hub.fetch(self._source, name) if name in self._source.files else None

    @contextmanager
    def open(self, shard: Shard, *, waiting: Waiting | None = None) -> Iterator[ShardReader]:
        """Wait until a shard is here, and fetch the next one meanwhile.

        Raises:
            HubError: It cannot be fetched.
            ShardError: It is not what its header promised.
            OutputHeldError: Another conversion fetches the same shards.
        """
        path = self._spool.wait(shard, waiting or (lambda num_bytes: None))
        following = self._next_missing(shard)
        if following is not None:
            self._spool.fetch(following)
        with reading(shard.name):
            # What was fetched here was verified; what the cache holds is compared when hashed.
            digest = shard.sha256 if path == self._spool.path(shard) else None
            opened = MappedShard(path, shard, digest=digest)
        with opened as reader:
            yield reader
        self._spool.release(shard)

    def skip(self, shard: Shard) -> None:
        """This shard is not needed any more: do not fetch it, and delete what was fetched."""
        self._skipped.add(shard.name)
        self._spool.release(shard)

    def close(self) -> None:
        """Stop what is under way. Finished and partial shards stay for the next attempt."""
        self._spool.close()

    def _json(self, name: str, *, required: bool = False) -> dict[str, Any]:
        path = self.path(name)
        if path is not None:
            with reading(name):
                return weights.parse_json(path.read_bytes(), name=name)
        if not required:
            return {}
        raise weights.lacks(name, self._source.files.keys(), label=self.label)

    def _find_shards(self) -> tuple[list[Shard], dict[str, str] | None]:
        files = self._source.files
        layout = weights.choose_layout(files.keys(), label=self.label)
        if layout.kind != "safetensors":
            raise CheckpointError(
                f"{self.label} has only pytorch_model*.bin, which cannot be read as a stream",
                hint=f"hf download {self.label} --local-dir FOLDER, then convert FOLDER",
            )
        index = None
        if layout.index:
            text = hub.fetch(self._source, layout.index).read_bytes()
            index = weights.parse_index(text, name=layout.index)
        names = weights.shard_names(layout, index, present=files.keys(), label=self.label)
        return [_shard(files[name]) for name in names], index

    def _headers(self) -> list[list[TensorInfo]]:
        """A few at once. No pool: a busy hub may be waited for, and Ctrl-C ends that at once."""
        left = iter(self.shards)

        def read() -> dict[str, list[TensorInfo]]:
            return {shard.name: self._header(shard) for shard in left}

        found: dict[str, list[TensorInfo]] = {}
        try:
            for fetch in [Fetch(read) for _ in range(_HEADERS_AT_ONCE)]:
                found |= fetch.wait()
        finally:
            deque(left, maxlen=0)
        return [found[shard.name] for shard in self.shards]

    def _header(self, shard: Shard) -> list[TensorInfo]:
        path = self._spool.find(shard)
        if path is not None:
            with reading(shard.name):
                return safetensors_file.read_header(path)
        end = min(_FIRST_HEADER_BYTES, shard.size)
        content = ranges.read_range(self._source, shard.name, 0, end) if end else b""
        length = safetensors_file.header_length(content, name=shard.name, size=shard.size)
        needed = safetensors_file.LENGTH_BYTES + length
        if needed > end:
            content += ranges.read_range(self._source, shard.name, end, needed)
        return safetensors_file.parse(content, name=shard.name, size=shard.size)

    def _next_missing(self, shard: Shard) -> Shard | None:
        """The shard to fetch while this one is read; None if the next one lies in the spool."""
        for later in self.shards[self.shards.index(shard) + 1 :]:
            if later.name in self._skipped:
                continue
            path = self._spool.find(later)
            if path is None:
                return later
            if path == self._spool.path(later):
                return None
        return None


def _clients_cache() -> Path:
    """Where the hub client keeps what it fetches."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _shard(file: HubFile) -> Shard:
    return Shard(file.name, file.size, version=file.sha256 or "", sha256=file.sha256)
