"""From tokens to text as they come: decoding, stop texts, and the stream that a caller reads."""

from __future__ import annotations

import codecs
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from sus_local.engine.loop import on_engine_thread
from sus_local.engine.sequence import Finish
from sus_local.errors import SusLocalError
from sus_local.feeds import Channel, Feed, Item
from sus_local.results import Piece, Result, Timings, TokenLogprob
from sus_local.template import StopText


class Answer:
    """The sink of one request: makes text of its tokens, whole characters only.

    Args:
        token_bytes: Token id → its UTF-8 bytes.
        stop: Where the text ends.
        feed: Takes the pieces.
        index: Which of several answers this is.
        notices: Told with the first piece.
        on_done: Called with the result before the feed gets it.
        extend: Called with the tokens so far when the length ends the answer; goes on with it in
            another request and tells the notices of that, or None where this is the end.
    """

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        stop: StopText,
        feed: Feed,
        *,
        index: int = 0,
        notices: tuple[str, ...] = (),
        on_done: Callable[[Result], None] | None = None,
        extend: Callable[[Answer, tuple[int, ...]], tuple[str, ...] | None] | None = None,
    ) -> None:
        self._token_bytes = token_bytes
        self._stop = stop
        self._feed = feed
        self._index = index
        self._notices = notices
        self._on_done = on_done
        self._extend = extend
        self._finishes: list[Finish] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._in_character = False
        self._token_ids: list[int] = []
        self._ends: list[int] = []
        self._num_decoded = 0
        self._logprobs: list[TokenLogprob] = []
        self._texts: list[str] = []
        self._tell(notices)

    def on_token(self, token_id: int, logprob: TokenLogprob | None) -> bool:
        """Take a token; True where a stop text is complete."""
        new = self._decode(self._token_bytes(token_id))
        self._num_decoded += len(new)
        self._token_ids.append(token_id)
        self._ends.append(self._num_decoded + self._in_character)
        if logprob is not None:
            self._logprobs.append(logprob)
        text = self._stop.feed(new)
        self._texts.append(text)
        if text or not self._stop.stopped:
            self._feed.put(Piece(text, (token_id,), self._index))
        return self._stop.stopped

    def on_finish(self, finish: Finish) -> None:
        """Make the result; what is left of a broken character is not shown."""
        self._finishes.append(finish)
        if finish.finish_reason == "length" and self._extend is not None:
            notices = self._extend(self, tuple(self._token_ids))
            if notices is not None:
                self._notices += notices
                self._tell(notices)
                return
        rest = self._stop.finish()
        self._texts.append(rest)
        text = "".join(self._texts)
        kept = self._num_kept(len(text))
        result = Result(
            text=text,
            token_ids=tuple(self._token_ids[:kept]),
            finish_reason=finish.finish_reason,
            usage=replace(self._finishes[0].usage, completion_tokens=len(self._token_ids)),
            timings=_joined([finish.timings for finish in self._finishes]),
            logprobs=tuple(self._logprobs[:kept]),
            notices=self._notices,
        )
        if self._on_done is not None:
            self._on_done(result)
        self._feed.put(Piece(rest, (), self._index, result=result))

    def on_error(self, error: SusLocalError) -> None:
        """Pass the error on."""
        self._feed.put(error)

    def _decode(self, content: bytes) -> str:
        if content.isascii() and not self._in_character:
            return content.decode("ascii")
        new = self._decoder.decode(content)
        self._in_character = bool(self._decoder.getstate()[0])
        return new

    def _tell(self, notices: tuple[str, ...]) -> None:
        if notices:
            self._feed.put(Piece("", index=self._index, notices=notices))

    def _num_kept(self, length: int) -> int:
        """How many tokens lie before the cut that a stop text made, whole characters only."""
        if not self._stop.stopped:
            return len(self._token_ids)
        return sum(1 for end in self._ends if end <= length)


def _joined(timings: list[Timings]) -> Timings:
    """The timings of an answer that several requests made; most have one."""
    first, *more = timings
    if not more:
        return first
    decode_s = first.decode_s + sum(part.ttft_s + part.decode_s for part in more)
    num_tokens = sum(part.decode_tokens_per_s * part.decode_s + 1 for part in timings) - 1
    rate = num_tokens / decode_s if decode_s > 0 else 0.0
    return replace(first, decode_s=decode_s, decode_tokens_per_s=rate)


class Stream(Iterator[Piece]):
    """An answer on its way: iterate over its pieces, or ask for its result.

    Generation goes on whether or not anybody reads. Closing ends it; so does dropping a stream
    that was read in part, and Ctrl-C while it is waited for.

    >>> from sus_local.llm import LLM
    >>> from sus_local.backend.fake import Fake
    >>> llm = LLM(Fake(script=lambda prompt: "hé".encode()))
    >>> stream = llm.stream([{"role": "user", "content": "hi"}])
    >>> [piece.text for piece in stream if piece.text], stream.result.finish_reason
    (['h', 'é'], 'stop')
    >>> llm.close()
    """

    def __init__(self, channel: Channel, num_answers: int = 1, *, model: object = None) -> None:
        self._channel = channel
        self._model = model  # kept: one that nobody holds is freed
        self._num_open = num_answers
        self._results: dict[int, Result] = {}
        self._error: SusLocalError | None = None
        self._read = False
        self._lock = threading.RLock()

    @property
    def result(self) -> Result:
        """The finished answer (the first of several); waits for it.

        Raises:
            SusLocalError: There is no answer.
        """
        return self.results[0]

    @property
    def results(self) -> list[Result]:
        """All finished answers, in order; waits for them."""
        self._channel.check_may_wait()  # before the lock, which a thread that waits may hold
        with self._lock, self._ended_by_interrupts():
            if self._num_open:
                self._channel.wait()  # to wake once, not at each token: that would slow the engine
            while self._num_open:
                self._take()
            if self._error is not None:
                raise self._error
            return [self._results[index] for index in sorted(self._results)]

    @property
    def prompt_progress(self) -> tuple[int, int]:
        """How much of the prompt is read: its tokens with KV, cached or computed, and all of them.

        To be asked while the first piece is waited for, from any thread.
        """
        return self._channel.prompt_progress

    def close(self) -> None:
        """End the answer now, and keep what came: ``result.finish_reason`` is ``"cancelled"``.

        Waits for the end, but not in a finalizer that runs on the engine's own thread.
        """
        if not self._channel.done:
            self._channel.cancel()
            if not on_engine_thread():
                self._channel.wait()

    def __next__(self) -> Piece:
        self._channel.check_may_wait()
        with self._lock:
            if not self._num_open:
                if self._error is not None and not self._read:
                    self._read = True
                    raise self._error
                raise StopIteration
            self._read = True
            with self._ended_by_interrupts():
                item = self._take()
        if isinstance(item, SusLocalError):
            raise item
        return item

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_read", False) and not self._channel.done:
            self._channel.cancel()

    @contextlib.contextmanager
    def _ended_by_interrupts(self) -> Iterator[None]:
        """Whoever stops waiting for an answer wants no more of it."""
        try:
            yield
        except BaseException:
            self._channel.cancel()
            raise

    def _take(self) -> Item:
        item = self._channel.get()
        if isinstance(item, SusLocalError):
            self._error = item
            self._num_open = 0
        elif item.result is not None:
            self._results[item.index] = item.result
            self._num_open -= 1
        return item
