"""Presets: a model with a system message and parameters, kept under a name.

Each is a file ``NAME.json`` in the folder ``presets`` of the user's data, to be edited by hand as
well:

    {"model": "SUS-Chat-34B-Q4_K_M", "system": "Be brief.", "sampling": {"temperature": 0.3}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sus_local import paths
from sus_local.errors import PresetError, SamplingError, from_os_error
from sus_local.sampling import SamplingParams
from sus_local.textfile import write_whole

_NAME = re.compile(r"\w[\w.-]*")
_RESERVED = ("save", "rm")
"""Words of the chat's command."""

_KINDS = {"model": str, "system": str, "sampling": dict, "n_ctx": int}


@dataclass(frozen=True, slots=True)
class Preset:
    """What a name stands for.

    Attributes:
        model: As the user names it.
        system: System message of new conversations.
        sampling: Sampling parameters, by the names of ``SamplingParams``.
        n_ctx: The context's length; None for the model's default.
    """

    model: str
    system: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    n_ctx: int | None = None

    @property
    def loading(self) -> dict[str, Any]:
        """Arguments for ``load``."""
        return {} if self.n_ctx is None else {"n_ctx": self.n_ctx}

    @property
    def told(self) -> dict[str, Any]:
        """What it sets, for files and for people."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


def names() -> list[str]:
    """Of all presets."""
    folder = _folder()
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def find(name: str) -> Preset:
    """The preset of a name.

    Raises:
        PresetError: There is none, or its file is wrong.
        StorageError: It cannot be read.
    """
    path = _existing(name)
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"it is no JSON: {error}") from error
    return _checked(value, path)


def exists(name: str) -> bool:
    """Whether there is a preset of this name.

    >>> exists("/models/a.gguf")
    False
    """
    return _NAME.fullmatch(name) is not None and _path(name).is_file()


def save(name: str, preset: Preset) -> Path:
    """Keep a preset, in place of one that has the name; gives its file.

    Raises:
        PresetError: It cannot have this name, or this context.
        StorageError: It cannot be written.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise PresetError(
            f"a preset cannot have the name {name!r}",
            hint="take letters and digits, with . - _ in between",
            name=name,
        )
    if preset.n_ctx is not None and preset.n_ctx < 1:
        raise PresetError(
            f"n_ctx is {preset.n_ctx}, not a positive number",
            hint="give a number of tokens, or leave it out",
            n_ctx=preset.n_ctx,
        )
    text = json.dumps(preset.told, ensure_ascii=False, indent=1)
    write_whole(_path(name), text + "\n")
    return _path(name)


def remove(name: str) -> None:
    """Forget a preset.

    Raises:
        PresetError: There is none.
        StorageError: It cannot be removed.
    """
    path = _existing(name)
    try:
        path.unlink()
    except OSError as error:
        raise from_os_error(error, doing="deleting", path=path) from error


def _existing(name: str) -> Path:
    if not exists(name):
        told = ", ".join(names())
        hint = f"there are {told}" if told else "in a chat: /preset save NAME"
        raise PresetError(f"there is no preset {name!r}", hint=hint, name=name)
    return _path(name)


def _folder() -> Path:
    return paths.data_dir() / "presets"


def _path(name: str) -> Path:
    return _folder() / f"{name}.json"


def _checked(value: Any, path: Path) -> Preset:
    if not isinstance(value, dict):
        raise _wrong(path, "it is no JSON object")
    for name, each in value.items():
        if name not in _KINDS:
            raise _wrong(path, f"it has {name!r}, a preset has {', '.join(_KINDS)}")
        if not isinstance(each, _KINDS[name]) or isinstance(each, bool):
            raise _wrong(path, f"{name} is {each!r}")
    if not value.get("model"):
        raise _wrong(path, "it names no model")
    if value.get("n_ctx", 1) < 1:
        raise _wrong(path, f"n_ctx is {value['n_ctx']}, not a positive number")
    try:
        SamplingParams(**value.get("sampling", {}))
    except (SamplingError, TypeError) as error:
        raise _wrong(path, str(error)) from error
    return Preset(**value)


def _wrong(path: Path, why: str) -> PresetError:
    return PresetError(f"the preset {path.stem} cannot be used: {why}", hint=f"edit {path}")
