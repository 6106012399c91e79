"""The demo model as a GGUF file: converted from the bundled checkpoint once, then reused."""

from __future__ import annotations

import contextlib
import hashlib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from sus_local import paths
from sus_local.errors import from_os_error
from sus_local.locks import LockFile

FILE_TYPE = "Q8_0"
_HASH_DIGITS = 12
_NAME = "sus-local-demo"


def checkpoint() -> Path:
    """The folder of the bundled Hugging Face checkpoint."""
    return Path(str(files("sus_local.demo") / "checkpoint"))


def model_path() -> Path:
    """Where the converted demo model lies, or will: its name tells checkpoint and version."""
    digest = hashlib.sha256(version("sus-local").encode())
    for path in sorted(checkpoint().iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return paths.demo_dir() / f"{_NAME}-{digest.hexdigest()[:_HASH_DIGITS]}-{FILE_TYPE}.gguf"


def ensure_model() -> Path:
    """The converted demo model; converts it where that was not done yet (about a second).

    That of an earlier checkpoint or version is deleted then.

    Raises:
        ConvertError: The conversion failed.
        StorageError: The file cannot be written.
    """
    path = model_path()
    if not path.exists():
        lock = LockFile(path.with_suffix(".lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=-1)
            try:
                _convert(path)
            finally:
                lock.release()
        except OSError as error:
            raise from_os_error(error, doing="writing", path=path) from error
        _delete_others(path)
    return path


def _convert(path: Path) -> None:
    """Make the file, unless another process did while this one waited."""
    if not path.exists():
        from sus_local.convert import convert

        convert(str(checkpoint()), types=[FILE_TYPE], output=path)


def _delete_others(path: Path) -> None:
    """Leave only this demo model, and what on Windows a program still reads."""
    for other in path.parent.glob(f"{_NAME}-*"):
        if not other.name.startswith(path.stem):
            with contextlib.suppress(OSError):
                other.unlink()
