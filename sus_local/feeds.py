"""From the engine's thread to whoever waits for an answer: on another thread, or in asyncio."""

from __future__ import annotations

import contextlib
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from sus_local.engine.loop import INTERRUPTIBLE_S, Ticket, check_may_wait, wait_for
from sus_local.engine.sequence import Finish
from sus_local.errors import EngineClosedError, SusLocalError
from sus_local.results import Piece, TokenLogprob

if TYPE_CHECKING:
    from asyncio import Queue

Item = Piece | SusLocalError


class Feed(Protocol):
    """Takes pieces from the engine's thread; it must not wait."""

    def put(self, item: Item) -> None:
        """Take a piece, or the error that ends the answer."""
        ...

    def attach(self, ticket: Ticket) -> None:
        """Take the way to cancel the request that the pieces come from."""
        ...


class _Requests:
    """The requests behind a stream, to be cancelled together from any thread."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._cancelled = False

    def attach(self, ticket: Ticket) -> None:
        """For the model: a request to cancel with the rest, at once where they are already."""
        self._tickets.append(ticket)
        if self._cancelled:
            ticket.cancel()

    def cancel(self) -> None:
        """End what still runs."""
        self._cancelled = True
        for ticket in self._tickets:
            ticket.cancel()


class Channel(_Requests):
    """The way from the engine to a stream, and back for cancelling.

    The engine holds this and not the stream, so that dropping the stream can end the answer.

    Args:
        num_answers: How many answers come through it.
    """

    def __init__(self, num_answers: int = 1) -> None:
        super().__init__()
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._num_open = num_answers
        self._done = threading.Event()

    @property
    def done(self) -> bool:
        """Whether the engine has put the last item in."""
        return self._done.is_set()

    def put(self, item: Item) -> None:
        """For the engine: take the next piece."""
        if isinstance(item, SusLocalError):
            self._num_open = 0
            self.cancel()
        elif item.result is not None:
            self._num_open -= 1
        if self._num_open <= 0:
            self._done.set()
        self._queue.put(item)

    def get(self) -> Item:
        """Wait for the next piece."""
        while True:
            with contextlib.suppress(Empty):
                return self._queue.get(timeout=INTERRUPTIBLE_S)

    def wait(self) -> None:
        """Wait until the answer is complete, or failed; takes no piece away."""
        if not self.done:
            wait_for(self._done)

    def check_may_wait(self) -> None:
        """See :func:`sus_local.engine.loop.check_may_wait`."""
        if not self.done:
            check_may_wait()

    @property
    def prompt_progress(self) -> tuple[int, int]:
        """Tokens of the prompt that are there, and all of them; of the last request so far."""
        if not self._tickets:
            return 0, 0
        ticket = self._tickets[-1]
        return ticket.num_prompt_computed, len(ticket.request.token_ids)


class AsyncFeed(_Requests):
    """Carries pieces from the engine's thread to an asyncio task."""

    def __init__(self) -> None:
        import asyncio

        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._queue: Queue[Item] = asyncio.Queue()

    def put(self, item: Item) -> None:
        """Take a piece; where the event loop was closed nobody reads, and the answer ends."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:
            self.cancel()

    async def get(self) -> Piece:
        """The next piece."""
        item = await self._queue.get()
        if isinstance(item, SusLocalError):
            raise item
        return item


class Scores:
    """The sink of a text that is scored.

    Attributes:
        logprobs: One for each token after the first, as far as they came.
    """

    def __init__(self) -> None:
        self.logprobs: list[float] = []
        self._done = threading.Event()
        self._error: SusLocalError | None = None

    def on_token(self, token_id: int, logprob: TokenLogprob | None) -> bool:
        """Take the log-probability of a token."""
        if logprob is not None:
            self.logprobs.append(logprob.logprob)
        return False

    def on_finish(self, finish: Finish) -> None:
        """All are there, unless the model was closed."""
        if finish.finish_reason == "cancelled":
            self._error = EngineClosedError("the model was closed", hint="load it again")
        self._done.set()

    def on_error(self, error: SusLocalError) -> None:
        """There will be no more."""
        self._error = error
        self._done.set()

    def wait(self, ticket: Ticket) -> None:
        """Wait until all are there; an interrupt of the waiting ends the scoring.

        Raises:
            SusLocalError: They will not come.
        """
        try:
            wait_for(self._done)
        except BaseException:
            ticket.cancel()
            raise
        if self._error is not None:
            raise self._error
