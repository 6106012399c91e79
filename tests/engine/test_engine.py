"""Single steps of the engine that the mixed runs do not aim at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sus_local.backend.base import Slice
from sus_local.backend.fake import Fake
from sus_local.engine.sequence import Request
from sus_local.sampling import SamplingParams
from tests.engine.driving import (
    ROOT,
    Recorder,
    answer,
    fresh_answer,
    make_engine,
    run,
    step,
    submit,
)

PROMPT = [3 + index % 7 for index in range(80)]
OTHER = [50] * 40


def test_a_stopped_engine_begins_no_decode() -> None:
    """Whoever closes must not wait for a batch that begins just then."""
    engine = make_engine()
    submit(engine, PROMPT)
    engine.stop()
    assert not engine.step()
    assert engine.backend.num_decoded_tokens == 0  # type: ignore[attr-defined]


def test_kv_that_the_store_lost_stays_in_the_context() -> None:
    engine = make_engine()
    history = PROMPT + answer(engine, PROMPT).token_ids
    for block in engine.store.longest(ROOT, history).blocks:
        engine.store.drop(block)
    answer(engine, OTHER)
    sequence, sink = submit(engine, [*history, 9])
    run(engine)
    assert sequence.num_cached_tokens == len(history) - 1
    assert sink.token_ids == fresh_answer([*history, 9], 12)


def test_kv_that_the_store_lost_is_saved_again() -> None:
    engine = make_engine()
    history = PROMPT + answer(engine, PROMPT).token_ids
    for block in engine.store.longest(ROOT, history).blocks:
        engine.store.drop(block)
    answer(engine, [*history, 9])
    assert engine.store.longest(ROOT, [*history, 9]).length == len(history) + 1


def test_an_aborted_batch_leaves_no_cell() -> None:
    engine = make_engine()
    _, sink = submit(engine, PROMPT)
    step(engine)
    fake = engine.backend
    assert isinstance(fake, Fake)
    clear, fake.clear_abort = fake.clear_abort, lambda: None  # type: ignore[method-assign]
    fake.abort()
    step(engine)
    fake.clear_abort = clear  # type: ignore[method-assign]
    run(engine)
    assert sink.token_ids == fresh_answer(PROMPT, 12)


def test_a_parked_request_goes_on_where_it_was_and_keeps_its_note() -> None:
    engine = make_engine()
    sequence, sink = submit(engine, PROMPT)
    while sequence.num_completion_tokens < 3:
        step(engine)
    note = sequence.cache_note
    computed = engine.backend.num_decoded_tokens  # type: ignore[attr-defined]
    engine.scheduler.preempt()
    run(engine)
    assert sink.token_ids == fresh_answer(PROMPT, 12)
    assert sequence.cache_note == note
    left = len(sink.token_ids) - 3
    assert engine.backend.num_decoded_tokens - computed == left  # type: ignore[attr-defined]


def test_what_the_store_has_no_room_for_is_not_saved_at_every_token() -> None:
    fake = Fake(end_every=0)
    engine = make_engine(fake, ram_bytes=100 * fake.info.num_kv_bytes_per_token)
    save = fake.save
    saved: list[int] = []

    def watched(sequence_id: int) -> bytes:
        saved.append(len(fake.cells(sequence_id)))
        return save(sequence_id)

    fake.save = watched  # type: ignore[method-assign]
    answer(engine, PROMPT, max_tokens=200)
    assert saved == [len(PROMPT)]


@pytest.mark.parametrize(("tokens_a_second", "saved"), [(5.0, 64), (10.0, 128), (1000.0, 0)])
def test_a_prompt_that_takes_long_is_saved_on_the_way(
    monkeypatch: pytest.MonkeyPatch, tokens_a_second: float, saved: int
) -> None:
    engine = make_engine(Fake(n_ctx=2048, n_batch=64))
    monkeypatch.setattr(engine.scheduler, "_prefill_rate", tokens_a_second)
    monkeypatch.setattr(engine.scheduler, "measure", lambda num_tokens, seconds: None)
    sequence, _ = submit(engine, PROMPT * 3)
    for _ in range(3):
        step(engine)
    assert sequence.in_prefill
    assert engine.store.longest(ROOT, sequence.token_ids).length == saved * (192 // max(saved, 1))
    run(engine)
    assert engine.store.longest(ROOT, PROMPT * 3).length == len(PROMPT * 3)


def test_no_more_run_at_once_than_the_backend_has_sequences_for() -> None:
    engine = make_engine(Fake(max_sequences=2, end_every=0), max_sequences=4)
    sinks = [submit(engine, [*PROMPT[:20], 50 + number])[1] for number in range(4)]
    run(engine)
    assert [len(sink.token_ids) for sink in sinks] == [12] * 4


@pytest.mark.parametrize("broken", ["copy", "remove"])
def test_closing_frees_the_model_whatever_fails(broken: str) -> None:
    engine = make_engine()
    sinks = [submit(engine, [*PROMPT, last])[1] for last in (5, 6)]
    step(engine)

    def fail(*_: object) -> None:
        raise OSError(broken)

    setattr(engine.backend, broken, fail)
    engine.store.close = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match=broken):
        engine.close()
    assert engine.backend.closed  # type: ignore[attr-defined]
    assert all(sink.ended for sink in sinks)


# Cancelling beside others


class Watched(Fake):
    """Has something happen while it decodes."""

    def __init__(self, max_sequences: int = 4) -> None:
        super().__init__(max_sequences=max_sequences)
        self.during: Callable[[], None] = lambda: None

    def decode(self, slices: Sequence[Slice]) -> None:
        self.during()
        super().decode(slices)


def test_a_batch_ends_in_peace_when_one_is_cancelled_that_is_not_in_it() -> None:
    fake = Watched(max_sequences=1)
    engine = make_engine(fake, max_sequences=1)
    first, _ = submit(engine, PROMPT)
    second, sink = submit(engine, OTHER)
    fake.during = lambda: engine.cancel(second)
    step(engine)
    assert first.num_computed == fake.num_decoded_tokens == 32
    step(engine)
    assert sink.finish is not None
    assert sink.finish.finish_reason == "cancelled"


def test_whoever_cancels_all_the_time_holds_up_nobody_else() -> None:
    fake = Watched()
    engine = make_engine(fake)
    long = [3 + index % 7 for index in range(300)]
    _, sink = submit(engine, long)
    typed = [submit(engine, OTHER)[0]]

    def type_on() -> None:
        engine.cancel(typed[-1])
        typed.append(submit(engine, OTHER)[0])

    fake.during = type_on
    for _ in range(100):
        step(engine)
    assert sink.token_ids == fresh_answer(long, 12)


def test_a_batch_of_cancelled_requests_alone_ends_each_time() -> None:
    fake = Watched()
    engine = make_engine(fake)
    for _ in range(3):
        sequence, _ = submit(engine, PROMPT)
        fake.during = lambda sequence=sequence: engine.cancel(sequence)  # type: ignore[misc]
        step(engine)
    assert fake.num_decoded_tokens == 0


def test_a_cancellation_that_comes_before_the_batch_is_known_ends_it_too() -> None:
    engine = make_engine()
    sequence, _ = submit(engine, PROMPT)
    schedule = engine.scheduler.schedule

    def schedule_and_cancel() -> object:
        plan = schedule()
        engine.cancel(sequence)
        return plan

    engine.scheduler.schedule = schedule_and_cancel  # type: ignore[method-assign,assignment]
    step(engine)
    assert engine.backend.num_decoded_tokens == 0  # type: ignore[attr-defined]


# What has to follow


def test_tokens_that_have_to_follow_are_computed_in_one_batch() -> None:
    def forced(token_id: int) -> list[int]:
        return [7, 8, 9]

    engine = make_engine(Fake(end_every=0, forced=forced))
    sequence, sink = submit(engine, [5, 6], max_tokens=12)
    num_steps = 0
    while step(engine):
        num_steps += 1
    assert num_steps == 3
    assert sink.token_ids == fresh_answer([5, 6], 12, end_every=0, forced=forced)
    assert sink.token_ids[1:4] == [7, 8, 9]
    assert sequence.usage().completion_tokens == 12


def test_nothing_follows_behind_the_end_of_an_answer() -> None:
    engine = make_engine(Fake(end_every=0, forced=lambda token_id: [7, 8, 9]))
    assert len(answer(engine, [5, 6], max_tokens=2).token_ids) == 2
    assert answer(engine, [5, 6], stop_token_ids=(8,)).token_ids[1:] == [7, 8]
    sink = Recorder(stop_after=3)
    engine.add(Request((5, 6), SamplingParams(temperature=0), sink, ROOT))
    run(engine)
    assert sink.token_ids[1:] == [7, 8]


def test_nothing_is_forced_where_log_probabilities_are_asked_for() -> None:
    fake = Fake(end_every=0, forced=lambda token_id: [7, 8, 9])
    with_logprobs = answer(make_engine(fake), [5, 6], logprobs=True).token_ids
    assert with_logprobs == fresh_answer([5, 6], 12, end_every=0)
