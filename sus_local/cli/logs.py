"""What the library logs, shown to the user: a GPU that is not used, a hub that lets one wait."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sus_local.cli.told import told

LOGGER = logging.getLogger("sus_local")


@contextmanager
def shown(show: Callable[[str], None]) -> Iterator[None]:
    """Within this, what the library logs goes to ``show``, one line each, and nowhere else."""
    before, LOGGER.handlers = LOGGER.handlers, [_Shower(show)]
    try:
        yield
    finally:
        LOGGER.handlers = before


class _Shower(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        self._show(told(record.getMessage()))
