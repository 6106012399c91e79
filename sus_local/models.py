"""The local store: GGUF files and their manifests; a name, a path or a hub id → a file.

A model is a file ``NAME.gguf`` in the store's folder, or the files ``NAME-00001-of-0000N.gguf`` of
a split one. Beside it, or beside the first of them, lies ``….gguf.json``, its manifest: where it
came from and its checksums, as the converter or the download wrote it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sus_local import paths
from sus_local.errors import ModelNotFoundError, StorageError, from_os_error
from sus_local.header import MAGIC, split_name, split_parts
from sus_local.shell import quoted
from sus_local.textfile import write_whole

_QUANT = re.compile(r"[-.](?P<type>(?:I?Q\d\w*|TQ\d_0|B?F16|F32))$", re.IGNORECASE)
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(?::[\w.-]+)?$")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model file of the local store.

    Attributes:
        name: Its file name without ``.gguf`` and, where that is no other's name, without the
            counting of a split file.
        files: The file, or the parts of a split one in order.
        num_bytes: Size of all files.
        manifest: What is recorded about it; empty where there is no manifest.
    """

    name: str
    files: tuple[Path, ...]
    num_bytes: int
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file to load: the first part of a split one."""
        return self.files[0]

    @property
    def family(self) -> str:
        """The name without its quantization.

        >>> StoredModel("SUS-Chat-34B-Q4_K_M", (), 0).family
        'SUS-Chat-34B'
        """
        return _QUANT.sub("", self.name)

    @property
    def quant(self) -> str:
        """The quantization in the name, in capitals; empty if there is none.

        >>> StoredModel("sus-chat-34b.q4_k_m", (), 0).quant
        'Q4_K_M'
        """
        match = _QUANT.search(self.name)
        return match["type"].upper() if match else ""

    @property
    def repository(self) -> str:
        """The hub repository that it came from; empty for a local source."""
        source = self.manifest.get("source")
        name = source.get("repository") if isinstance(source, dict) else source
        return name if isinstance(name, str) and _HUB_ID.match(name) else ""

    @property
    def is_complete(self) -> bool:
        """Whether all parts of a split file are there."""
        return len(self.files) == len(split_parts(self.path))


def manifest_path(path: Path) -> Path:
    """Where the manifest of the model file ``path`` lies; of any part of a split one.

    >>> manifest_path(Path("a.gguf")).name, manifest_path(Path("b-00002-of-00002.gguf")).name
    ('a.gguf.json', 'b-00001-of-00002.gguf.json')
    """
    first = split_parts(path)[0]
    return first.with_name(first.name + ".json")


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the model file ``path``; empty if there is none, or none that is readable."""
    try:
        value = json.loads(manifest_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Put ``manifest`` beside the model file ``path``, whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    text = json.dumps(manifest, ensure_ascii=False, indent=1)
    write_whole(manifest_path(path), text + "\n")


def list_models(folder: Path | None = None) -> list[StoredModel]:
    """The models of the store, by name.

    Args:
        folder: Another folder than the store's.
    """
    folder = paths.models_dir() if folder is None else folder
    found: dict[tuple[Path, ...], list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _is_model_file(path):
            found.setdefault(split_parts(path), []).append(path)
    names = Counter(split_name(files[0].stem)[0] for files in found.values())
    models = [_stored(files, counted=names) for files in found.values()]
    return sorted(models, key=lambda model: model.name.lower())


def _is_model_file(path: Path) -> bool:
    return path.suffix.lower() == ".gguf" and not path.name.startswith(".") and path.is_file()


def at_path(path: Path) -> StoredModel:
    """The model of a file anywhere, with the other parts of a split one.

    Raises:
        ModelNotFoundError: There is no such file.
    """
    if path.is_dir():
        raise ModelNotFoundError(
            f"{path} is a folder, no model file", hint=_convert_hint(path), name=str(path)
        )
    files = [part for part in split_parts(path) if part.is_file()]
    if path not in files:
        raise ModelNotFoundError(
            f"there is no file {path}", hint="sus-local models list", name=str(path)
        )
    return _stored(files)


def _stored(files: list[Path], *, counted: Mapping[str, int] | None = None) -> StoredModel:
    """The model of files that belong together.

    Args:
        counted: How many models there are of each name.
    """
    name = split_name(files[0].stem)[0]
    if counted is not None and counted[name] > 1:
        name = files[0].stem
    num_bytes = sum(path.stat().st_size for path in files)
    return StoredModel(name, tuple(files), num_bytes, read_manifest(files[0]))


def find_models(name: str, models: list[StoredModel]) -> list[StoredModel]:
    """Those of ``models`` that ``name`` may mean; capitals do not matter.

    A name is that of a file, of a family (with ``:QUANT`` to pick one), or a hub id. The exact
    name of a file comes before all else.

    >>> models = [StoredModel("A-Q8_0", (), 0), StoredModel("A-Q4_0", (), 0)]
    >>> [model.name for model in find_models("a:q4_0", models)]
    ['A-Q4_0']
    >>> len(find_models("a", models))
    2
    """
    wanted = name.lower().removesuffix(".gguf")
    exact = [model for model in models if model.name.lower() == wanted]
    if exact:
        return exact
    base, _, quant = wanted.partition(":")
    return [
        model
        for model in models
        if base in (model.family.lower(), model.repository.lower())
        and quant in ("", model.quant.lower())
    ]


def resolve(name: str | Path) -> Path:
    """The file to load for a path, a name in the store, or a hub id.

    Raises:
        ModelNotFoundError: None, several, or one that lacks parts; the hint is the next command.
    """
    model = at_path(name) if isinstance(name, Path) else find(name)
    if not model.is_complete:
        raise ModelNotFoundError(
            f"{model.name} lacks parts: {len(model.files)} files are here",
            hint="convert or pull it again",
            name=model.name,
        )
    return model.path


def find(name: str, *, guess: bool = True) -> StoredModel:
    """The model that a user means by ``name``: a path, a name in the store, or a hub id.

    Args:
        guess: Of several, take the one that was used last.

    Raises:
        ModelNotFoundError: None, or several; the hint is the next command.
    """
    if _is_path(name):
        return at_path(_expanded(name))
    models = list_models()
    found = find_models(name, models)
    if len(found) == 1:
        return found[0]
    if not found:
        raise _not_found(name, models)
    recent = last_used() if guess else None
    for model in found:
        if recent is not None and model.path == recent.path:
            return model
    names = ", ".join(model.name for model in found)
    raise ModelNotFoundError(
        f"{len(found)} models are called {name}: {names}",
        hint=f"name one of them: {found[0].name}",
        name=name,
    )


def _is_path(name: str) -> bool:
    separators = name.startswith((".", "~", "/", "\\")) or os.path.isabs(name)
    if separators or (name.lower().endswith(".gguf") and ("/" in name or os.sep in name)):
        return True
    return _is_gguf(_expanded(name))


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # "~" and a name that no user has
        return Path(name)


def _is_gguf(path: Path) -> bool:
    """Whether it is a file that is called or begins as a GGUF file."""
    try:
        if not path.is_file() or path.suffix.lower() == ".gguf":
            return path.is_file()
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def _not_found(name: str, models: list[StoredModel]) -> ModelNotFoundError:
    import difflib

    near = difflib.get_close_matches(
        name.lower(), [each for model in models for each in _names(model)], n=3, cutoff=0.5
    )
    names = [model.name for model in models if set(_names(model)) & set(near)]
    if name and Path(name).is_dir():
        hint = _convert_hint(Path(name))
    elif Path(name).is_file():
        hint = "the file of that name is not a GGUF file: sus-local convert makes one"
    elif _HUB_ID.match(name):
        hint = f"sus-local pull {name}, or sus-local convert {name.partition(':')[0]} -q Q4_K_M"
    elif names:
        hint = f"did you mean {' or '.join(names)}? All: sus-local models list"
    elif models:
        hint = "sus-local models list"
    else:
        hint = "no model is here yet: sus-local demo, or sus-local pull org/repo:Q4_K_M"
    return ModelNotFoundError(f"there is no model {name}", hint=hint, name=name, nearest=names)


def _convert_hint(folder: Path) -> str:
    source = quoted(str(folder))
    return f"a checkpoint's folder is converted first: sus-local convert {source} -q Q4_K_M"


def _names(model: StoredModel) -> tuple[str, ...]:
    return (model.name.lower(), model.family.lower())


def remove(model: StoredModel) -> None:
    """Delete a model's files and its manifest.

    Raises:
        StorageError: A file cannot be deleted.
    """
    for path in (*split_parts(model.path), manifest_path(model.path)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, doing="deleting", path=path) from error


def remember_used(path: Path) -> None:
    """Note that the model file ``path`` was used last; where that cannot be written, let it be."""
    text = json.dumps({"path": str(path.resolve()), "at": time.time()})
    with contextlib.suppress(StorageError):
        write_whole(paths.data_dir() / "last_model.json", text)


def last_used() -> StoredModel | None:
    """The model that was used last, if its file is still there."""
    try:
        record = json.loads((paths.data_dir() / "last_model.json").read_text(encoding="utf-8"))
        return at_path(Path(record["path"]))
    except (OSError, ValueError, KeyError, TypeError, ModelNotFoundError):
        return None
