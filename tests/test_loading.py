"""What ``load`` refuses before anything is loaded, and what it leaves where it fails."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

import sus_local
from sus_local import loading
from sus_local.backend import llama_cpp
from sus_local.backend.fake import Fake
from sus_local.errors import InvalidModelError, RequestError, StorageError
from sus_local.machine import Memory


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """The models that were loaded, none of which is real."""
    found: list[Fake] = []

    def make(path: Path, options: Any, **_: Any) -> Fake:
        found.append(Fake())
        return found[-1]

    monkeypatch.setattr(loading.models, "resolve", Path)
    monkeypatch.setattr(loading, "_prepare", lambda path, knobs, *_: knobs)
    monkeypatch.setattr(llama_cpp, "LlamaCpp", make)
    return found


def test_a_model_is_loaded_and_closed(made: list[Fake], tmp_path: Path) -> None:
    with sus_local.load("model.gguf", kv_dir=tmp_path) as llm:
        assert llm.path == Path("model.gguf")
        assert not made[0].closed
    assert made[0].closed


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_ctx": "512"}, "n_ctx is '512', it has to be a whole number"),
        ({"n_threads": "2"}, "n_threads is '2', it has to be a whole number"),
        ({"n_gpu_layers": "bogus"}, "n_gpu_layers is 'bogus'"),
        ({"n_gpu_layers": None}, "n_gpu_layers is None"),
        ({"n_gpu_layers": -3}, "n_gpu_layers is -3"),
        ({"flash_attn": "yes"}, "flash_attn is 'yes', it has to be True or False"),
        ({"kv_ram_bytes": "1GB"}, "kv_ram_bytes is '1GB', it has to be a whole number"),
        ({"kv_ram_bytes": -1}, "kv_ram_bytes is -1, it has to be from 0 to 9223372036854775807"),
        ({"kv_disk_bytes": 1.5}, "kv_disk_bytes is 1.5, it has to be a whole number"),
        ({"kv_dir": "a\0b"}, "kv_dir is 'a\\x00b', which is no folder"),
        ({"kv_dir": 5}, "kv_dir is 5, which is no folder"),
    ],
)
def test_an_option_of_a_wrong_kind_is_refused_before_anything_is_loaded(
    made: list[Fake], wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError) as caught:
        sus_local.load("model.gguf", **wrong)
    assert caught.value.message == said
    assert made == []


def test_a_file_is_read_ahead_as_far_as_memory_is_available(
    made: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def make(path: Path, options: Any, **others: Any) -> Fake:
        given.update(others)
        return Fake()

    monkeypatch.setattr(llama_cpp, "LlamaCpp", make)
    monkeypatch.setattr("sus_local.machine.system_memory", lambda: Memory(9000, 8000))
    sus_local.load("model.gguf", kv_disk_bytes=0).close()
    assert given["most_ahead_bytes"] == 8000


def test_a_name_that_no_file_can_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(model: str) -> Path:
        raise OSError(errno.ENAMETOOLONG, "File name too long", model)

    monkeypatch.setattr(loading.models, "resolve", resolve)
    with pytest.raises(StorageError, match=r"^file name too long while opening x+\.gguf$"):
        sus_local.load("x" * 5000 + ".gguf")


def test_what_fails_after_the_model_is_there_frees_it(
    made: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "open_store", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sus_local.load("model.gguf")
    assert [fake.closed for fake in made] == [True]


@pytest.mark.parametrize(
    ("architecture", "error"), [("llama", KeyboardInterrupt), ("qwen2", InvalidModelError)]
)
def test_what_fails_within_the_loading_frees_the_model(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    architecture: str,
    error: type[BaseException],
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    model, freed = object(), []
    monkeypatch.setattr(llama_cpp, "_load_model", lambda *_: model)
    monkeypatch.setattr(llama_cpp, "_open_context", interrupt)
    monkeypatch.setattr(llama_cpp, "metadata_of", lambda _: {"general.architecture": architecture})
    monkeypatch.setattr(llama_cpp.c, "llama_model_get_vocab", lambda model: None)
    monkeypatch.setattr(llama_cpp.c, "llama_model_free", freed.append)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(error):
        llama_cpp.LlamaCpp(path)
    assert freed == [model]
