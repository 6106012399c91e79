"""Conversions that are stopped, killed or damaged, and go on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from sus_local.convert import Event, Progress, Resumed, convert
from sus_local.convert.journal import OutputLock
from sus_local.convert.output import _taken
from sus_local.errors import OutputHeldError

from .checkpoints import leftovers, write_checkpoint

pytestmark = pytest.mark.model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny", num_shards=3, hidden=256, ffn=512, num_layers=4)


class StoppedError(Exception):
    """Ends a conversion from within."""


def stop_after(tensors: int) -> Any:
    def tell(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "convert" and event.tensors >= tensors:
            raise StoppedError

    return tell


def test_split_files_go_on_after_a_stop(folder: Path, tmp_path: Path) -> None:
    def made(name: str, progress: Any = None) -> list[bytes]:
        options: dict[str, Any] = {"split_size": 400_000, "progress": progress}
        output = convert(str(folder), types=["Q4_K_M"], output=tmp_path / name, **options)
        return [path.read_bytes() for path in output.outputs[0].files]

    with pytest.raises(StoppedError):
        made("part.gguf", stop_after(20))
    events: list[Event] = []
    assert made("part.gguf", events.append) == made("whole.gguf")
    assert any(isinstance(event, Resumed) and event.tensors > 5 for event in events)
    assert not [name for name in leftovers(tmp_path) if name.endswith((".partial", ".journal"))]


def test_goes_on_after_a_stop_and_ends_with_the_same_hash(folder: Path, tmp_path: Path) -> None:
    whole = convert(str(folder), types=["Q4_K_M"], output=tmp_path / "whole.gguf").outputs[0]
    target = tmp_path / "part" / "part.gguf"
    for tensors in (1, 5, 9):
        with pytest.raises(StoppedError):
            convert(str(folder), types=["Q4_K_M"], output=target, progress=stop_after(tensors))
        assert leftovers(target.parent) == {"part.gguf.partial", "part.gguf.journal"}
    events: list[Event] = []
    made = convert(str(folder), types=["Q4_K_M"], output=target, progress=events.append).outputs[0]
    assert made.sha256 == whole.sha256
    resumed = next(event for event in events if isinstance(event, Resumed))
    assert resumed.tensors >= 15
    checked = [event for event in events[: events.index(resumed)] if isinstance(event, Progress)]
    assert {event.phase for event in checked} == {"verify"}
    assert checked[-1].bytes == checked[-1].total_bytes > 0
    assert leftovers(target.parent) == {"part.gguf", "part.gguf.json"}


def test_a_partial_file_is_as_long_as_what_was_written(folder: Path, tmp_path: Path) -> None:
    whole = convert(str(folder), types=["Q8_0"], output=tmp_path / "whole.gguf").outputs[0]
    with pytest.raises(StoppedError):
        convert(str(folder), types=["Q8_0"], output=tmp_path / "part.gguf", progress=stop_after(2))
    assert (tmp_path / "part.gguf.partial").stat().st_size < whole.bytes // 2


def test_where_no_system_tells_of_holes_a_whole_file_takes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    os.truncate(tmp_path / "f", 1 << 20)
    if sys.platform == "linux":
        assert _taken(tmp_path / "f") < 1 << 20
    monkeypatch.setattr(Path, "stat", lambda path: SimpleNamespace(st_size=1 << 20))
    assert _taken(tmp_path / "f") == 1 << 20


def test_a_damaged_partial_file_is_noticed_and_made_again(folder: Path, tmp_path: Path) -> None:
    whole = convert(str(folder), types=["Q8_0"], output=tmp_path / "whole.gguf").outputs[0]
    target = tmp_path / "part.gguf"
    with pytest.raises(StoppedError):
        convert(str(folder), types=["Q8_0"], output=target, progress=stop_after(8))
    partial = tmp_path / "part.gguf.partial"
    content = bytearray(partial.read_bytes())
    content[len(content) // 4 :: 997] = bytes(len(content[len(content) // 4 :: 997]))
    partial.write_bytes(content)
    journal = tmp_path / "part.gguf.journal"
    journal.write_text(journal.read_text() + '{"tensor": "blk.3.ffn_up.wei', encoding="utf-8")
    made = convert(str(folder), types=["Q8_0"], output=target).outputs[0]
    assert made.sha256 == whole.sha256


def test_a_partial_file_of_another_conversion_leaves_no_trace(tmp_path: Path) -> None:
    # Vectors of 36 floats are followed by padding.
    folder = write_checkpoint(tmp_path / "in", hidden=36, head_dim=10)
    whole = convert(str(folder), types=["Q8_0"], output=tmp_path / "whole.gguf").outputs[0]
    (tmp_path / "a.gguf.partial").write_bytes(b"\xff" * (whole.bytes + 100))
    made = convert(str(folder), types=["Q8_0"], output=tmp_path / "a.gguf").outputs[0]
    assert made.sha256 == whole.sha256


def test_a_run_that_is_refused_an_output_leaves_what_others_began(
    folder: Path, tmp_path: Path
) -> None:
    def make(progress: Any = None, **options: Any) -> None:
        types = ["Q8_0", "Q4_K_M"]
        convert(str(folder), types=types, output=tmp_path / "out", progress=progress, **options)

    with pytest.raises(StoppedError):
        make(stop_after(8))
    began = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(began) == 4
    lock = tmp_path / "out" / "tiny-q4_k_m.gguf.lock"
    assert {"tiny-q8_0.gguf.journal", "tiny-q4_k_m.gguf.journal"} < began.keys()
    with FileLock(lock), pytest.raises(OutputHeldError):
        make(split_size=400_000)
    lock.unlink(missing_ok=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == began


def test_a_useless_journal_goes_while_the_output_is_held(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards it may be that of another process."""
    target, at_release = tmp_path / "a.gguf", list[set[str]]()
    release = OutputLock.__exit__

    def watch(lock: OutputLock, *error: Any) -> None:
        at_release.append(leftovers(tmp_path))
        release(lock, *error)

    def stop(*_: object) -> None:
        assert "a.gguf.journal" in leftovers(tmp_path)
        raise StoppedError

    monkeypatch.setattr("sus_local.convert.pipeline._write_streamed", stop)
    monkeypatch.setattr(OutputLock, "__exit__", watch)
    with pytest.raises(StoppedError):
        convert(str(folder), types=["Q8_0"], output=target)
    assert at_release == [{"tiny", "a.gguf.lock", "a.gguf.partial"}]


COMMAND = (sys.executable, "-m", "sus_local", "convert")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_at_random_moments_it_ends_with_the_same_hash(tmp_path: Path) -> None:
    folder = write_checkpoint(
        tmp_path / "in", num_shards=4, hidden=512, ffn=1024, num_layers=8, num_heads=8
    )
    types = ["-q", "Q4_K_M", "-q", "Q6_K"]
    whole = convert(str(folder), types=["Q4_K_M", "Q6_K"], output=tmp_path / "whole")
    target = tmp_path / "killed"
    command = [*COMMAND, str(folder), *types, "-o", str(target), "--threads", "1"]
    moments, kills = random.Random(5), 0
    for _ in range(8):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=moments.uniform(0.3, 1.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert kills > 0
    for expected in whole.outputs:
        found = (target / expected.path.name.replace("whole", "in")).read_bytes()
        assert hashlib.sha256(found).hexdigest() == expected.sha256
    assert {name.rpartition(".")[2] for name in leftovers(target)} == {"gguf", "json"}


def test_the_second_conversion_to_one_output_is_told_who_holds_it(
    folder: Path, tmp_path: Path
) -> None:
    told: list[OutputHeldError] = []

    def second(event: Event) -> None:
        if isinstance(event, Progress) and not told:
            with pytest.raises(OutputHeldError) as caught:
                convert(str(folder), types=["Q8_0"], output=tmp_path / "a.gguf")
            told.append(caught.value)

    convert(str(folder), types=["Q8_0"], output=tmp_path / "a.gguf", progress=second)
    assert told[0].pid == os.getpid()
    assert f"process {os.getpid()}" in told[0].message


def test_who_holds_an_output_is_told_while_earlier_attempts_are_checked(
    folder: Path, tmp_path: Path
) -> None:
    """Of whatever output: they are checked one after the other, and each takes minutes."""
    types, told, rests = ["Q8_0", "Q4_K_M"], list[OutputHeldError](), dict[Path, list[str]]()
    with pytest.raises(StoppedError):
        convert(str(folder), types=types, output=tmp_path, progress=stop_after(8))
    for kind in types:
        journal = tmp_path / f"tiny-{kind.lower()}.gguf.journal"
        first, *rests[journal] = journal.read_text().splitlines(keepends=True)
        first = json.dumps({**json.loads(first), "pid": 1}) + "\n"
        journal.write_text("".join([first, *rests[journal]]))

    def second(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "verify":
            for kind in types:
                with pytest.raises(OutputHeldError) as caught:
                    convert(str(folder), types=[kind], output=tmp_path)
                told.append(caught.value)
            raise StoppedError

    with pytest.raises(StoppedError):
        convert(str(folder), types=types, output=tmp_path, progress=second)
    assert [error.pid for error in told] == [os.getpid()] * 2
    for journal, rest in rests.items():
        assert sorted(journal.read_text().splitlines(keepends=True)[1:]) == sorted(rest)
