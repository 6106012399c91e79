"""The manifest beside a converted file: what was made from what, with which checksums.

:mod:`sus_local.models` writes and reads it, :mod:`sus_local.checksums` compares with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from sus_local.convert.output import Output
from sus_local.convert.source import Source

FORMAT = 1


def versions() -> dict[str, str]:
    """The versions that decide what comes out."""
    return {name: version(name) for name in ("sus-local", "llama-cpp-python")}


def describe(
    output: Output, source: Source, digests: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest of a finished output."""
    places = output.layout.places.values()
    return {
        "format": FORMAT,
        "type": output.mixture,
        "files": [
            {"name": path.name, "bytes": part.size, "sha256": digest}
            for path, part, digest in zip(output.paths, output.layout.parts, digests, strict=True)
        ],
        "source": {
            "label": source.label,
            "repository": source.repository,
            "revision": source.revision,
            "shards": [
                {
                    "name": shard.name,
                    "bytes": shard.size,
                    # Of a shard that was not read in this run, what the hub says.
                    "sha256": output.journal.shards.get(shard.name, shard.sha256),
                }
                for shard in source.shards
            ],
        },
        "parameters": sum(place.spec.size for place in places if place.spec.source),
        "tensors": [
            {
                "name": place.spec.name,
                "type": place.type,
                "shape": list(place.spec.shape),
                "file": place.part,
                "offset": place.offset,
                "bytes": place.size,
                "sha256": output.done[place.spec.name],
            }
            for place in places
        ],
        "options": dict(options),
        "versions": versions(),
        "fingerprint": output.fingerprint,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
