"""What tests do with a source on the hub."""

from __future__ import annotations

from pathlib import Path

from sus_local.convert.hub import HubSource
from sus_local.convert.source import Source, open_source

NAME = "tiny/llama"
SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


def open_hub(**options: object) -> HubSource:
    source = open_source(NAME, **options)  # type: ignore[arg-type]
    assert isinstance(source, HubSource)
    return source


def read_all(source: Source) -> dict[str, bytes]:
    contents = {}
    for shard in source.shards:
        with source.open(shard) as reader:
            for tensor in source.tensors.values():
                if tensor.shard == shard.name:
                    contents[tensor.name] = bytes(reader.read(tensor))
                    reader.drop(tensor)
    source.close()
    return contents


def held_bytes(folder: Path) -> int:
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def ignore(num_bytes: int) -> None:
    """Where nobody wants to know how far a shard is."""
