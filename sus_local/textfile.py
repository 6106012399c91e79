"""Small text files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from sus_local.errors import from_os_error


def write_whole(path: Path, text: str) -> None:
    """Put a text into a file, whose folder is made, too; nobody ever sees a part of it.

    Raises:
        StorageError: It cannot be written; what was there before is still there.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(partial, text)
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, partial)
        os.replace(partial, path)
    except OSError as error:
        raise from_os_error(error, doing="writing", path=path) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_named(path: Path, text: str) -> None:
    """As :func:`write_whole`, to where the user says: no folder is made, a link stays a link.

    What is no file, ``/dev/stdout`` for instance, gets the text as it is written.
    """
    try:
        if path.exists() and not path.is_file():
            _write(path, text)
            return
        path.parent.stat()
    except OSError as error:
        raise from_os_error(error, doing="writing", path=path) from error
    write_whole(Path(os.path.realpath(path)), text)


def _write(path: Path, text: str) -> None:
    """Line ends stay as they are; what UTF-8 cannot carry becomes an escape, as JSON has it."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
