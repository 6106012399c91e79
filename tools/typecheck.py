"""Type-check both packages: ``python tools/typecheck.py``.

The folder ``convert/`` is installed as ``sus_local.convert``; mypy finds modules by folder only. So
this checks a view of the tree in which the folder lies where the import system sees it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIEW = ROOT / "build" / "typecheck"


def main() -> int:
    """Run mypy; its exit status."""
    package = VIEW / "sus_local"
    _mirror(ROOT / "sus_local", package)
    _mirror(ROOT / "convert", package / "convert")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache")]
    environment = {**os.environ, "MYPYPATH": str(VIEW)}
    return subprocess.call([*command, *cache, "-p", "sus_local"], cwd=VIEW, env=environment)


def _mirror(source: Path, target: Path) -> None:
    """Make ``target`` hold the Python files of ``source``, newest contents, nothing else."""
    wanted = {path.relative_to(source) for path in source.rglob("*.py")}
    wanted |= {path.relative_to(source) for path in source.glob("py.typed")}
    for relative in wanted:
        destination = target / relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / relative, destination)
    if target.name == "convert":
        _prune(target, wanted)
    else:
        _prune(target, wanted, keep="convert")


def _prune(target: Path, wanted: set[Path], keep: str = "") -> None:
    for path in target.rglob("*.py"):
        relative = path.relative_to(target)
        if relative not in wanted and relative.parts[0] != keep:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
