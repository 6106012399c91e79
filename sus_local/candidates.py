"""The models among the files of a repository, and the one that is meant.

>>> parse_reference("hf.co/org/repo:q4_k_m")
('org/repo', 'q4_k_m')
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from sus_local import hub
from sus_local.errors import ModelNotFoundError
from sus_local.header import split_name
from sus_local.hub import HubFile, Repository
from sus_local.models import StoredModel
from sus_local.shell import quoted

PREFERRED = ("Q4_K_M", "Q5_K_M", "Q4_K_S", "Q4_0", "Q8_0")
"""What is taken where the user names no quantization, the first that there is."""

_REFERENCE = re.compile(r"((?:https?://)?[^:]*)(:?)(.*)", re.DOTALL)
_QUANT = r"(?:i?q|tq|b?f)\d"
# By the whole name: models are called after the imatrix that they were made with, too.
_NO_MODEL = re.compile(
    rf"mmproj([-._].*)?|.+[-._]mmproj([-._]\w+)?|imatrix([-._](?!{_QUANT}).*)?|.+[-._]imatrix",
    re.IGNORECASE,
)
# Hidden, or a name that does not stay inside its folder on every platform.
_NO_NAME = re.compile(r"(^|/)\.|[\\:\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of a repository: a file, or the parts of a split one in order.

    Attributes:
        name: What it is called, as no other one of the repository is where that can be.
        files: As they are in the repository.
        stem: The name of its files in the store, without ``.gguf`` and the counting of a split one.
        num_parts: How many files a split one has to have; 0 for one file.
    """

    name: str
    files: tuple[HubFile, ...]
    stem: str
    num_parts: int = 0

    @property
    def quant(self) -> str:
        """The quantization in the name, in capitals; empty if there is none."""
        return StoredModel(self.stem, (), 0).quant

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files)

    @property
    def is_complete(self) -> bool:
        """Whether the repository has all parts."""
        return len(self.files) == max(1, self.num_parts)

    @property
    def file_names(self) -> tuple[str, ...]:
        """What its files are called in the store, where the suffix is always in small letters."""
        if not self.num_parts:
            return (f"{self.stem}.gguf",)
        parts = range(1, self.num_parts + 1)
        return tuple(f"{self.stem}-{part:05d}-of-{self.num_parts:05d}.gguf" for part in parts)


class _Group(NamedTuple):
    """What the parts of one model have in common."""

    folder: str
    stem: str
    num_parts: int
    suffix: str


def parse_reference(reference: str) -> tuple[str, str]:
    """The repository and the quantization or file (empty if there is none) that are meant.

    Raises:
        ModelNotFoundError: It is not of the form ``org/repo[:QUANT]``.
    """
    match = _REFERENCE.fullmatch(reference.strip())
    name, colon, wanted = match.groups() if match else ("", "", "")
    repository = hub.repository_name(name)
    if not repository or (colon and not wanted):
        hint = "give org/repo or org/repo:QUANT, for instance org/repo:Q4_K_M"
        raise ModelNotFoundError(f"{reference} names no repository", hint=hint, name=reference)
    return repository, wanted


def candidates(repository: Repository) -> list[Candidate]:
    """The models among a repository's files, the smallest first."""
    groups: dict[_Group, dict[int, HubFile]] = defaultdict(dict)
    for name in sorted(repository.files):
        place = _place(name)
        if place is not None:
            groups[place[0]][place[1]] = repository.files[name]
    stems = _stems(groups)
    counted = Counter(stems.values())
    found = [
        Candidate(
            _counted(stems[group], group) if counted[stems[group]] > 1 else stems[group],
            tuple(files[part] for part in sorted(files)),
            stems[group],
            group.num_parts,
        )
        for group, files in groups.items()
    ]
    return sorted(found, key=lambda candidate: (candidate.num_bytes, candidate.name))


def _place(name: str) -> tuple[_Group, int] | None:
    """The model that a file belongs to, and its number there; None if it is of no model."""
    path = PurePosixPath(name)
    stem, part, total = split_name(path.stem)
    if path.suffix.lower() != ".gguf" or _NO_NAME.search(name) or _NO_MODEL.fullmatch(stem):
        return None
    return _Group(str(path.parent), stem, total, path.suffix), part


def _stems(groups: Iterable[_Group]) -> dict[_Group, str]:
    """What each is called in the store: with its folder where others have the same name."""
    folders: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        folders[group.stem.lower()].add(group.folder)
    return {
        group: _with_folder(group) if len(folders[group.stem.lower()]) > 1 else group.stem
        for group in groups
    }


def _with_folder(group: _Group) -> str:
    """The quantization stays, or comes, at the end, where it is looked for."""
    if group.folder == ".":
        return group.stem
    folder = group.folder.replace("/", "-")
    has_quant = StoredModel(group.stem, (), 0).quant
    return f"{folder}-{group.stem}" if has_quant else f"{group.stem}-{folder}"


def _counted(stem: str, group: _Group) -> str:
    """A split model beside another one of its name, as the store calls it."""
    return f"{stem}-00001-of-{group.num_parts:05d}" if group.num_parts else stem


def choose(repository: Repository, wanted: str = "") -> Candidate:
    """The model that is meant.

    Args:
        wanted: A quantization, or the name of a file; if empty, the first of :data:`PREFERRED`.

    Raises:
        ModelNotFoundError: None, several, or one that lacks parts; the hint is the next command.
    """
    found = candidates(repository)
    if not found:
        raise _nothing(repository)
    if not wanted and len(found) == 1:
        return _complete(repository, found[0])
    for one in [wanted] if wanted else PREFERRED:
        matches = _matching(found, one)
        if len(matches) == 1:
            return _complete(repository, matches[0])
        if matches:
            what = _several(matches, one)
            raise _ambiguous(repository, what, _labels(matches, found))
    what = f"no {wanted}" if wanted else "several models"
    raise _ambiguous(repository, what, _labels(found, found))


def _matching(found: Sequence[Candidate], wanted: str) -> list[Candidate]:
    """Those that a text may mean: an exact name comes before one in other capitals and a type."""
    name = wanted[: -len(".gguf")] if wanted.lower().endswith(".gguf") else wanted
    tests: tuple[Callable[[Candidate], bool], ...] = (
        lambda one: wanted == one.files[0].name,
        lambda one: name in _names(one),
        lambda one: name.lower() in {each.lower() for each in _names(one)},
        lambda one: name.lower() == one.stem.lower() or name.upper() == one.quant,
    )
    matches = ([one for one in found if test(one)] for test in tests)
    return next((each for each in matches if each), [])


def _names(candidate: Candidate) -> set[str]:
    path = PurePosixPath(candidate.files[0].name).with_suffix("")
    return {candidate.name, path.name, str(path)}


def _labels(wanted: Iterable[Candidate], found: Sequence[Candidate]) -> list[str]:
    """What picks each one: its type, its name, or else where it is in the repository."""
    return [_label(one, found) for one in wanted]


def _label(wanted: Candidate, found: Sequence[Candidate]) -> str:
    for label in (wanted.quant, wanted.name):
        if label and _matching(found, label) == [wanted]:
            return label
    return wanted.files[0].name


def _several(matches: Sequence[Candidate], wanted: str) -> str:
    if all(one.quant == wanted.upper() for one in matches):
        return f"{len(matches)} models of type {wanted.upper()}"
    return f"{len(matches)} models called {wanted}"


def _ambiguous(repository: Repository, what: str, names: list[str]) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"{repository.name} has {what}: {', '.join(names[:30])}",
        hint=_command("pull", repository, f":{names[0]}"),
        repository=repository.name,
        names=names,
    )


def _complete(repository: Repository, candidate: Candidate) -> Candidate:
    if candidate.is_complete:
        return candidate
    raise ModelNotFoundError(
        f"{repository.name} has {len(candidate.files)} of the {candidate.num_parts} parts of "
        f"{candidate.name}",
        hint=_command("pull", repository, "", "--list"),
        repository=repository.name,
        num_files=len(candidate.files),
        num_parts=candidate.num_parts,
    )


def _nothing(repository: Repository) -> ModelNotFoundError:
    hint = "choose another repository; those of GGUF files are mostly called …-GGUF"
    if any(name.endswith(".safetensors") for name in repository.files):
        hint = _command("convert", repository, "", "-q Q4_K_M")
    elif any(re.fullmatch(r"pytorch_model.*\.bin", name) for name in repository.files):
        hint = f"hf download {repository.name} --local-dir FOLDER, then convert FOLDER"
    return ModelNotFoundError(
        f"{repository.name} has no GGUF files", hint=hint, repository=repository.name
    )


def _command(verb: str, repository: Repository, which: str, *options: str) -> str:
    """The next command, for the revision in use."""
    if repository.revision != "main":
        options = (*options, f"--revision {quoted(repository.revision)}")
    return " ".join((f"sus-local {verb}", quoted(repository.name + which), *options))
