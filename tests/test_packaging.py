"""A real install holds what an editable one finds by itself."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"sus_local": ROOT / "sus_local", "sus_local.convert": ROOT / "convert"}


@pytest.fixture
def setuptools() -> dict[str, Any]:
    """What pyproject.toml tells setuptools."""
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    content: dict[str, Any] = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: dict[str, Any] = content["tool"]["setuptools"]
    return found


def packages() -> dict[str, Path]:
    """Every folder of modules, by the name that it is imported by."""
    return {
        ".".join([name, *path.parent.relative_to(folder).parts]): path.parent
        for name, folder in FOLDERS.items()
        for path in folder.rglob("*.py")
    }


def test_every_package_is_installed(setuptools: dict[str, Any]) -> None:
    assert sorted(setuptools["packages"]) == sorted(packages())
    assert all((folder / "__init__.py").exists() for folder in packages().values())


def test_the_converter_lies_where_it_is_said_to(setuptools: dict[str, Any]) -> None:
    assert setuptools["package-dir"] == {"sus_local.convert": FOLDERS["sus_local.convert"].name}


def test_every_file_that_is_no_module_is_installed(setuptools: dict[str, Any]) -> None:
    declared = {
        path
        for name, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in packages()[name].glob(pattern)
    }
    there = {path for folder in FOLDERS.values() for path in folder.rglob("*") if path.is_file()}
    assert declared == {path for path in there if path.suffix not in {".py", ".pyc"}}
