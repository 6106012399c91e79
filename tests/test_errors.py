"""What the operating system raises, told in one line with the next step."""

from __future__ import annotations

import errno

import pytest

from sus_local.errors import PermissionDeniedError, from_os_error


def test_a_file_in_use_on_windows_leads_to_the_program_that_uses_it() -> None:
    error = PermissionError(13, "Access is denied")
    assert from_os_error(error, doing="deleting", path="a.gguf").hint.startswith("choose another")
    error.winerror = 32  # type: ignore[attr-defined,unused-ignore]
    told = from_os_error(error, doing="deleting", path="a.gguf")
    assert isinstance(told, PermissionDeniedError)
    assert told.hint.startswith("close the program that uses it")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOENT, "check the path, and the disk that it is on"),
        (errno.EIO, "check the path, and the disk that it is on"),
        (errno.EFBIG, "choose another disk: this one takes no larger file"),
        (errno.EMFILE, "close other programs, or raise the limit of open files (ulimit -n)"),
        (errno.ETIMEDOUT, "check the path, and the disk that it is on"),
        (None, "check the path, and the disk that it is on"),
    ],
)
def test_the_next_step_fits_what_went_wrong(number: int | None, hint: str) -> None:
    assert from_os_error(OSError(number, "It failed"), doing="writing").hint == hint
