"""The manifest beside a converted file: what was made from what, and how to tell that it still is.

>>> manifest_path(Path("model.gguf")).name
'model.gguf.json'
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sus_local.convert.output import Output, read_range
from sus_local.convert.source import Source
from sus_local.errors import InvalidModelError, VerificationError

FORMAT = 1


def manifest_path(path: Path) -> Path:
    """Where the manifest of a file lies."""
    return path.with_name(path.name + ".json")


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
                    "sha256": output.journal.shards.get(shard.name),
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


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest beside ``path``, whole or not at all."""
    target = manifest_path(path)
    fresh = target.with_name(target.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, target)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest beside a file; None if there is none.

    Raises:
        InvalidModelError: It is no manifest of this version.
    """
    target = manifest_path(path)
    try:
        manifest = json.loads(target.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidModelError(f"{target.name} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InvalidModelError(f"{target.name} is no manifest of format {FORMAT}")
    return manifest


def verify_model(path: Path) -> int:
    """Read a converted model again and compare it with its manifest.

    Returns:
        Tensors compared.

    Raises:
        InvalidModelError: There is no manifest, or it is broken.
        VerificationError: A file is missing, or differs; the first tensor that does is named.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise InvalidModelError(
            f"{path.name} has no manifest", hint="only converted models can be verified"
        )
    try:
        for number, file in enumerate(manifest["files"]):
            tensors = [entry for entry in manifest["tensors"] if entry["file"] == number]
            _verify_file(path.with_name(file["name"]), file, tensors)
        return len(manifest["tensors"])
    except (KeyError, TypeError) as error:
        raise InvalidModelError(f"the manifest of {path.name} is broken: {error}") from error


def _verify_file(path: Path, expected: Mapping[str, Any], tensors: Sequence[Any]) -> None:
    if not path.is_file():
        raise VerificationError(f"{path.name} is missing", path=str(path))
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise VerificationError(
            f"{path.name} has {size} bytes, expected {expected['bytes']}",
            hint="convert it again",
            path=str(path),
        )
    with path.open("rb") as file:
        for tensor in tensors:
            if _digest(read_range(file, tensor["offset"], tensor["bytes"])) != tensor["sha256"]:
                raise VerificationError(
                    f"the tensor {tensor['name']} of {path.name} differs from its manifest",
                    hint="the file is damaged: convert it again",
                    path=str(path),
                    tensor=tensor["name"],
                )
        if _digest(read_range(file, 0, size)) != expected["sha256"]:
            raise VerificationError(
                f"the header of {path.name} differs from its manifest",
                hint="the file was changed or damaged: convert it again",
                path=str(path),
            )


def _digest(pieces: Any) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
