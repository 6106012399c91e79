"""What all tests share: an isolated home, and the demo model as GGUF."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def pytest_configure() -> None:
    """Let children be interrupted: a shell that runs the tests in the background ignores Ctrl-C,
    and they would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def isolated_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home of its own for each test: nothing reaches the user's folders or the network."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SUS_LOCAL_HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("SUS_LOCAL_DEBUG", raising=False)
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
