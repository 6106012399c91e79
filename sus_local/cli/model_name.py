"""The MODEL of a command line → a file. ``demo`` is the bundled demo model, ``./demo`` a file."""

from __future__ import annotations

from pathlib import Path

from sus_local import models, paths, presets
from sus_local.errors import ModelNotFoundError, PresetError
from sus_local.presets import Preset

DEMO = "demo"


def model_file(name: str) -> Path:
    """The model file that a user means by ``name``.

    Raises:
        ModelNotFoundError: There is none; the hint is the next command.
    """
    if name.lower() == DEMO:
        from sus_local.demo.model import ensure_model

        return ensure_model()
    return models.resolve(name)


def named_model(name: str) -> tuple[str, Path]:
    """The model that a user means by ``name``: the name that finds it again, and its file.

    Raises:
        ModelNotFoundError: There is none; the hint is the next command.
    """
    path = model_file(name)
    if name.lower() == DEMO:
        return DEMO, path
    if path.parent == paths.models_dir():
        return models.at_path(path).name, path
    return str(path.resolve()), path


def preset_or_model(name: str) -> Preset:
    """What a user means by ``name``: a preset, or else a model, as a preset that sets nothing.

    Raises:
        PresetError: The preset's file is wrong.
    """
    return presets.find(name) if presets.exists(name) else Preset(name)


def free_for_preset(name: str) -> None:
    """See that a preset of this name would hide no model.

    Raises:
        PresetError: It would.
    """
    taken = [DEMO, *(each for model in models.list_models() for each in (model.name, model.family))]
    if name.lower() in (each.lower() for each in taken):
        raise PresetError(f"{name} is the name of a model", hint="take another one", name=name)


def remember(name: str, path: Path) -> None:
    """Note that a model was used last; the demo is there for who asks for it."""
    if name != DEMO:
        models.remember_used(path)


def model_names() -> list[str]:
    """What :func:`model_file` takes, beside paths."""
    return [*(model.name for model in models.list_models()), DEMO]


def names_to_talk_to() -> list[str]:
    """What :func:`preset_or_model` takes, beside paths."""
    return [*model_names(), *presets.names()]


def stored_model(name: str) -> models.StoredModel:
    """The model, with all its files, that a user means by ``name``.

    Raises:
        ModelNotFoundError: There is none; the hint is the next command.
    """
    if name.lower() == DEMO:
        return models.at_path(model_file(name))
    return models.find(name)


def last_or_only() -> str:
    """The model to take where none is named: the one used last, else the only one.

    Raises:
        ModelNotFoundError: There is none, or there are several.
    """
    recent = models.last_used()
    if recent is not None:
        return str(recent.path)
    installed = models.list_models()
    if len(installed) == 1:
        return str(installed[0].path)
    if installed:
        names = ", ".join(model.name for model in installed)
        raise ModelNotFoundError(f"which model? here are {names}", hint="name one of them")
    raise ModelNotFoundError(
        "no model is installed yet",
        hint="try `sus-local demo --chat`, or get the real one: "
        "sus-local convert SUSTech/SUS-Chat-34B -q Q4_K_M",
    )


def shown_name(model: str) -> str:
    """A model's name for people: without its folder.

    >>> shown_name("/models/a-Q8_0.gguf"), shown_name("demo")
    ('a-Q8_0', 'demo')
    """
    return Path(model).stem if model.endswith(".gguf") else model
