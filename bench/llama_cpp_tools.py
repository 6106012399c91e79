"""llama.cpp's own programs, built from the source of the installed llama-cpp-python.

They come from the same version as the library under test, so that a difference between them is one
of the programs and not of llama.cpp.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROGRAMS = ("llama-bench", "llama-batched-bench", "llama-cli", "llama-server")

# llama-batched-bench ends without waiting for its log, and so prints nothing now and then.
_ATTEMPTS = 10


def find_programs(cache: Path, *, source: Path | None = None, build: Path | None = None) -> Path:
    """The folder of the programs; they are built where they are not there yet (10 minutes).

    Args:
        cache: Where source and build go.
        source: llama.cpp's source tree; None downloads the sdist of the installed version.
        build: An existing CMake build folder, taken as it is.
    """
    if build is not None:
        return build / "bin"
    folder = cache / f"llama-cpp-python-{version('llama-cpp-python')}"
    programs = folder / "bin"
    suffix = ".exe" if sys.platform == "win32" else ""
    if not all((programs / f"{name}{suffix}").exists() for name in PROGRAMS):
        _build(source or download(cache), folder)
    return programs


def run_json_lines(command: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Run a program and read the JSON objects among the lines that it prints."""
    for _ in range(_ATTEMPTS):
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if found:
            return found
    raise SystemExit(f"{command[0]} printed nothing, {_ATTEMPTS} times")


def download(folder: Path) -> Path:
    """llama.cpp's source, of the installed version, into a folder; where it lies."""
    number = version("llama-cpp-python")
    print(f"downloading the source of llama-cpp-python {number}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    wanted = f"llama-cpp-python=={number}"
    subprocess.run([*pip, "--dest", str(folder), wanted], check=True, stdout=sys.stderr)
    name = f"llama_cpp_python-{number}"
    with tarfile.open(folder / f"{name}.tar.gz") as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder)
    return folder / name / "vendor" / "llama.cpp"


def _build(source: Path, folder: Path) -> None:
    print(f"building {', '.join(PROGRAMS)} in {folder}", file=sys.stderr)
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF"]
    configure = ["cmake", "-S", str(source), "-B", str(folder), *options]
    build = ["cmake", "--build", str(folder), "--config", "Release", "-j2", "--target"]
    for command in (configure, [*build, *PROGRAMS]):
        subprocess.run(command, check=True, stdout=sys.stderr)
