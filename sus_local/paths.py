"""Where the program keeps what it writes.

Everything lies under the platform's own folders, or under ``SUS_LOCAL_HOME`` if that is set.

>>> import os
>>> os.environ["SUS_LOCAL_HOME"] = "/somewhere"
>>> kv_dir().as_posix()
'/somewhere/kv'
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_APP = "sus-local"


def home() -> Path | None:
    """The folder of ``SUS_LOCAL_HOME``, or None if it is not set.

    Raises:
        FileNotFoundError: It begins with ``~`` and the name of nobody.
    """
    value = os.environ.get("SUS_LOCAL_HOME", "").strip()
    try:
        return Path(value).expanduser() if value else None
    except RuntimeError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), value) from error


def data_dir() -> Path:
    """The folder of what must last: models, conversations."""
    import platformdirs

    return home() or Path(platformdirs.user_data_dir(_APP, appauthor=False))


def cache_dir() -> Path:
    """The folder of what can be made again: KV blocks, the converted demo model."""
    import platformdirs

    return home() or Path(platformdirs.user_cache_dir(_APP, appauthor=False))


def models_dir() -> Path:
    """The local store: GGUF files with their manifests."""
    return data_dir() / "models"


def history_path() -> Path:
    """The database of conversations."""
    return data_dir() / "history.sqlite3"


def kv_dir() -> Path:
    """The disk tier of the KV cache."""
    return cache_dir() / "kv"


def demo_dir() -> Path:
    """The converted demo model."""
    return cache_dir() / "demo"


def existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that is there.

    Raises:
        FileNotFoundError: There is none, as on a drive of Windows that is not there.
    """
    for path in (folder.absolute(), *folder.absolute().parents):
        if path.exists():
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
