"""One file of a model, where it is to lie: what of it is here, and how the rest comes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sus_local import hub, models, ranges
from sus_local.download import Checksum, Download
from sus_local.errors import OutputHeldError, from_os_error
from sus_local.header import MAGIC
from sus_local.hub import HubFile, Repository
from sus_local.models import StoredModel
from sus_local.partial import Partial
from sus_local.paths import existing
from sus_local.shell import quoted

_FIRST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Target:
    """A file on its way.

    Attributes:
        repository: Where it comes from.
        file: Which one.
        path: Where it goes.
        manifest: Of the model that lies there, as it was read; empty if there is none.
    """

    repository: Repository
    file: HubFile
    path: Path
    manifest: Mapping[str, Any]

    @property
    def recorded(self) -> str:
        """The SHA-256 in the manifest; empty if there is none."""
        files = self.manifest.get("files")
        for entry in files if isinstance(files, list) else ():
            if isinstance(entry, dict) and entry.get("name") == self.path.name:
                digest = entry.get("sha256")
                return digest if isinstance(digest, str) else ""
        return ""

    @property
    def is_recorded(self) -> bool:
        """Whether the manifest says that this very file was fetched."""
        if self.file.sha256 is not None:
            return self.recorded == self.file.sha256
        source = self.manifest.get("source")
        revision = source.get("revision") if isinstance(source, dict) else None
        return self.is_of_repository and revision == self.repository.commit and self.recorded != ""

    @property
    def is_of_repository(self) -> bool:
        """Whether the manifest names this repository."""
        stored = StoredModel("", (self.path,), 0, self.manifest)
        return stored.repository.lower() == self.repository.name.lower()

    @property
    def is_here(self) -> bool:
        """Whether the file is in its place, of its size; of what content is another question."""
        return self.path.is_file() and self.path.stat().st_size == self.file.size

    @property
    def is_sound(self) -> bool:
        """Whether it is in its place, and nobody found it damaged."""
        return self.is_here and self.manifest.get("damaged") not in (True, self.path.name)

    @property
    def is_done(self) -> bool:
        """Whether nothing has to be read, fetched or written."""
        return self.is_here and self.is_recorded and not self.manifest.get("damaged")

    @property
    def missing_bytes(self) -> int:
        """What has to be fetched."""
        if self.is_sound or self._cached() is not None:
            return 0
        return self.file.size - self._partial().num_bytes

    @property
    def needed_bytes(self) -> int:
        """What the disk has to have room for beyond what lies there."""
        cached = self._cached()
        if self.is_sound or (cached is not None and _same_disk(cached, self.path)):
            return 0
        return self.file.size - self._partial().num_held

    def check_free(self) -> None:
        """Whatever else has the name stays.

        Raises:
            OutputHeldError: Another model has it.
        """
        if not self.path.exists() or self.is_recorded:
            return
        why = self._difference()
        if why:
            raise OutputHeldError(
                f"{self.path} is another model already: {why}",
                hint=self._way_out(),
                path=str(self.path),
            )

    def _difference(self) -> str | None:
        """How what is there is not this file; None if it may be."""
        name, known = self.repository.name, self.file.sha256
        if not self.path.is_file():
            return "a folder"
        if not self.is_here:
            size = self.path.stat().st_size
            return f"{size} bytes, not the {self.file.size} of {name}"
        if self.recorded and known is not None:
            return f"its SHA-256 is {self.recorded[:12]}…, not the {known[:12]}… of {name}"
        has_source = isinstance(self.manifest.get("source"), (dict, str))
        if has_source and not self.is_of_repository:
            return f"it does not come from {name}"
        return None

    def _way_out(self) -> str:
        if not self.path.is_file():
            return "move it away"
        name = quoted(models.at_path(self.path).name)
        return f"move it away, or: sus-local models rm {name}"

    def start(self) -> bytes:
        """The first bytes, from this machine if it has them."""
        for path in (self.path, self._cached()):
            if path is not None and path.is_file():
                with path.open("rb") as file:
                    start = file.read(_FIRST_BYTES)
                if start.startswith(MAGIC):
                    return start
        end = min(_FIRST_BYTES, self.file.size)
        return ranges.read_range(self.repository, self.file.name, 0, end) if end else b""

    def bring(self, on_bytes: Callable[[int], None]) -> str:
        """Let it be there, whole; its SHA-256.

        Raises:
            HubError: The hub said no, stayed out of reach, or sent other content than it promised.
            StorageError: It cannot be written.
            OutputHeldError: Another model has its place.
        """
        self.check_free()
        try:
            return self.recorded if self.is_done else self._verified() or self._fetched(on_bytes)
        except OSError as error:
            raise from_os_error(error, doing="writing", path=self.path) from error

    def _verified(self) -> str:
        """The SHA-256 of what is there; empty if it is not right. It keeps its name meanwhile."""
        checksum = Checksum(self.file)
        if not self.is_here or not checksum.is_known:
            return ""
        with self.path.open("rb") as file:
            return checksum.hexdigest() if checksum.read(file).is_right else ""

    def _fetched(self, on_bytes: Callable[[int], None]) -> str:
        cached = self._cached()
        if cached is not None:
            self._take(cached.resolve())
        return Download(self.repository, self.file.name, self.path, on_bytes=on_bytes).run()

    def _take(self, source: Path) -> None:
        """The same bytes under a second name, or a copy where the file system cannot do that."""
        partial = self._partial()
        partial.file.parent.mkdir(parents=True, exist_ok=True)
        partial.remove()
        partial.begin()
        try:
            os.link(source, partial.file)
        except OSError:
            with source.open("rb") as content, partial.file.open("wb") as out:
                shutil.copyfileobj(content, out, 1 << 20)

    def _partial(self) -> Partial:
        return Partial(self.path, self.repository.etag(self.file.name), self.file.size)

    def _cached(self) -> Path | None:
        return hub.find_cached(self.repository, self.file.name)


def _same_disk(source: Path, path: Path) -> bool:
    return source.resolve().stat().st_dev == existing(path.parent).stat().st_dev
