"""Streams: whole characters, stop texts, closing, dropping, many readers."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sus_local import LLM, SamplingParams, Stream
from sus_local.backend.base import Slice
from sus_local.backend.fake import Fake
from sus_local.engine.sequence import Finish
from sus_local.errors import BackendError, EngineError, SusLocalError
from sus_local.feeds import Channel, Scores
from sus_local.results import Piece, Timings, Usage
from sus_local.stream import Answer
from sus_local.template import StopText
from tests.engine.driving import call
from tests.test_llm import Gate, watch_cancellation

HI = [{"role": "user", "content": "hi"}]
LONG = "字" * 400
WAIT_S = 20.0


@contextmanager
def saying(answer: str, **options: float) -> Iterator[LLM]:
    """A model that always answers this."""
    fake = Fake(script=lambda prompt: answer.encode(), n_ctx=4096, **options)  # type: ignore[arg-type]
    with LLM(fake) as llm:
        yield llm


class Collector:
    """A feed that keeps what comes."""

    def __init__(self) -> None:
        self.items: list[Piece | SusLocalError] = []

    def put(self, item: Piece | SusLocalError) -> None:
        self.items.append(item)

    @property
    def pieces(self) -> list[Piece]:
        return [item for item in self.items if isinstance(item, Piece)]


def answered(content: bytes, stop: tuple[str, ...] = (), reason: str = "length") -> list[Piece]:
    """The pieces of an answer whose tokens are its bytes."""
    feed = Collector()
    answer = Answer(lambda token_id: bytes([token_id]), StopText(stop=stop), feed)
    stopped = any(answer.on_token(byte, None) for byte in content)
    answer.on_finish(Finish("stop" if stopped else reason, Usage(), Timings()))  # type: ignore[arg-type]
    return feed.pieces


# Characters


@given(st.text())
def test_pieces_are_whole_characters_and_join_to_the_text(text: str) -> None:
    pieces = answered(text.encode(), reason="stop")
    result = pieces[-1].result
    assert result is not None
    # A stop line is text like any other here, but for what it cuts.
    assert "".join(piece.text for piece in pieces) == result.text
    assert "\ufffd" not in result.text or "\ufffd" in text
    if "### Human:" not in text:
        assert result.text == text


@pytest.mark.parametrize("text", ["中", "é", "🙂", "a中", "中🙂"])
def test_an_answer_cut_within_a_character_shows_no_broken_one(text: str) -> None:
    content = text.encode()
    for length in range(len(content)):
        pieces = answered(content[:length])
        whole = content[:length].decode(errors="ignore")
        assert "".join(piece.text for piece in pieces) == whole
        assert pieces[-1].result is not None
        assert pieces[-1].result.text == whole
        assert len(pieces[-1].result.token_ids) == length


def test_bytes_that_are_no_character_are_shown_as_one_replacement() -> None:
    assert "".join(p.text for p in answered(b"a\xffb")) == "a\ufffdb"


def test_tokens_of_a_stop_text_are_cut_like_its_text() -> None:
    result = answered("one。two".encode(), stop=("。",))[-1].result
    assert result is not None
    assert (result.text, bytes(result.token_ids), result.finish_reason) == ("one", b"one", "stop")


def test_each_token_comes_once() -> None:
    pieces = answered("a中b".encode())
    assert [t for piece in pieces for t in piece.token_ids] == list("a中b".encode())


# Streaming equals not streaming


@pytest.mark.parametrize("text", ["Hello!", "你好，世界🙂。", "a\n\n### Human: b", ""])
def test_streamed_equals_unstreamed(text: str) -> None:
    with saying(text) as llm:
        whole = llm.generate(HI)
        stream = llm.stream(HI)
        pieces = list(stream)
    assert "".join(piece.text for piece in pieces) == whole.text == stream.result.text
    assert stream.result.token_ids == whole.token_ids
    assert pieces[-1].result == stream.result
    assert [piece.result for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


def test_the_result_is_there_before_and_after_reading() -> None:
    with saying("Hello!") as llm:
        stream = llm.stream(HI)
        assert stream.result is stream.result
        assert list(stream) == []


# Closing and dropping


def test_closing_keeps_what_came_and_ends_the_answer() -> None:
    with saying(LONG, delay_s=0.001) as llm, llm.stream(HI) as stream:
        first = next(piece for piece in stream if piece.text)
        stream.close()
        result = stream.result
    assert result.finish_reason == "cancelled"
    assert result.text.startswith(first.text)
    assert len(result.text) < len(LONG)


def test_closing_twice_or_after_the_end_changes_nothing() -> None:
    with saying("Hello!") as llm:
        stream = llm.stream(HI)
        assert stream.result.finish_reason == "stop"
        stream.close()
        stream.close()
        assert stream.result.finish_reason == "stop"


def test_breaking_out_of_the_loop_ends_the_answer() -> None:
    """The stream of a ``for`` loop is dropped with it; nothing else may keep the answer going."""
    finished = threading.Event()
    with saying(LONG, delay_s=0.001) as llm:
        on_drop(llm, finished)
        for piece in llm.stream(HI):
            if piece.text:
                break
        del piece
        gc.collect()
        assert finished.wait(WAIT_S)
        # With all of it computed this would take 1200 decodes more.
        assert llm._backend.num_decoded_tokens < 1000  # type: ignore[attr-defined]


def on_drop(llm: LLM, finished: threading.Event) -> None:
    """Have ``finished`` set when a request of ``llm`` ends."""
    engine = llm._loop.engine
    finish = engine._finish

    def finish_and_tell(*arguments: object) -> None:
        finish(*arguments)  # type: ignore[arg-type]
        finished.set()

    engine._finish = finish_and_tell  # type: ignore[method-assign]


def test_a_stream_that_nobody_reads_goes_on() -> None:
    finished = threading.Event()
    with saying("Hello!") as llm:
        on_drop(llm, finished)
        llm.stream(HI)
        gc.collect()
        assert finished.wait(WAIT_S)
        assert llm.generate(HI).usage.cached_tokens > 0


def test_a_request_that_joins_a_closed_channel_is_cancelled_at_once() -> None:
    """An answer may go on in another request just when it is closed."""

    class Recorded:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    channel, early, late = Channel(), Recorded(), Recorded()
    channel.attach(early)  # type: ignore[arg-type]
    channel.cancel()
    channel.attach(late)  # type: ignore[arg-type]
    assert early.cancelled
    assert late.cancelled


# On the engine's thread, where the garbage collector runs finalizers too


def on_engine_thread(llm: LLM, finalizer: Callable[[], object]) -> object:
    """What a finalizer gives or raises that runs between two steps of the engine."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(call(llm._loop, finalizer))
        except SusLocalError as error:
            outcome.append(error)

    caller = threading.Thread(target=run, daemon=True)
    caller.start()
    caller.join(WAIT_S)
    assert outcome, "the engine waits for itself"
    return outcome[0]


def texts_of(stream: Stream) -> Iterator[str]:
    with stream:
        for piece in stream:
            yield piece.text


def test_closing_on_the_engines_thread_ends_the_answer_without_waiting() -> None:
    with saying(LONG, delay_s=0.001) as llm:
        stream, other = llm.stream(HI), llm.stream(HI)
        pieces = texts_of(other)
        next(pieces)
        assert on_engine_thread(llm, stream.close) is None
        assert on_engine_thread(llm, pieces.close) is None  # type: ignore[attr-defined]
        assert stream.result.finish_reason == other.result.finish_reason == "cancelled"


def test_waiting_on_the_engines_thread_is_refused() -> None:
    with saying(LONG, delay_s=0.001) as llm:
        chat = llm.conversation()
        stream = chat.send("hi")
        waits: list[Callable[[], object]] = [
            lambda: chat.turns,
            lambda: chat.ask("hi"),
            lambda: stream.result,
            lambda: next(stream),
            lambda: llm.score([5, 6]),
        ]
        for wait in waits:
            error = on_engine_thread(llm, wait)
            assert isinstance(error, EngineError)
            assert "a finalizer waits for an answer" in error.message
        stream.close()


# Interrupts


@pytest.mark.parametrize(
    "ask",
    [
        lambda llm: llm.generate(HI),
        lambda llm: llm.stream(HI).result,
        lambda llm: llm.conversation().ask("hi"),
        lambda llm: llm.conversation().fork_generate("hi"),
        lambda llm: next(llm.stream(HI)),
    ],
    ids=["generate", "result", "ask", "fork_generate", "next"],
)
def test_an_interrupt_of_the_waiting_ends_the_answer(
    ask: Callable[[LLM], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(channel: Channel) -> None:
        raise KeyboardInterrupt

    with saying(LONG, delay_s=0.001) as llm:
        ended = watch_cancellation(llm)
        with monkeypatch.context() as patch:
            for wait in ("wait", "get"):
                patch.setattr(Channel, wait, interrupt)
            with pytest.raises(KeyboardInterrupt):
                ask(llm)
        assert ended.wait(WAIT_S)


# Errors and readers


def failing_stream() -> Stream:
    channel = Channel()
    channel.put(Piece("a", (1,)))
    channel.put(BackendError("broken"))
    return Stream(channel)


@pytest.mark.parametrize("read", [list, lambda stream: stream.result, lambda s: s.results])
def test_an_error_reaches_every_way_of_reading(read: Callable[[Stream], object]) -> None:
    with pytest.raises(BackendError, match="broken"):
        read(failing_stream())


def test_an_error_is_raised_once_by_iterating_and_always_by_asking() -> None:
    stream = failing_stream()
    assert next(stream).text == "a"
    with pytest.raises(BackendError):
        next(stream)
    assert list(stream) == []
    with pytest.raises(BackendError):
        _ = stream.result
    stream.close()


def test_many_threads_may_ask_one_stream_for_its_result() -> None:
    with saying("你好" * 50) as llm:
        stream = llm.stream(HI)
        texts: list[str] = []
        readers = [
            threading.Thread(target=lambda: texts.append(stream.result.text)) for _ in range(8)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(WAIT_S)
    assert texts == ["你好" * 50] * 8


def test_one_thread_may_close_what_another_reads() -> None:
    with saying(LONG, delay_s=0.001) as llm:
        stream = llm.stream(HI)
        begun, reasons = threading.Event(), []

        def read() -> None:
            for piece in stream:
                begun.set()
                if piece.result is not None:
                    reasons.append(piece.result.finish_reason)

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(WAIT_S)
        stream.close()
        reader.join(WAIT_S)
    assert reasons == ["cancelled"]


def test_several_answers_come_apart_by_index() -> None:
    with saying("Hello!") as llm:
        stream = llm.stream(HI, sampling=SamplingParams(n=3))
        texts = {0: "", 1: "", 2: ""}
        for piece in stream:
            texts[piece.index] += piece.text
        assert texts == dict.fromkeys(range(3), "Hello!")
        assert [result.text for result in stream.results] == ["Hello!"] * 3


# Scores


def test_an_interrupt_of_the_waiting_ends_the_scoring() -> None:
    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    class Cancellable:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    scores, ticket = Scores(), Cancellable()
    scores._done = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        scores.wait(ticket)  # type: ignore[arg-type]
    assert ticket.cancelled


def test_how_much_of_the_prompt_is_read_is_told_while_it_is_read() -> None:
    held, seen = threading.Event(), []
    fake = Fake(script=lambda prompt: b"Yes.", n_ctx=4096, n_batch=64)
    decode = fake.decode

    def watched(slices: list[Slice]) -> None:
        assert held.wait(WAIT_S)
        seen.append(stream.prompt_progress)
        decode(slices)

    fake.decode = watched  # type: ignore[method-assign,assignment]
    with LLM(fake) as llm:
        question = [{"role": "user", "content": "x" * 150}]
        total = len(llm.encode(question))
        stream = llm.stream(question, sampling=SamplingParams(max_tokens=2))
        assert stream.prompt_progress == (0, total)
        held.set()
        assert stream.result.text == "Ye"
        assert seen == [(0, total), (64, total), (128, total), (total, total)]


def test_what_the_cache_holds_of_a_prompt_counts_as_read() -> None:
    with saying("Yes.") as llm:
        question = [{"role": "user", "content": "x" * 150}]
        total = llm.generate(question).usage.prompt_tokens
        begun, gate = [], Gate(llm)
        stream = llm.stream(question)
        assert gate.begun.wait(WAIT_S)
        begun.append(stream.prompt_progress)
        gate.open()
        assert stream.result.text == "Yes."
        assert begun == [(total - 1, total)]
