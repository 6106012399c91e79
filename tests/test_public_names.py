"""What the package promises by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import sus_local
import sus_local.convert

NAMES = [
    "LLM",
    "ContextState",
    "Conversation",
    "FinishReason",
    "Piece",
    "Result",
    "SamplingParams",
    "Stream",
    "SusLocalError",
    "Timings",
    "TokenLogprob",
    "Turn",
    "Usage",
    "__version__",
    "load",
]


def modules() -> list[str]:
    """All modules of the package, the converter's with them: it lies in a folder of its own."""
    packages = (sus_local, sus_local.convert)
    found = {package.__name__ for package in packages}
    for package in packages:
        walked = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        found |= {info.name for info in walked if not info.name.endswith("__main__")}
    return sorted(found)


def test_the_converter_is_looked_at_too() -> None:
    assert "sus_local.convert.pipeline" in modules()


def test_the_public_names_are_these() -> None:
    assert sus_local.__all__ == NAMES
    assert all(hasattr(sus_local, name) for name in NAMES)


def test_nothing_else_is_public() -> None:
    public = {name for name, value in vars(sus_local).items() if not isinstance(value, ModuleType)}
    assert {name for name in public if not name.startswith("_")} == set(NAMES) - {"__version__"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_every_public_name_and_its_methods_are_documented(name: str) -> None:
    value = getattr(sus_local, name)
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return
    assert inspect.getdoc(value)
    for attribute, member in vars(value).items() if inspect.isclass(value) else ():
        if not attribute.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, property)
        ):
            assert inspect.getdoc(member), f"{name}.{attribute} has no docstring"


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(importlib.import_module(name))


@pytest.mark.parametrize("name", modules())
def test_every_function_and_class_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    for attribute, value in vars(module).items():
        ours = getattr(value, "__module__", None) == module.__name__
        plain = inspect.isfunction(value) or inspect.isclass(value)
        if ours and plain and not attribute.startswith("_"):
            assert inspect.getdoc(value), f"{name}.{attribute} has no docstring"
