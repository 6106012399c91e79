"""Ranges of a file, read around the system's cache."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sus_local.convert import disk
from sus_local.convert.disk import DiskReader

CONTENT = bytes(range(251)) * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    return path


def read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        reader = DiskReader(file)
        found = b"".join(piece.tobytes() for piece in reader.read(offset, size))
        reader.close()
    return found


def refuse(*arguments: object) -> int:
    raise OSError(errno.EINVAL, "not on this file system")


@pytest.fixture(params=["around", "refused", "refused late", "unknown"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(disk, "_READ_BYTES", 1 << 13)
    if request.param == "refused":
        monkeypatch.setattr(os, "open", refuse)
    elif request.param == "refused late" and hasattr(os, "preadv"):
        monkeypatch.setattr(os, "preadv", refuse)
    elif request.param == "unknown":
        monkeypatch.delattr(os, "O_DIRECT", raising=False)
    return str(request.param)


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 8000, 25000])
@pytest.mark.parametrize("size", [0, 1, 96, 4096, 8193, 24000])
def test_any_range_comes_as_it_is(path: Path, way: str, offset: int, size: int) -> None:
    assert read(path, offset, size) == CONTENT[offset : offset + size]


def test_what_was_just_written_is_read(path: Path, way: str) -> None:
    with path.open("r+b", buffering=0) as file, path.open("rb", buffering=0) as again:
        reader = DiskReader(again)
        for text in (b"one", b"two"):
            file.seek(5000)
            file.write(text)
            (piece,) = reader.read(5000, 3)
            assert piece.tobytes() == text
        reader.close()


def test_a_failing_disk_is_no_missing_feature(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> int:
        raise OSError(errno.EIO, "failing")

    with path.open("rb", buffering=0) as file:
        reader = DiskReader(file)
        if reader._direct is None:
            pytest.skip("no way around the cache here")
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(OSError, match="failing"):
            list(reader.read(0, 1))
        reader.close()
