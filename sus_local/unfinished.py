"""What downloads and conversions that were stopped left in the local store, until they go on.

Of ``pull`` that is ``NAME.gguf.part`` and ``NAME.gguf.part.etag``; of ``convert``
``NAME.gguf.partial`` and ``NAME.gguf.journal``, which is one for all files of a split model.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sus_local import paths
from sus_local.errors import from_os_error
from sus_local.header import split_name, split_parts
from sus_local.partial import ETAG_SUFFIX, held

_REST = re.compile(r"(.+\.gguf)\.part(ial)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A model that is not whole.

    Attributes:
        name: What the model would be called.
        files: What is there of its files.
    """

    name: str
    files: tuple[Path, ...]

    @property
    def num_bytes(self) -> int:
        """What it takes of the disk."""
        return sum(path.stat().st_size for path in self.files if path.is_file())

    @property
    def _first(self) -> Path:
        path = self.files[0]
        return split_parts(path.with_name(path.name[: path.name.rindex(".")]))[0]

    def remove(self) -> None:
        """Delete it.

        Raises:
            OutputHeldError: A process writes it.
            StorageError: A file cannot be deleted.
        """
        whole = self._first.with_name(f"{self.name}.gguf")
        journal = whole.with_name(f"{whole.name}.journal")
        records = [path.with_name(path.name + ETAG_SUFFIX) for path in self.files]
        with ExitStack() as locks:
            locks.enter_context(held(self._first))
            locks.enter_context(held(whole, lock=f"{whole.name}.lock"))
            for path in (*self.files, *records, journal):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise from_os_error(error, doing="deleting", path=path) from error


def list_unfinished() -> list[Unfinished]:
    """Those of the local store, by name."""
    found: dict[str, list[Path]] = defaultdict(list)
    folder = paths.models_dir()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if rest := _REST.fullmatch(path.name):
            found[split_name(Path(rest[1]).stem)[0]].append(path)
    return [Unfinished(name, tuple(files)) for name, files in found.items()]
