"""Ready GGUF files from the hub into the local store.

>>> parse_reference("hf.co/org/repo:q4_k_m")
('org/repo', 'Q4_K_M')
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from sus_local import hub, models, paths
from sus_local.download import PARTIAL_SUFFIX, Download
from sus_local.errors import (
    DiskFullError,
    InvalidModelError,
    ModelNotFoundError,
    OutputHeldError,
    from_os_error,
)
from sus_local.hub import HubFile, Repository
from sus_local.models import StoredModel

PREFERRED = ("Q4_K_M", "Q5_K_M", "Q4_K_S", "Q4_0", "Q8_0")
"""What is taken where the user names no quantization, the first that there is."""

_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})$")
# Neither a model, nor a name that stays inside its folder on every platform.
_NO_MODEL = re.compile(r"mmproj|imatrix|\.\.|[\\:]", re.IGNORECASE)
_FIRST_BYTES = 1 << 16
_ARCHITECTURE = b"general.architecture"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of a repository: a file, or the parts of a split one in order.

    Attributes:
        name: The file name without ``.gguf`` and without the counting of a split file.
        files: As they are in the repository.
    """

    name: str
    files: tuple[HubFile, ...]

    @property
    def quant(self) -> str:
        """The quantization in the name, in capitals; empty if there is none."""
        return StoredModel(self.name, (), 0).quant

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class PullPlan:
    """A download before it begins.

    Attributes:
        repository: Where the files are.
        candidate: Which ones.
        folder: Where they go.
        missing_bytes: What is not on this machine yet.
    """

    repository: Repository
    candidate: Candidate
    folder: Path
    missing_bytes: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that there will be."""
        return tuple(self.folder / base_name(file) for file in self.candidate.files)


def plan(reference: str, *, revision: str | None = None, folder: Path | None = None) -> PullPlan:
    """Choose the files, and check that they can be used here; nothing is fetched yet.

    Args:
        reference: ``org/repo``, or ``org/repo:QUANT``; ``QUANT`` may be a whole file name as well.
        revision: Branch, tag or commit.
        folder: Another folder than the local store.

    Raises:
        HubError: The hub said no, or cannot be reached.
        ModelNotFoundError: The repository has no such GGUF file.
        InvalidModelError: It is of an architecture that this program does not run.
        DiskFullError: There is no room for it.
    """
    name, quant = parse_reference(reference)
    repository = hub.resolve(name, revision=revision)
    candidate = choose(repository, quant)
    folder = paths.models_dir() if folder is None else folder
    missing = sum(_missing_bytes(repository, file, folder) for file in candidate.files)
    if missing:
        _check_architecture(repository, candidate.files[0])
        _check_space(folder, missing)
    return PullPlan(repository, candidate, folder, missing)


def pull(planned: PullPlan, *, on_bytes: Callable[[int], None] = lambda count: None) -> StoredModel:
    """Fetch what a plan lacks and write its manifest. Goes on where an earlier attempt stopped.

    Args:
        planned: From :func:`plan`.
        on_bytes: Called with the number of bytes that each step brought.

    Raises:
        HubError: The hub said no, stayed out of reach, or sent other content than it promised.
        StorageError: A file cannot be written.
        OutputHeldError: Another process fetches the same model.
    """
    repository, first = planned.repository, planned.paths[0]
    with _held(first):
        recorded = _recorded(first)
        digests = [
            recorded[path.name]
            if path.exists() and recorded.get(path.name) == file.sha256
            else _fetch(repository, file, path, on_bytes)
            for file, path in zip(planned.candidate.files, planned.paths, strict=True)
        ]
        models.write_manifest(first, _manifest(planned, digests))
    return models.at_path(first)


def parse_reference(reference: str) -> tuple[str, str]:
    """The repository and the quantization (in capitals; empty if there is none) that are meant.

    Raises:
        ModelNotFoundError: It is not of the form ``org/repo[:QUANT]``.
    """
    place = reference.rfind("/")
    name, colon, quant = reference[place + 1 :].strip().partition(":")
    repository = hub.repository_name(reference[: place + 1].strip() + name)
    if not repository or (colon and not quant):
        hint = "give org/repo or org/repo:QUANT, for instance org/repo:Q4_K_M"
        raise ModelNotFoundError(f"{reference} names no repository", hint=hint, name=reference)
    return repository, quant.upper()


def candidates(repository: Repository) -> list[Candidate]:
    """The models among a repository's files, the smallest first."""
    groups: dict[str, list[HubFile]] = {}
    for name in sorted(repository.files):
        path = PurePosixPath(name)
        if path.suffix.lower() == ".gguf" and not _NO_MODEL.search(name):
            groups.setdefault(_SPLIT.sub("", path.stem), []).append(repository.files[name])
    found = [Candidate(name, tuple(files)) for name, files in groups.items()]
    return sorted(found, key=lambda candidate: (candidate.num_bytes, candidate.name))


def choose(repository: Repository, quant: str = "") -> Candidate:
    """The model that is meant.

    Args:
        quant: A quantization or the name of a file; if empty, the first of :data:`PREFERRED`.

    Raises:
        ModelNotFoundError: None or several; the hint is the next command.
    """
    found = candidates(repository)
    if not found:
        raise _nothing(repository)
    if not quant and len(found) == 1:
        return found[0]
    for wanted in [quant] if quant else PREFERRED:
        matches = [c for c in found if wanted.upper() in (c.quant, c.name.upper())]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise _ambiguous(repository, wanted, matches)
    raise _ambiguous(repository, quant, found)


def _ambiguous(repository: Repository, quant: str, found: list[Candidate]) -> ModelNotFoundError:
    names = [c.quant or c.name for c in found]
    if len(set(names)) < len(names):
        names = [c.name for c in found]
    what = f"no {quant}" if quant and quant not in names else "several models"
    if any(quant == c.quant for c in found):
        what = f"{len(found)} models of type {quant}"
    return ModelNotFoundError(
        f"{repository.name} has {what}: {', '.join(names[:30])}",
        hint=f"sus-local pull {repository.name}:{names[0]}",
        repository=repository.name,
        names=names,
    )


def _nothing(repository: Repository) -> ModelNotFoundError:
    has_weights = any(name.endswith(".safetensors") for name in repository.files)
    hint = f"sus-local convert {repository.name} -q Q4_K_M" if has_weights else ""
    return ModelNotFoundError(
        f"{repository.name} has no GGUF files", hint=hint, repository=repository.name
    )


def base_name(file: HubFile) -> str:
    """The file's name without the folders of the repository."""
    return PurePosixPath(file.name).name


def _missing_bytes(repository: Repository, file: HubFile, folder: Path) -> int:
    path = folder / base_name(file)
    if path.exists():
        _check_same(repository, file, path)
        return 0
    if hub.find_cached(repository, file.name) is not None:
        return 0
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    return max(0, file.size - (partial.stat().st_size if partial.exists() else 0))


def _check_same(repository: Repository, file: HubFile, path: Path) -> None:
    """A file of that name must not be of another model."""
    size = path.stat().st_size
    if size != file.size:
        raise OutputHeldError(
            f"{path} is another model already: {size} bytes, not the {file.size} of "
            f"{repository.name}",
            hint=f"sus-local models rm {_SPLIT.sub('', path.stem)}, or choose another folder",
            path=str(path),
        )


def _check_architecture(repository: Repository, file: HubFile) -> None:
    """A few bytes tell what would otherwise be known after hours."""
    start = hub.read_range(repository, file.name, 0, min(_FIRST_BYTES, file.size))
    if start[:4] != b"GGUF":
        raise InvalidModelError(f"{file.name} of {repository.name} is not a GGUF file")
    architecture = _architecture(start)
    if architecture not in ("", "llama"):
        raise InvalidModelError(
            f"{repository.name} has the architecture {architecture!r}, this program runs 'llama'",
            hint="choose a LLaMA model, such as SUS-Chat-34B",
            architecture=architecture,
        )


def _architecture(start: bytes) -> str:
    """What the beginning of a GGUF file names; empty if it names it later."""
    place = start.find(_ARCHITECTURE)
    if place < 0:
        return ""
    place += len(_ARCHITECTURE) + 4
    length = int.from_bytes(start[place : place + 8], "little")
    return start[place + 8 : place + 8 + min(length, 64)].decode("utf-8", "replace")


def _check_space(folder: Path, needed: int) -> None:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DiskFullError(
            f"{needed / 1e9:.2f} GB are needed at {folder}, {free / 1e9:.2f} GB are free",
            hint="free some space, or choose a smaller quantization",
            needed_bytes=needed,
            free_bytes=free,
        )


def _fetch(
    repository: Repository, file: HubFile, path: Path, on_bytes: Callable[[int], None]
) -> str:
    """Bring one file to its place; its SHA-256."""
    cached = hub.find_cached(repository, file.name)
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        if path.exists():
            os.replace(path, partial)
        elif cached is not None and not partial.exists():
            _link(cached.resolve(), partial)
    except OSError as error:
        raise from_os_error(error, doing="writing", path=path) from error
    return Download(repository, file.name, path, on_bytes=on_bytes).run()


def _recorded(path: Path) -> dict[str, str]:
    """File name → SHA-256, of a manifest that is there already."""
    files = models.read_manifest(path).get("files")
    entries = [entry for entry in files if isinstance(entry, dict)] if files else []
    return {str(entry.get("name")): str(entry.get("sha256")) for entry in entries}


def _link(source: Path, target: Path) -> None:
    """The same bytes under a second name, or a copy where the file system cannot do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Two processes must not append to one partial file."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputHeldError(
            f"another process fetches {path.name}", hint="wait for it", path=str(path)
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def _manifest(planned: PullPlan, digests: list[str]) -> dict[str, Any]:
    files = zip(planned.candidate.files, digests, strict=True)
    return {
        "format": 1,
        "type": planned.candidate.quant,
        "files": [
            {"name": base_name(file), "bytes": file.size, "sha256": digest}
            for file, digest in files
        ],
        "source": {
            "label": planned.repository.name,
            "repository": planned.repository.name,
            "revision": planned.repository.commit,
        },
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
