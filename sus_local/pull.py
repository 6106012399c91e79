"""Ready GGUF files from the hub into the local store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sus_local import hub, models, paths
from sus_local.candidates import PREFERRED, Candidate, choose, parse_reference
from sus_local.errors import DiskFullError, InvalidModelError
from sus_local.header import MAGIC
from sus_local.hub import Repository
from sus_local.models import StoredModel
from sus_local.partial import held
from sus_local.target import Target

_ARCHITECTURE = b"general.architecture"


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
    missing_bytes: int = 0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that there will be."""
        return tuple(self.folder / name for name in self.candidate.file_names)

    def targets(self) -> list[Target]:
        """Each file with what is recorded of it now."""
        manifest = models.read_manifest(self.paths[0])
        files = zip(self.candidate.files, self.paths, strict=True)
        return [Target(self.repository, file, path, manifest) for file, path in files]


def plan(reference: str, *, revision: str | None = None, folder: Path | None = None) -> PullPlan:
    """Choose the files, and check that they can be used here; nothing is fetched yet.

    Args:
        reference: ``org/repo``, or ``org/repo:QUANT``; ``QUANT`` may be a whole file name as well.
        revision: Branch, tag or commit.
        folder: Another folder than the local store.

    Raises:
        HubError: The hub said no, or cannot be reached.
        ModelNotFoundError: The repository has no such GGUF file, or not all its parts.
        InvalidModelError: It is of an architecture that this program does not run.
        OutputHeldError: Another model has its name.
        DiskFullError: There is no room for it.
    """
    name, wanted = parse_reference(reference)
    repository = hub.resolve(name, revision=revision)
    folder = paths.models_dir() if folder is None else folder
    planned = PullPlan(repository, choose(repository, wanted), folder)
    targets = planned.targets()
    for target in targets:
        target.check_free()
    _check_architecture(targets[0])
    _check_space(folder, sum(target.needed_bytes for target in targets))
    missing = sum(target.missing_bytes for target in targets)
    return PullPlan(repository, planned.candidate, folder, missing)


def pull(planned: PullPlan, *, on_bytes: Callable[[int], None] = lambda count: None) -> StoredModel:
    """Fetch what a plan lacks and write its manifest. Goes on where an earlier attempt stopped.

    Args:
        planned: From :func:`plan`.
        on_bytes: Called with the number of bytes that each step brought; negative where they have
            to come again.

    Raises:
        HubError: The hub said no, stayed out of reach, or sent other content than it promised.
        StorageError: A file cannot be written.
        OutputHeldError: Another process fetches the same model, or another model has its name.
    """
    first = planned.paths[0]
    if not _is_done(planned.targets()):
        with held(first):
            digests = [target.bring(on_bytes) for target in planned.targets()]
            models.write_manifest(first, _manifest(planned, digests))
    return models.at_path(first)


def _is_done(targets: Sequence[Target]) -> bool:
    """Whether nothing has to be written, which a store may not allow."""
    return all(target.is_done and target.is_of_repository for target in targets)


def find_stored(reference: str, *, revision: str | None = None) -> StoredModel | None:
    """The model that an earlier pull of ``reference`` brought; None if none or several are whole.

    Args:
        reference: As for :func:`plan`.
        revision: If given, only of this commit.
    """
    name, wanted = parse_reference(reference)
    ours = [
        model
        for model in models.list_models()
        if model.repository.lower() == name.lower() and _is_whole(model)
        if revision is None or _commit(model) == revision
    ]
    if wanted:
        found = models.find_models(wanted, ours) or models.find_models(f"{name}:{wanted}", ours)
    else:
        found = ours
    if len(found) > 1 and not wanted:
        found = [model for quant in PREFERRED for model in found if model.quant == quant][:1]
    return found[0] if len(found) == 1 else None


def _is_whole(model: StoredModel) -> bool:
    files = model.manifest.get("files")
    entries = files if isinstance(files, list) else []
    sizes = [entry.get("bytes") for entry in entries if isinstance(entry, dict)]
    here = [path.stat().st_size for path in model.files]
    return model.is_complete and sizes == here and not model.manifest.get("damaged")


def _commit(model: StoredModel) -> str:
    source = model.manifest.get("source")
    return str(source.get("revision")) if isinstance(source, dict) else ""


def _check_architecture(target: Target) -> None:
    """A few bytes tell what would otherwise be known after hours."""
    repository, start = target.repository, target.start()
    if not start.startswith(MAGIC):
        raise InvalidModelError(
            f"{target.file.name} of {repository.name} is not a GGUF file",
            hint=f"sus-local pull {repository.name} --list",
        )
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
    free = shutil.disk_usage(paths.existing(folder)).free
    if needed > free:
        raise DiskFullError(
            f"{needed / 1e9:.2f} GB are needed at {folder}, {free / 1e9:.2f} GB are free",
            hint="free some space, or choose a smaller quantization",
            needed_bytes=needed,
            free_bytes=free,
        )


def _manifest(planned: PullPlan, digests: list[str]) -> dict[str, Any]:
    files = zip(planned.candidate.files, planned.paths, digests, strict=True)
    return {
        "format": 1,
        "type": planned.candidate.quant,
        "files": [
            {"name": path.name, "bytes": file.size, "sha256": digest}
            for file, path, digest in files
        ],
        "source": {
            "label": planned.repository.name,
            "repository": planned.repository.name,
            "revision": planned.repository.commit,
        },
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
