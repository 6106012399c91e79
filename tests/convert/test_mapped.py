"""A shard that is closed while it is hashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local.convert.mapped import MappedShard, file_sha256
from sus_local.convert.source import Shard


def test_hashing_ends_when_the_shard_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(bytes(3 << 20))
    shard = MappedShard(path, Shard(path.name, 3 << 20))
    shard.close()
    with pytest.raises(ValueError, match="was closed"):
        shard.sha256()
    pieces: list[bool] = []

    def stopped() -> bool:
        pieces.append(True)
        return len(pieces) == 2

    with pytest.raises(ValueError, match="was closed"):
        file_sha256(path, stopped=stopped)
    assert len(pieces) == 2
