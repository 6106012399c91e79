"""What native code writes past Python is kept for an error message, if that can be."""

from __future__ import annotations

import os
import tempfile

import pytest

from sus_local.backend.native_stderr import captured


def test_lines_are_kept_and_what_comes_after_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with captured() as lines:
        os.write(2, b"one\ntwo\n")
    os.write(2, b"three\n")
    assert lines == ["one", "two"]
    assert capfd.readouterr().err == "three\n"


def test_an_error_within_gives_the_stream_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="within"), captured():
        raise ValueError("within")
    os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\n"


def test_without_room_for_a_temporary_file_nothing_is_kept(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with captured() as lines:
        os.write(2, b"shown\n")
    assert lines == []
    assert capfd.readouterr().err == "shown\n"
