"""What all tests share: an environment of their own, a home for each, the demo model as GGUF."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

STEADY = {"INPUTRC": os.devnull, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "NO_PROXY": "*"}
FOREIGN = ("COLUMNS", "FORCE_COLOR", "HF_", "HUGGING", "LANG", "LC_", "LINES", "SUS_LOCAL_")
"""How names of variables begin that would change what a test sees; proxies do, too."""


def pytest_configure(config: pytest.Config) -> None:
    """Leave the developer's environment before anything reads it: when it is imported, as
    huggingface_hub does, or in a fixture of more than one test."""
    # A shell that runs the tests in the background ignores Ctrl-C, and children would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="sus-local-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ.update({**STEADY, **furnished(Path(home.name))})


def furnished(home: Path) -> dict[str, str]:
    """The variables of a home where it is noted that no GPU is to be missed."""
    (home / "gpu-checked").write_text(version("llama-cpp-python"), "utf-8")
    return {"SUS_LOCAL_HOME": str(home), "HF_HOME": str(home / "hf")}


@pytest.fixture(autouse=True)
def isolated_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home of its own for each test, which begins in English."""
    home = tmp_path_factory.mktemp("home")
    for name, value in furnished(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sus_local.cli.text._language", "en")
    return home


@pytest.fixture(scope="session")
def bare_llama_cpp() -> Iterator[None]:
    """The bindings' own defaults, but without what may crash where llama.cpp has AMX."""
    import llama_cpp.llama_cpp as bindings

    from sus_local.backend.ggml_devices import has_amx

    defaults = bindings.llama_model_default_params

    def careful() -> Any:
        params = defaults()
        params.use_extra_bufts = not has_amx()
        return params

    bindings.llama_model_default_params = careful
    yield
    bindings.llama_model_default_params = defaults


@pytest.fixture(scope="session")
def demo_checkpoint() -> Path:
    """The folder of the bundled checkpoint."""
    with as_file(files("sus_local.demo") / "checkpoint") as folder:
        return folder


@pytest.fixture(scope="session")
def demo_gguf(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled checkpoint as a Q8_0 GGUF."""
    from sus_local.convert import convert

    path = tmp_path_factory.mktemp("demo") / "demo-q8_0.gguf"
    convert(str(demo_checkpoint), types=["Q8_0"], output=path)
    return path
