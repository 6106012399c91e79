"""Whether model files are still what their manifest says.

A manifest lists ``files`` with their sizes and SHA-256; a converted one lists ``tensors`` as well,
so that damage can be named.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sus_local.errors import InvalidModelError, StorageError, VerificationError, from_os_error
from sus_local.header import split_parts
from sus_local.models import StoredModel, read_manifest, write_manifest

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """What a verification read and found right.

    Attributes:
        num_files: Files compared.
        num_bytes: Bytes read.
        sha256: Of each file, in order.
    """

    num_files: int
    num_bytes: int
    sha256: tuple[str, ...]


def verify(model: StoredModel, *, on_bytes: Callable[[int], None] = lambda count: None) -> Checked:
    """Read every file of ``model`` again, compare it with the manifest, note there what came out.

    The files are the model's own, in order, whatever they were called when the manifest was made.

    Args:
        on_bytes: Called with the number of bytes that each step read.

    Raises:
        InvalidModelError: There is no manifest, or it has no checksums.
        VerificationError: A file is missing, of another size, or of other content.
        StorageError: A file cannot be read.
    """
    entries = _entries(model)
    digests: list[str] = []
    for path, entry in zip(split_parts(model.path), entries, strict=True):
        _check_size(path, entry)
        digest = _digest(path, 0, entry["bytes"], on_bytes)
        if digest != entry["sha256"]:
            _note(model, damaged=path.name)
            raise _changed(model, path, len(digests))
        digests.append(digest)
    _note(model, verified={"at": _now(), "mtime_ns": _times(model)})
    return Checked(len(entries), sum(entry["bytes"] for entry in entries), tuple(digests))


def state(model: StoredModel) -> str:
    """What is known of a model's checksums, without reading the files.

    ``"none"`` recorded; ``"changed"``: a file has another size or time than when it was verified;
    ``"verified"``; or only ``"recorded"``.
    """
    try:
        entries = _entries(model)
    except InvalidModelError:
        return "none"
    sizes = [_size(path) for path in split_parts(model.path)]
    if sizes != [entry["bytes"] for entry in entries] or model.manifest.get("damaged"):
        return "changed"
    verified = model.manifest.get("verified")
    if not isinstance(verified, dict):
        return "recorded"
    return "verified" if verified.get("mtime_ns") == _times(model) else "changed"


def _entries(model: StoredModel) -> Sequence[Mapping[str, Any]]:
    files = model.manifest.get("files")
    num_files = len(split_parts(model.path))
    if isinstance(files, list) and len(files) == num_files and all(map(_is_entry, files)):
        return files
    raise InvalidModelError(
        f"nothing is recorded to verify {model.name} against",
        hint="only files from sus-local convert and sus-local pull have checksums",
        name=model.name,
    )


def _is_entry(entry: object) -> bool:
    return _holds(entry, name=str, bytes=int, sha256=str)


def _is_tensor(entry: object) -> bool:
    return _holds(entry, name=str, file=int, offset=int, bytes=int, sha256=str)


def _holds(entry: object, **kinds: type) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(k), t) for k, t in kinds.items())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _check_size(path: Path, entry: Mapping[str, Any]) -> None:
    size, expected = _size(path), entry["bytes"]
    if size == expected:
        return
    what = f"{path.name} has {size} bytes, expected {expected}"
    raise VerificationError(
        f"{path.name} is missing" if size < 0 else what,
        hint="convert or pull it again",
        path=str(path),
        size=size,
        expected=expected,
    )


def _digest(path: Path, start: int, length: int, on_bytes: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            file.seek(start)
            while length and (piece := file.read(min(_PIECE_BYTES, length))):
                digest.update(piece)
                length -= len(piece)
                on_bytes(len(piece))
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error
    return digest.hexdigest()


def _changed(model: StoredModel, path: Path, index: int) -> VerificationError:
    """The error for a changed file, with the first damaged tensor where the manifest knows it."""
    tensor = _first_damaged(model, path, index)
    where = f" (tensor {tensor})" if tensor else ""
    return VerificationError(
        f"{path.name} is not what was recorded{where}",
        hint="convert or pull it again",
        path=str(path),
        tensor=tensor,
    )


def _first_damaged(model: StoredModel, path: Path, index: int) -> str:
    tensors = model.manifest.get("tensors")
    for tensor in tensors if isinstance(tensors, list) else ():
        if not _is_tensor(tensor) or tensor["file"] != index:
            continue
        if _digest(path, tensor["offset"], tensor["bytes"], lambda _: None) != tensor["sha256"]:
            return str(tensor["name"])
    return ""


def _times(model: StoredModel) -> list[int]:
    return [path.stat().st_mtime_ns for path in model.files]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _note(model: StoredModel, **found: object) -> None:
    """Record what came out; a manifest that cannot be written does not make it a failure.

    One that was made anew while the files were read is of other files, and stays.
    """
    manifest = read_manifest(model.path)
    if manifest.get("files") != model.manifest.get("files"):
        return
    kept = {k: v for k, v in manifest.items() if k not in ("verified", "damaged")}
    with contextlib.suppress(StorageError):
        write_manifest(model.path, {**kept, **found})
