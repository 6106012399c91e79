"""The engine's thread: everything that touches the context happens here.

Other threads leave requests in an inbox; answers go to each request's sink.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from sus_local.engine.engine import Engine, check_fits, tell
from sus_local.engine.sequence import Request, Sequence
from sus_local.errors import EngineClosedError, EngineError

_GATHER_S = 0.002
"""How long after the first one more requests make an idle engine's first batch begin again."""

INTERRUPTIBLE_S = 0.2
"""Windows lets no Ctrl-C through to a wait without end."""


class _EngineThread(threading.Thread):
    """Where an engine runs; whoever waits for an answer there waits for ever."""


def on_engine_thread() -> bool:
    """Whether this is an engine's own thread: the garbage collector runs finalizers anywhere."""
    return isinstance(threading.current_thread(), _EngineThread)


def check_may_wait() -> None:
    """Raise EngineError where waiting for an engine could not end; see :func:`on_engine_thread`."""
    if on_engine_thread():
        raise EngineError(
            "a finalizer waits for an answer on the thread that makes the answers",
            hint="close or cancel in a finalizer, and ask for nothing",
        )


def wait_for(event: threading.Event) -> None:
    """Wait for what an engine will do; Ctrl-C ends the waiting. See :func:`check_may_wait`."""
    check_may_wait()
    while not event.wait(INTERRUPTIBLE_S):
        pass


class Ticket:
    """A submitted request: the way to cancel it from any thread."""

    def __init__(self, loop: EngineLoop, request: Request) -> None:
        self._loop = loop
        self.request = request
        self.sequence: Sequence | None = None
        self.cancelled = False

    @property
    def num_prompt_computed(self) -> int:
        """Tokens of the prompt whose KV is there, from the cache or computed; from any thread."""
        sequence = self.sequence
        return min(sequence.num_computed, sequence.num_prompt_tokens) if sequence else 0

    def cancel(self) -> None:
        """End the answer now; what was computed stays in the cache."""
        self.cancelled = True
        if self.sequence is not None:
            self._loop.engine.cancel(self.sequence)


class EngineLoop:
    """Runs an engine on a thread of its own until it is closed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._gathers_until = 0.0
        self._process = os.getpid()
        self._thread = _EngineThread(target=self._run, name="sus-local-engine", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it takes no request any more: it was stopped, or could not go on."""
        return self._closed.is_set()

    def submit(self, request: Request) -> Ticket:
        """Leave a request; its sink hears of everything from now on.

        Raises:
            EngineClosedError: The engine was closed.
            ContextOverflowError: The prompt cannot fit.
        """
        check_fits(request, self.engine.backend.info.n_ctx)
        ticket = Ticket(self, request)
        self._leave(lambda: self._take_in(ticket))
        if time.perf_counter() < self._gathers_until:
            self.engine.backend.abort()
        return ticket

    def check_open(self) -> None:
        """Raise EngineClosedError where there is no engine any more, or not in this process."""
        if os.getpid() != self._process:  # a fork has none of its parent's threads
            raise EngineClosedError(
                f"the model is that of process {self._process}, this one is {os.getpid()}",
                hint="load it after the fork",
                process=self._process,
            )
        if self.closed:
            raise EngineClosedError("the model was closed", hint="load it again")

    def stop(self) -> bool:
        """Have requests end as cancelled, the cache written and the model freed; waits for nothing.

        False where there was nothing to do: it was called before, or in another process.
        """
        if os.getpid() != self._process:
            return False
        with self._lock:
            if self.closed:
                return False
            self._closed.set()
            self._inbox.put(None)
        self.engine.stop()
        return True

    def close(self) -> None:
        """:meth:`stop`, and wait for the end of it, whoever called it first."""
        self.stop()
        while self._thread.is_alive() and not on_engine_thread():
            self._thread.join(INTERRUPTIBLE_S)

    def _leave(self, action: Callable[[], None]) -> None:
        self.check_open()  # before the lock: a fork may have taken it along
        with self._lock:
            self.check_open()
            self._inbox.put(action)

    def _take_in(self, ticket: Ticket) -> None:
        try:
            ticket.sequence = self.engine.add(ticket.request)
        except Exception as error:
            tell(ticket.request, error)
            return
        if ticket.cancelled:
            ticket.sequence.cancelled = True

    def _run(self) -> None:
        try:
            while self._empty_inbox():
                self._step()
        except Exception as error:
            self._give_up(error)
        finally:
            self.engine.close()

    def _empty_inbox(self) -> bool:
        """Carry out what lies in the inbox; False if it says to stop.

        Requests that come together share their first batch: one that began alone would make the
        others' prefill go in small chunks beside its answer. So an engine that was idle does not
        wait for them, but begins again when they come within a moment.
        """
        if self.engine.is_idle:
            if self._inbox.empty():
                self.engine.backend.rest()
            if not self._carry_out(self._inbox.get()):
                return False
            self._gathers_until = time.perf_counter() + _GATHER_S
        while not self._inbox.empty():
            if not self._carry_out(self._inbox.get()):
                return False
        return True

    @staticmethod
    def _carry_out(action: Callable[[], None] | None) -> bool:
        if action is not None:
            action()
        return action is not None

    def _step(self) -> None:
        """Where one fails in a way that nobody foresaw, everybody is told, and it begins clean."""
        try:
            self.engine.step()
        except Exception as error:
            self.engine.fail_all(error)
            self.engine.residency.clear()

    def _give_up(self, error: Exception) -> None:
        """Not even the context could be emptied: nobody may be left waiting."""
        with self._lock:
            self._closed.set()
        while not self._inbox.empty():
            self._carry_out(self._inbox.get())
        self.engine.fail_all(error)
