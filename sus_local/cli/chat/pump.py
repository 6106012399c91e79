"""Does what the user sent, one thing after the other, while the user goes on typing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from sus_local.cli.chat.commands import is_at_once
from sus_local.cli.chat.dialogue import Dialogue
from sus_local.cli.chat.titles import make_title
from sus_local.cli.waiting import working

IDLE_SECONDS = 0.8
"""How long nothing has to happen before the model is asked for a title."""
_LAST_SECONDS = 5.0


class Pump:
    """A thread that loads the model and then takes lines in their order.

    Args:
        dialogue: What handles the lines.
        prepare: Done once, when the model is loaded; if it fails, the chat ends.
    """

    def __init__(self, dialogue: Dialogue, prepare: Callable[[], None] = lambda: None) -> None:
        self._dialogue = dialogue
        self._prepare = prepare
        self._queue: queue.Queue[str | Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._on_failure: Callable[[BaseException], None] = lambda error: None
        self._stopping = False
        self._loaded = False
        self._is_working = False

    @property
    def activity(self) -> str:
        """What goes on, in words; empty at rest."""
        return self._dialogue.activity or (working() if self._is_working else "")

    @property
    def num_waiting(self) -> int:
        """Lines that wait for their turn."""
        return self._queue.qsize()

    def start(self, *, on_failure: Callable[[BaseException], None]) -> None:
        """Begin; ``on_failure`` is told why there can be no chat."""
        self._on_failure = on_failure
        self._thread.start()

    def submit(self, line: str) -> None:
        """Take a line that the user sent."""
        if is_at_once(line):
            self._dialogue.ui.echo(line)
            self._dialogue.handle(line)
        else:
            self._queue.put(line)

    def do(self, action: Callable[[], None]) -> None:
        """Take something else to do."""
        self._queue.put(action)

    def cancel(self) -> bool:
        """Stop the answer that is on its way; False if there is none."""
        return self._dialogue.cancel()

    def stop(self) -> None:
        """Stop the answer, save what came, end the thread; a model that still loads is left."""
        self._stopping = True
        self._queue.put(None)
        self._dialogue.cancel()
        if self._loaded and not self._dialogue.session.being_loaded:
            self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        try:
            self._dialogue.session.load()
            self._loaded = True
            self._do(self._prepare)
        except BaseException as error:  # told by the main thread
            self._on_failure(error)
            return
        while not self._stopping:
            self._take()

    def _take(self) -> None:
        try:
            item = self._queue.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            if self._dialogue.session.title_is_due:
                make_title(self._dialogue.session)
            return
        if callable(item):
            action = item
            self._do(lambda: self._dialogue.attempt(action))
        elif item is not None:
            line = item
            self._do(lambda: self._handle(line))

    def _do(self, action: Callable[[], None]) -> None:
        self._is_working = True
        action()
        self._is_working = False

    def _handle(self, line: str) -> None:
        if line:
            self._dialogue.ui.echo(line)
        self._dialogue.handle(line)
