"""How long the chunks of a prefill are, and who waits."""

from __future__ import annotations

import pytest

from sus_local.backend.fake import Fake
from sus_local.engine.engine import Engine
from sus_local.engine.sequence import Request
from sus_local.errors import QueueFullError
from sus_local.sampling import SamplingParams
from tests.engine.driving import ROOT, Recorder, answer, make_engine, step, submit

LONG = [3 + index % 7 for index in range(900)]
N_BATCH = 512


def _engine(min_chunk_tokens: int = 0) -> Engine:
    return make_engine(Fake(n_ctx=2048, n_batch=N_BATCH, min_chunk_tokens=min_chunk_tokens))


def _chunk(engine: Engine) -> int:
    """Tokens of the next batch."""
    submit(engine, LONG)
    return sum(count for _, count in engine.scheduler.schedule())


def test_a_chunk_that_can_be_aborted_fills_the_batch() -> None:
    engine = _engine()
    engine.scheduler.measure(100, 1.0)
    assert _chunk(engine) == N_BATCH


def test_a_chunk_that_cannot_be_aborted_takes_a_fifth_of_a_second() -> None:
    engine = _engine(64)
    engine.scheduler.measure(1000, 1.0)
    assert _chunk(engine) == 200


def test_a_fast_device_fills_the_batch() -> None:
    engine = _engine(64)
    engine.scheduler.measure(N_BATCH, 0.05)
    assert _chunk(engine) == N_BATCH


def test_the_first_chunk_of_an_unknown_device_and_those_of_a_slow_one_are_small() -> None:
    engine = _engine(64)
    assert _chunk(engine) == 64
    slow = _engine(64)
    slow.scheduler.measure(20, 1.0)
    assert _chunk(slow) == 64


def test_beside_an_answer_a_chunk_is_shorter_still() -> None:
    for min_chunk_tokens in (0, 64):
        engine = _engine(min_chunk_tokens)
        submit(engine, [90] * 9, max_tokens=200)  # too few for the speed to be learned from
        step(engine)
        engine.scheduler.measure(1000, 1.0)
        assert _chunk(engine) == 150 + 1


def test_beside_an_answer_a_chunk_of_unknown_speed_is_the_smallest() -> None:
    engine = _engine()
    submit(engine, [90] * 9, max_tokens=200)
    step(engine)
    assert _chunk(engine) == 16 + 1


def test_a_chunk_is_never_shorter_than_what_it_costs_is_worth() -> None:
    engine = _engine(256)
    engine.scheduler.measure(64, 1.0)
    assert _chunk(engine) == 256


def test_one_prompt_is_read_in_steps_of_what_is_computed_at_once() -> None:
    engine = make_engine(Fake(n_ctx=2048, n_batch=N_BATCH, n_ubatch=128))
    assert _chunk(engine) == 128


def test_prompts_that_come_together_share_a_batch_of_more() -> None:
    engine = make_engine(Fake(n_ctx=2048, n_batch=N_BATCH, n_ubatch=128))
    for first in range(10, 14):
        submit(engine, [first, *LONG[:127]])
    assert [count for _, count in engine.scheduler.schedule()] == [128] * 4


def test_small_chunks_give_the_same_answer() -> None:
    slow, fast = _engine(64), _engine()
    assert answer(slow, LONG).token_ids == answer(fast, LONG).token_ids


def test_cells_that_only_idle_sequences_share_are_there_for_who_waits() -> None:
    engine = make_engine(Fake(n_ctx=200, end_every=0), ram_bytes=0)
    for last in (5, 6):
        answer(engine, [*LONG[:60], last], max_tokens=1)
    submit(engine, [90] * 9, max_tokens=50)
    step(engine)
    waiting, _ = submit(engine, LONG[100:230])
    step(engine)
    assert waiting in engine.residency.running


def test_the_rest_of_an_answer_that_ran_goes_before_a_full_queue() -> None:
    engine = make_engine(max_sequences=1, max_waiting=2)
    waiting = [submit(engine, [5, 6, 7])[0] for _ in range(2)]
    with pytest.raises(QueueFullError):
        submit(engine, [5, 6, 7])
    params = SamplingParams(temperature=0, max_tokens=1)
    rest = engine.add(Request((8, 9), params, Recorder(), ROOT, goes_on=True))
    assert list(engine.scheduler.waiting) == [rest, *waiting]
