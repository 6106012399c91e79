"""What the engine's thread does with requests as they come."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from sus_local.backend.base import Slice
from sus_local.backend.fake import Fake
from sus_local.engine import loop as loop_module
from sus_local.engine.loop import EngineLoop, wait_for
from sus_local.engine.sequence import Finish, Request
from sus_local.errors import EngineClosedError, SusLocalError
from sus_local.sampling import SamplingParams
from tests.engine.driving import ROOT, WAIT_S, Recorder, call, fresh_answer, make_engine

ONE, TWO = [3 + index % 5 for index in range(20)], [90 + index % 5 for index in range(9)]


class Waiting(Fake):
    """Holds its first decode until it is aborted, or let go; tells how many each batch holds."""

    def __init__(self) -> None:
        super().__init__(n_batch=64)
        self.begun, self.go = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def decode(self, slices: Sequence[Slice]) -> None:
        self.batches.append(len(slices))
        if not self.begun.is_set():
            self.begun.set()
            assert self.go.wait(WAIT_S)
        super().decode(slices)

    def abort(self) -> None:
        super().abort()
        self.go.set()


class Done(Recorder):
    """A sink to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.done = threading.Event()

    def on_finish(self, finish: Finish) -> None:
        super().on_finish(finish)
        self.done.set()

    def on_error(self, error: SusLocalError) -> None:
        super().on_error(error)
        self.done.set()


class Deaf(Done):
    """A sink that cannot be told of an error."""

    def on_error(self, error: SusLocalError) -> None:
        super().on_error(error)
        raise RuntimeError("deaf")


def submit(loop: EngineLoop, token_ids: list[int], sink: Done | None = None) -> Done:
    sink = sink or Done()
    params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
    loop.submit(Request(tuple(token_ids), params, sink, ROOT))
    return sink


@pytest.mark.parametrize(
    ("gather_s", "batches"), [(WAIT_S, [1, 2, 2, 2, 2]), (0.0, [1, 2, 2, 2, 1])]
)
def test_a_batch_that_has_just_begun_begins_again_for_one_more_request(
    monkeypatch: pytest.MonkeyPatch, gather_s: float, batches: list[int]
) -> None:
    monkeypatch.setattr(loop_module, "_GATHER_S", gather_s)
    fake = Waiting()
    loop = EngineLoop(make_engine(fake))
    one = submit(loop, ONE)
    assert fake.begun.wait(WAIT_S)
    two = submit(loop, TWO)
    if not gather_s:
        assert not fake.go.is_set()
        fake.go.set()
    assert one.done.wait(WAIT_S)
    assert two.done.wait(WAIT_S)
    loop.close()

    assert fake.batches == batches
    assert fake.num_decoded_tokens == len(ONE) + len(TWO) + 2 * 3
    assert one.token_ids == fresh_answer(ONE, 4, end_every=0)
    assert two.token_ids == fresh_answer(TWO, 4, end_every=0)


FORK = """
import os, signal
from sus_local import LLM
from sus_local.backend.fake import Fake
from sus_local.errors import EngineClosedError

llm = LLM(Fake())
llm.generate("x")
with llm._loop._lock:  # as another thread may hold it just then
    child = os.fork()
if child:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    llm.generate("x")
    llm.close()
    raise SystemExit(status)
signal.alarm(20)
try:
    llm.generate("x")
except EngineClosedError as error:
    llm.close()
    os._exit(0 if "is that of process" in error.message else 1)
os._exit(1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_a_forked_child_is_told_that_the_model_is_its_parents() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    assert subprocess.run(command, timeout=60).returncode == 0


def test_whoever_closes_second_waits_for_the_end_too() -> None:
    engine = make_engine()
    begun, go, closed = threading.Event(), threading.Event(), threading.Event()

    def close() -> None:
        begun.set()
        assert go.wait(WAIT_S)
        closed.set()

    engine.store.close = close  # type: ignore[method-assign]
    loop = EngineLoop(engine)
    assert loop.stop()
    assert begun.wait(WAIT_S)
    join = loop._thread.join

    def let_go_and_join(timeout: float | None) -> None:
        assert timeout is not None
        go.set()
        join(timeout)

    loop._thread.join = let_go_and_join  # type: ignore[method-assign,assignment]
    loop.close()
    assert closed.is_set()
    assert not loop.stop()


def test_no_call_waits_without_end_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows no Ctrl-C would come through."""
    go, done, wait = threading.Event(), threading.Event(), threading.Condition.wait
    timeouts: list[float | None] = []

    def watched(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread() is threading.main_thread():
            timeouts.append(timeout)
            go.set()
        return wait(self, timeout)

    loop = EngineLoop(make_engine())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Condition, "wait", watched)
        loop._leave(lambda: done.set() if go.wait(WAIT_S) else None)
        wait_for(done)
    loop.close()
    assert timeouts
    assert None not in timeouts


# What nobody foresaw


class Failing(Fake):
    """From some time on these methods fail."""

    def break_down(self, *methods: str) -> None:
        for name in methods:
            setattr(self, name, self._fail)

    def _fail(self, *_: object) -> None:
        raise IndexError("nobody foresaw this")


@pytest.mark.parametrize(
    "methods",
    [("decode",), ("save",), ("copy",), ("clear_abort",), ("remove",), ("decode", "remove")],
    ids="+".join,
)
def test_whatever_fails_everybody_hears_of_it(methods: tuple[str, ...]) -> None:
    fake = Failing()
    loop = EngineLoop(make_engine(fake))
    assert submit(loop, ONE).done.wait(WAIT_S)
    call(loop, lambda: fake.break_down(*methods))
    sinks: list[Done] = []
    with contextlib.suppress(EngineClosedError):
        for number in range(8):
            sinks.append(submit(loop, [*ONE, 60 + number], Deaf() if number == 2 else None))
    for sink in sinks:
        assert sink.done.wait(WAIT_S)
    loop.close()
    assert fake.closed


def test_what_failed_leaves_nothing_in_the_context() -> None:
    fake = Failing()
    engine = make_engine(fake)
    loop, copy = EngineLoop(engine), fake.copy
    call(loop, lambda: fake.break_down("copy"))
    for number in range(6):
        assert submit(loop, [*ONE, 60 + number]).done.wait(WAIT_S)
    call(loop, lambda: setattr(fake, "copy", copy))
    assert submit(loop, ONE).done.wait(WAIT_S)
    call(loop, engine.check_invariants)
    assert call(loop, lambda: fake.num_used_cells == engine.residency.cells.num_used)
    loop.close()


def test_an_engine_that_cannot_go_on_says_so_to_whoever_comes_later() -> None:
    fake = Failing()
    loop = EngineLoop(make_engine(fake))
    fake.break_down("decode", "remove")
    first = submit(loop, ONE)
    assert first.done.wait(WAIT_S)
    assert isinstance(first.error, SusLocalError)
    loop._thread.join(WAIT_S)
    assert fake.closed
    with pytest.raises(EngineClosedError):
        submit(loop, TWO)
    loop.close()


def test_an_engine_without_work_lets_its_backend_rest() -> None:
    fake = Fake()
    loop = EngineLoop(make_engine(fake))
    for wanted in (1, 2):
        assert any(call(loop, lambda: fake.num_rests) >= wanted for _ in range(1000))
        sink = Done()
        loop.submit(Request(tuple(ONE), SamplingParams(temperature=0, max_tokens=9), sink, ROOT))
        assert sink.done.wait(WAIT_S)
    loop.close()
