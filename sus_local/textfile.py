"""Small text files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
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
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise from_os_error(error, doing="writing", path=path) from error
