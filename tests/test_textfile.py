"""Text files that are written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sus_local.errors import DiskFullError, StorageError
from sus_local.textfile import write_named, write_whole


def test_folders_are_made_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_whole(path, "一")
    write_whole(path, "二")
    assert path.read_text(encoding="utf-8") == "二"
    assert list(path.parent.iterdir()) == [path]


def test_what_was_there_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.json"
    write_whole(path, "before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DiskFullError, match="no space left"):
        write_whole(path, "after")
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_where_writing_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "b.json", "after")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_whole, write_named])
def test_a_name_that_is_no_unicode_comes_back_from_json(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    name = os.fsdecode(b"caf\xe9.gguf")
    write(tmp_path / "b.json", json.dumps(name, ensure_ascii=False))
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8")) == name


def test_line_ends_stay_on_every_system(tmp_path: Path) -> None:
    write_whole(tmp_path / "b.txt", "a\r\nb\n")
    assert (tmp_path / "b.txt").read_bytes() == b"a\r\nb\n"


def test_a_file_in_the_place_of_a_folder_is_told_with_the_name_that_was_wanted(
    tmp_path: Path,
) -> None:
    (tmp_path / "presets").write_text("", encoding="utf-8")
    with pytest.raises(StorageError) as caught:
        write_whole(tmp_path / "presets" / "b.json", "text")
    assert "while writing" in caught.value.message
    assert "partial" not in caught.value.message
