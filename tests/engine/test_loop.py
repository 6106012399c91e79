"""What the engine's thread does with requests as they come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from sus_local.backend.base import Slice
from sus_local.backend.fake import Fake
from sus_local.engine import loop as loop_module
from sus_local.engine.loop import EngineLoop
from sus_local.engine.sequence import Finish, Request
from sus_local.sampling import SamplingParams
from tests.engine.driving import ROOT, Recorder, fresh_answer, make_engine

WAIT_S = 20.0
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


def submit(loop: EngineLoop, token_ids: list[int]) -> Done:
    sink = Done()
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

    def let_go_and_join() -> None:
        go.set()
        join()

    loop._thread.join = let_go_and_join  # type: ignore[method-assign,assignment]
    loop.close()
    assert closed.is_set()
    assert not loop.stop()
