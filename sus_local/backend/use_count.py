"""Keeps something from being freed while it is used: :class:`UseCount`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from sus_local.errors import EngineClosedError


class UseCount:
    """How many threads use a thing that one of them frees.

    They do not wait for each other. Whoever held a lock meanwhile, and ran the finalizer of a
    stream, would wait for the engine, which would wait for the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # for moments
        self._count = 0
        self._ended = False
        self._unused = threading.Event()

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """While it is used.

        Raises:
            EngineClosedError: It was freed, or is about to be.
        """
        with self._lock:
            if self._ended:
                raise EngineClosedError("the model was closed", hint="load it again")
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if self._ended and not self._count:
                    self._unused.set()

    def end(self) -> None:
        """Let nobody use it any more, and wait for those who do."""
        with self._lock:
            self._ended = True
            if not self._count:
                self._unused.set()
        self._unused.wait()
