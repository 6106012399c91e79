"""Folders that are there, and those that will be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local.paths import existing


def test_a_folder_that_is_not_there_yet_counts_as_the_nearest_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path
    monkeypatch.chdir(tmp_path)
    assert existing(Path("~") / "a") == tmp_path  # as whoever writes there takes it


def test_a_drive_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(FileNotFoundError) as caught:
        existing(Path("/absent/out"))
    assert caught.value.filename == str(Path("/absent/out"))
