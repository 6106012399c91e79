"""Scoring a text beside other requests: in small chunks, never twice, leaving nothing."""

from __future__ import annotations

from collections.abc import Sequence as Slices

import pytest

from sus_local.backend.base import Slice
from sus_local.backend.fake import Fake, _hash
from sus_local.backend.options import num_outputs
from sus_local.engine.engine import Engine
from sus_local.engine.sequence import Request, Sequence
from sus_local.results import TokenLogprob
from sus_local.sampling import SamplingParams
from tests.engine.driving import ROOT, Recorder, fresh_answer, make_engine, run, step, submit

TEXT = [3 + index * index % 90 for index in range(300)]
PROMPT = [40 + index % 9 for index in range(20)]
MAX_SEQUENCES = 4


class Opinionated(Fake):
    """Its log-probabilities depend on every cell behind them; it has few rows for logits."""

    def logprob(self, row: int, token_id: int, top: int = 0) -> TokenLogprob:
        values = (part for cell in self._rows[row] for part in (cell.position, cell.value))
        return TokenLogprob(token_id, -float(_hash(token_id, *values) % 10**6))

    def decode(self, slices: Slices[Slice]) -> None:
        assert sum(piece.num_outputs for piece in slices) <= num_outputs(MAX_SEQUENCES)
        super().decode(slices)


class Scored(Recorder):
    """Keeps the log-probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.logprobs: list[TokenLogprob] = []

    def on_token(self, token_id: int, logprob: TokenLogprob | None) -> bool:
        assert logprob is not None
        self.logprobs.append(logprob)
        return super().on_token(token_id, logprob)


def score(engine: Engine, token_ids: list[int]) -> tuple[Sequence, Scored]:
    sink = Scored()
    params = SamplingParams(temperature=0)
    return engine.add(Request(tuple(token_ids), params, sink, ROOT, scored=True)), sink


def engine_of(**options: int) -> Engine:
    return make_engine(Opinionated(**{"n_ctx": 1024, "n_batch": 64, "end_every": 0, **options}))  # type: ignore[arg-type]


def expected(token_ids: list[int]) -> list[TokenLogprob]:
    """What a model says that computes the text alone, a token at a time."""
    fake, found = Opinionated(n_ctx=2048), []
    for position, token_id in enumerate(token_ids[:-1]):
        fake.decode([Slice(0, position, [token_id], 1)])
        found.append(fake.logprob(0, token_ids[position + 1]))
    return found


def num_used_cells(engine: Engine) -> int:
    assert isinstance(engine.backend, Fake)
    return engine.backend.num_used_cells


def test_each_token_is_scored_after_all_before_it() -> None:
    engine = engine_of()
    _, sink = score(engine, TEXT)
    run(engine)
    assert sink.logprobs == expected(TEXT)
    assert sink.finish is not None
    assert num_used_cells(engine) == 0


def test_a_text_that_is_cached_is_scored_all_the_same() -> None:
    engine = engine_of()
    submit(engine, TEXT)
    run(engine)
    _, sink = score(engine, TEXT)
    run(engine)
    assert sink.logprobs == expected(TEXT)


def test_an_answer_goes_on_at_every_step_beside_it() -> None:
    engine = engine_of()
    _, answer = submit(engine, PROMPT, max_tokens=60, ignore_eos=True)
    step(engine)
    _, scored = score(engine, TEXT)
    num_tokens = len(answer.token_ids)
    while not scored.ended:
        step(engine)
        num_tokens += 1
        assert len(answer.token_ids) == num_tokens
    run(engine)
    assert scored.logprobs == expected(TEXT)
    assert answer.token_ids == fresh_answer(PROMPT, 60, end_every=0)


def test_several_texts_share_the_rows() -> None:
    engine = engine_of()
    texts = [TEXT, TEXT[::-1], TEXT[50:]]
    sinks = [score(engine, text)[1] for text in texts]
    run(engine)
    assert [sink.logprobs for sink in sinks] == [expected(text) for text in texts]


def score_and_park(engine: Engine) -> list[TokenLogprob]:
    """The scores of the text, which leaves the context when a part of it has them."""
    sequence, sink = score(engine, TEXT)
    for _ in range(3):
        step(engine)
    assert 0 < sequence.num_scored < len(TEXT) - 1
    engine.scheduler.preempt()
    run(engine)
    return sink.logprobs


@pytest.mark.parametrize("keeps", [True, False], ids=["restored", "computed again"])
def test_a_text_that_was_parked_goes_on_and_no_token_comes_twice(keeps: bool) -> None:
    engine = make_engine(Opinionated(n_ctx=1024, n_batch=64), ram_bytes=1 << 20 if keeps else 0)
    assert score_and_park(engine) == expected(TEXT)


@pytest.mark.parametrize("ram_bytes", [1 << 20, 0], ids=["in blocks", "in the context"])
def test_a_parked_text_takes_no_more_from_the_cache_than_was_scored(ram_bytes: int) -> None:
    engine = make_engine(Opinionated(n_ctx=1024, n_batch=64, end_every=0), ram_bytes=ram_bytes)
    submit(engine, TEXT)
    run(engine)
    assert score_and_park(engine) == expected(TEXT)


def test_scoring_ends_at_once_when_it_is_cancelled() -> None:
    engine = engine_of()
    sequence, sink = score(engine, TEXT)
    step(engine)
    sequence.cancelled = True
    step(engine)
    assert sink.finish is not None
    assert sink.finish.finish_reason == "cancelled"
    assert num_used_cells(engine) == 0
    assert engine.is_idle
