"""The demo model as a file: made once, and the only one of its kind."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from sus_local import paths
from sus_local.demo import model


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"GGUF")
        path.with_name(path.name + ".json").write_text("{}")

    monkeypatch.setattr("sus_local.demo.model._convert", write)
    return write


def test_a_conversion_takes_the_place_of_earlier_ones(convert: Callable[[Path], None]) -> None:
    earlier = model.model_path().with_name("sus-local-demo-0123456789ab-Q8_0.gguf")
    earlier.parent.mkdir(parents=True)
    convert(earlier)
    earlier.with_suffix(".lock").touch()
    (earlier.parent / "of_the_user.gguf").touch()
    (earlier.parent / "sus-local-demo-in-use").mkdir()  # as on Windows, it cannot be deleted
    path = model.ensure_model()
    left = {each.name for each in paths.demo_dir().iterdir()} - {path.with_suffix(".lock").name}
    assert left == {
        *(path.name, f"{path.name}.json"),
        *("of_the_user.gguf", "sus-local-demo-in-use"),
    }


def test_where_no_file_can_be_locked_it_is_converted_all_the_same(
    convert: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert model.ensure_model().exists()
