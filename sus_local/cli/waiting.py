"""What is waited for, and how far it is: in words, and as a line on the terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from sus_local.cli.text import t

if TYPE_CHECKING:
    from rich.status import Status
    from rich.text import Text

_PATIENCE_S = 0.5


def loading(model: str, share: float) -> str:
    """How far the loading of a model is.

    >>> loading("demo", 0.0), loading("demo", 0.421)
    ('loading demo …', 'loading demo … 42%')
    """
    begun = t("loading {model} …", model=model)
    return f"{begun} {100 * share:.0f}%" if share > 0 else begun


def reading(num_read: int, num_tokens: int) -> str:
    """How far the reading of a prompt is; empty where it has not begun, or is over.

    The last token is read for the answer's first.

    >>> reading(512, 2048), reading(0, 20), reading(19, 20), reading(20, 20)
    ('reading the prompt … 25% · Ctrl-C stops it', '', '', '')
    """
    if not 0 < num_read < num_tokens - 1:
        return ""
    percent = 100 * num_read / num_tokens
    return t("reading the prompt … {percent:.0f}% · Ctrl-C stops it", percent=percent)


def working() -> str:
    """That an answer is being made."""
    return t("working … Ctrl-C stops it")


class Waiting:
    """A line on standard error while something takes long; nothing where that is no terminal.

    Attributes:
        words: What the line says; asked again and again, by a thread.
    """

    def __init__(self) -> None:
        self.words: Callable[[], str] = lambda: ""
        self._status: Status | None = None
        self._over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(_PATIENCE_S, self._show)
        self._timer.daemon = True

    def __enter__(self) -> Waiting:
        if sys.stderr.isatty():
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Take the line away; it does not come again."""
        if self._over:
            return
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._status is not None:
                self._status.stop()
                self._status = None

    def _show(self) -> None:
        from rich.console import Console

        with self._lock:
            if not self._over:
                self._status = Console(stderr=True).status(self)
                self._status.start()

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(self.words())
