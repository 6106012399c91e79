"""How far the loading of a model is, and a way to end it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llama_cpp import llama_cpp as c

_STEP_BYTES = 32 << 20


class LoadProgress:
    """Tells somebody how far a load is; what that raises, Ctrl-C too, ends the load.

    Two things take time: the system reads the files, then llama.cpp gives the weights their places,
    on a GPU for instance. Of the first, where they are mapped, llama.cpp tells nothing.

    Args:
        tell: Told a share from 0 to 1, never less than before.
        most_ahead_bytes: Files that are larger together are not read ahead: in main memory their
            end would take the place of their beginning. None: any.
    """

    def __init__(
        self, tell: Callable[[float], None], *, most_ahead_bytes: int | None = None
    ) -> None:
        self._tell = tell
        self._most_ahead_bytes = most_ahead_bytes
        self._done = 0.0
        self._error: BaseException | None = None
        self._callback = c.llama_progress_callback(self._on_progress)

    def read_ahead(self, files: Sequence[Path], *, share: float) -> None:
        """Have the system read files, where it takes such advice, and wait as it does.

        Args:
            share: Of the whole load.
        """
        advise = getattr(os, "posix_fadvise", None)
        sizes = [path.stat().st_size for path in files]
        most, done = self._most_ahead_bytes, 0
        if advise is None or (most is not None and sum(sizes) > most):
            return
        for path, size in zip(files, sizes, strict=True):
            with path.open("rb") as file:
                for offset in range(0, size, _STEP_BYTES):
                    # The queue of a disk is short: this waits until most of it is read.
                    with contextlib.suppress(OSError):
                        advise(file.fileno(), offset, _STEP_BYTES, os.POSIX_FADV_WILLNEED)
                    self._tell(share * (done + min(offset + _STEP_BYTES, size)) / sum(sizes))
            done += size
        self._done = share

    def install(self, params: Any) -> None:
        """Let the model that is loaded with these parameters tell its part."""
        params.progress_callback = self._callback

    def check(self) -> None:
        """Raise what ended the load, if anything did."""
        if self._error is not None:
            raise self._error

    def _on_progress(self, placed: float, _data: object) -> bool:
        # An exception cannot pass through C.
        try:
            self._tell(self._done + (1 - self._done) * placed)
        except BaseException as error:
            self._error = error
            return False
        return True
