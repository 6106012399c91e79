"""What survives in a journal, and who may write an output."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sus_local.convert.journal import Journal, OutputLock
from sus_local.errors import OutputHeldError

_HOLD = """
import sys
from pathlib import Path
from sus_local.convert.journal import Journal, OutputLock
lock, journal = Path(sys.argv[1]), Path(sys.argv[2])
with OutputLock(lock, journal):
    Journal(journal, "x").begin()
    print("held", flush=True)
    sys.stdin.read()
"""


def write(path: Path) -> Journal:
    journal = Journal(path, "one")
    journal.begin()
    journal.add_tensor("a", "11")
    journal.add_shard("s", "22")
    journal.add_tensor("b", "33")
    return journal


def test_keeps_what_is_done(tmp_path: Path) -> None:
    write(tmp_path / "j")
    found = Journal.open(tmp_path / "j", "one")
    assert found.tensors == {"a": "11", "b": "33"}
    assert found.shards == {"s": "22"}


def test_of_another_conversion_nothing_counts(tmp_path: Path) -> None:
    write(tmp_path / "j")
    assert Journal.open(tmp_path / "j", "two").tensors == {}
    assert Journal.open(tmp_path / "nowhere", "one").tensors == {}


def test_beginning_anew_keeps_it_too(tmp_path: Path) -> None:
    write(tmp_path / "j")
    Journal.open(tmp_path / "j", "one").begin()
    assert Journal.open(tmp_path / "j", "one").tensors == {"a": "11", "b": "33"}


@pytest.mark.parametrize("cut", [1, 5, 20, 30])
def test_a_line_that_was_cut_off_counts_as_not_written(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "j")
    content = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(content[: len(content) - 1 - cut])
    assert Journal.open(tmp_path / "j", "one").tensors == {"a": "11"}


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"[]\n{}\n", b'{"fingerprint": "one"}\n7\n{}']
)
def test_what_is_no_journal_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    assert Journal.open(tmp_path / "j", "one").tensors == {}


def test_a_lock_is_for_one_process_and_says_whose_it_is(tmp_path: Path) -> None:
    lock, journal = tmp_path / "a.gguf.lock", tmp_path / "a.gguf.journal"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(lock), str(journal)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(OutputHeldError, match=rf"a\.gguf .* process {holder.pid} on") as caught:
        OutputLock(lock, journal).__enter__()
    assert caught.value.pid == holder.pid != os.getpid()
    holder.communicate("")
    with OutputLock(lock, journal):
        assert lock.exists()
    assert not lock.exists()


def test_where_no_file_can_be_locked_it_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with OutputLock(tmp_path / "a.gguf.lock", tmp_path / "a.gguf.journal"):
        pass
