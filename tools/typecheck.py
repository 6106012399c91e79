"""Type-check everything but the tests: ``python tools/typecheck.py``.

The folder ``convert/`` is installed as ``sus_local.convert``; mypy finds modules by folder only. So
this checks a copy of the tree in which the folder lies where the import system sees it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIEW = ROOT / "build" / "typecheck"
PLACES = {
    "sus_local": "sus_local",
    "convert": "sus_local/convert",
    "tools": "tools",
    "bench": "bench",
    "examples": "examples",
}
"""Folder of the tree -> its place in the copy."""

NO_CODE = shutil.ignore_patterns("__pycache__", "checkpoint", "text")


def main() -> int:
    """Run mypy; its exit status."""
    shutil.rmtree(VIEW, ignore_errors=True)
    for folder, place in PLACES.items():
        # With the times of the files, by which mypy knows what it checked before.
        shutil.copytree(ROOT / folder, VIEW / place, ignore=NO_CODE)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache")]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(VIEW), str(VIEW / "bench")])}
    packages = ["sus_local", "tools", "bench", "examples"]
    return subprocess.call([*command, *cache, *packages], cwd=VIEW, env=environment)


if __name__ == "__main__":
    sys.exit(main())
