"""The name that finds a model again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local import models, paths
from sus_local.cli.model_name import (
    DEMO,
    model_file,
    model_names,
    named_model,
    remember,
    stored_model,
)


@pytest.fixture
def split() -> Path:
    """A model of two files in the store."""
    folder = paths.models_dir()
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"Big-Q4_K_M-0000{number}-of-00002.gguf").write_bytes(b"GGUF")
    return folder / "Big-Q4_K_M-00001-of-00002.gguf"


@pytest.mark.parametrize("said", ["Big-Q4_K_M", "big", "path"])
def test_a_split_model_of_the_store_is_found_by_its_name_again(split: Path, said: str) -> None:
    name, path = named_model(str(split) if said == "path" else said)
    assert path == split
    assert name == "Big-Q4_K_M"
    assert model_file(name) == split


def test_a_model_elsewhere_is_found_by_its_path_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    assert named_model("./a.gguf")[0] == str(tmp_path / "a.gguf")


def test_the_demo_stays_the_demo_beside_a_folder_or_file_of_its_name(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sus_local.demo.model.ensure_model", lambda: split)
    Path("demo").mkdir()
    assert named_model("demo") == (DEMO, split)
    assert stored_model("Demo").path == split
    Path("demo").rmdir()
    Path("demo").write_bytes(b"GGUF")
    assert named_model("demo") == (DEMO, split)
    assert named_model("./demo") == (str(tmp_path / "demo"), Path("demo"))


def test_the_demo_is_named_and_not_remembered(split: Path) -> None:
    assert model_names() == ["Big-Q4_K_M", DEMO]
    remember(DEMO, split)
    assert models.last_used() is None
    remember("Big-Q4_K_M", split)
    recent = models.last_used()
    assert recent is not None
    assert recent.path == split
