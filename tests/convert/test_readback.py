"""What is written is synced, read back and compared behind its writer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sus_local.convert import readback
from sus_local.convert.disk import DiskReader
from sus_local.convert.readback import Opened, Readback
from sus_local.convert.tensors import TensorSpec
from sus_local.convert.writer import Layout, Place, lay_out
from sus_local.errors import VerificationError

SPECS = [TensorSpec(name, "", (rows, 5)) for name, rows in (("a", 3), ("b", 200), ("c", 7))]
ORDERS = [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]]


@pytest.fixture
def layout() -> Layout:
    return lay_out({"k": "v"}, SPECS, dict.fromkeys("abc", "F32"))


def content(place: Place) -> bytes:
    return (place.spec.name.encode() * place.size)[: place.size]


def whole(layout: Layout) -> bytes:
    made = bytearray(layout.parts[0].header.ljust(layout.size, b"\0"))
    for place in layout.places.values():
        made[place.offset : place.offset + place.size] = content(place)
    return bytes(made)


class Written:
    """A file that is written in pieces, and what was told of it."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout, self.done = path, layout, dict[str, str]()
        path.write_bytes(layout.parts[0].header.ljust(layout.size, b"\0"))

    @contextmanager
    def open(self) -> Iterator[Readback]:
        places = list(self.layout.places.values())
        with self.path.open("r+b", 0) as self.file, self.path.open("rb", 0) as read:
            opened = Opened(self.path, self.file, read, self.layout.parts[0], places)
            self.readback = Readback([opened], self.done, self._checked)
            yield self.readback
            self.readback.close()

    def put(self, name: str, *, step: int = 64) -> None:
        place = self.layout.places[name]
        data = memoryview(content(place))
        for start in range(0, place.size, step):
            self.file.seek(place.offset + start)
            self.file.write(data[start : start + step])
            self.readback.add(place, start, data[start : start + step])

    def _checked(self, place: Place, digest: str) -> None:
        self.done[place.spec.name] = digest


@pytest.mark.parametrize("order", ORDERS)
def test_tensors_come_in_any_order(layout: Layout, tmp_path: Path, order: Sequence[str]) -> None:
    written = Written(tmp_path / "f", layout)
    told: list[int] = []
    with written.open() as reading:
        for name in order:
            written.put(name)
            reading.drain()
        (digest,) = reading.finish(told.append)
    assert digest == hashlib.sha256(whole(layout)).hexdigest()
    places = layout.places.values()
    assert written.done == {p.spec.name: hashlib.sha256(content(p)).hexdigest() for p in places}
    assert list(written.done) == list(order)
    assert sum(told) == layout.tensor_bytes


def test_those_of_an_earlier_attempt_are_taken_as_they_are(layout: Layout, tmp_path: Path) -> None:
    written = Written(tmp_path / "f", layout)
    written.path.write_bytes(whole(layout))
    written.done.update(a="checked", c="checked")
    with written.open() as reading:
        written.put("b")
        (digest,) = reading.finish(lambda size: None)
    assert digest == hashlib.sha256(whole(layout)).hexdigest()
    assert written.done["a"] == "checked"


def test_a_tensor_counts_only_once_it_is_synced(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path / "f", layout)
    seen: list[dict[str, str]] = []
    sync = readback._sync
    monkeypatch.setattr(
        readback, "_sync", lambda file: (seen.append(dict(written.done)), sync(file))
    )
    with written.open() as reading:
        written.put("a")
        assert written.done == {}
        reading.drain()
        assert seen == [{}]
        assert set(written.done) == {"a"}


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="no such advice here")
@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_leaves_the_cache_as_a_whole_before_it_is_read(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Sequence[str]
) -> None:
    dropped: list[range] = []
    before_reading: list[int] = []
    real_read = DiskReader.read

    def advise(file: int, start: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        dropped.append(range(start, start + size))

    def read(*place: Any) -> Any:
        before_reading.append(len(dropped))
        return real_read(*place)

    monkeypatch.setattr(readback, "_BATCH_S", 60)
    monkeypatch.setattr(readback, "_CACHE_BLOCK_BYTES", 1)
    monkeypatch.setattr(os, "posix_fadvise", advise)
    monkeypatch.setattr(DiskReader, "read", read)
    written = Written(tmp_path / "f", layout)
    with written.open() as reading:
        for name in order:
            written.put(name)
        reading.drain()
    (batch,) = dropped
    assert all(p.offset in batch and p.offset + p.size - 1 in batch for p in layout.places.values())
    assert set(before_reading) == {1}


def flip(offset: Callable[[Layout], int]) -> Callable[[Path, Layout], None]:
    def damage(path: Path, layout: Layout) -> None:
        with path.open("r+b") as file:
            file.seek(offset(layout))
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 0x40]))

    return damage


def cut(path: Path, layout: Layout) -> None:
    with path.open("r+b") as file:
        file.truncate(layout.places["c"].offset + 3)


def lengthen(path: Path, layout: Layout) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (flip(lambda layout: 9), "its header"),
        (flip(lambda layout: layout.places["b"].offset + 77), "b of f"),
        (flip(lambda layout: layout.places["b"].offset - 1), "the padding after a"),
        (cut, "c of f"),
        (lengthen, "its length"),
    ],
)
def test_damage_is_found_wherever_it_is(
    layout: Layout, tmp_path: Path, damage: Callable[[Path, Layout], None], word: str
) -> None:
    written = Written(tmp_path / "f", layout)
    with written.open() as reading:
        for name in "abc":
            written.put(name)
        damage(written.path, layout)
        with pytest.raises(VerificationError, match=word):
            reading.finish(lambda size: None)


def test_the_writer_is_told_and_never_waits_for_one_that_failed(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "BATCH_BYTES", 1)
    written = Written(tmp_path / "f", layout)
    with written.open() as reading:
        written.put("a")
        reading.drain()
        # Told to be written, but it was not.
        for _ in range(5):
            with suppress(VerificationError):
                reading.add(layout.places["b"], 0, memoryview(b"?" * 8))
        with pytest.raises(VerificationError, match="b of f"):
            reading.add(layout.places["b"], 8, memoryview(b"?"))


def test_closing_keeps_what_was_written(layout: Layout, tmp_path: Path) -> None:
    written = Written(tmp_path / "f", layout)
    with written.open():
        written.put("a")
        written.put("b")
    assert set(written.done) == {"a", "b"}


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 31, 4096, 4099])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_every_byte_is_compared(size: int, start: int) -> None:
    one = np.arange(start + size, dtype=np.uint32).astype(np.uint8)[start:]
    assert readback._are_equal(one, one.copy())
    assert not readback._are_equal(one, np.zeros(size + 1, np.uint8))
    for place in {0, size // 2, size - 1} if size else ():
        other = one.copy()
        other[place] ^= 1
        assert not readback._are_equal(one, other)
