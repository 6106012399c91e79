"""The benchmarks run when they are asked for; here, that they can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
PROGRAMS = [
    path for path in sorted(BENCH.glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")
]

needs_unix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and waits of Unix")


def test_there_are_programs() -> None:
    assert {path.stem for path in PROGRAMS} >= {"convert", "full_size", "runtime", "terminal"}


@needs_unix
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_benchmark_tells_its_options(program: Path) -> None:
    command = [sys.executable, str(program), "--help"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {program.name}")


@needs_unix
def test_cleaning_keeps_the_state_of_a_training(tmp_path: Path) -> None:
    state, left = tmp_path / "build" / "demo" / "state.pt", tmp_path / "build" / "typecheck" / "a"
    for path in (state, left):
        path.parent.mkdir(parents=True)
        path.touch()
    command = ["make", "--file", str(BENCH.parent / "Makefile"), "clean"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert state.exists()
    assert not left.exists()
