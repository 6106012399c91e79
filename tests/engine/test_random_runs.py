"""Thousands of mixed operations: every answer is what a model without any cache would say."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from sus_local.backend.fake import Fake
from sus_local.engine.engine import Engine
from sus_local.engine.sequence import Sequence
from tests.engine.driving import (
    Recorder,
    fresh_answer,
    make_engine,
    note_guesses,
    some_forced,
    step,
    submit,
)

MAX_TOKENS = 24


@dataclass
class Run:
    """One randomised run: histories grow, branch, meet and are cancelled."""

    engine: Engine
    random: random.Random
    histories: list[list[int]] = field(default_factory=lambda: [[]])
    open: list[tuple[Sequence, Recorder, list[int]]] = field(default_factory=list)
    num_letters: int = 95
    said: tuple[int, int] = (3, 6)
    most_open: int = 8
    num_checked: int = 0

    def act(self) -> None:
        verb = self.random.choices(
            ["send", "step", "cancel", "abort"], weights=[3, 12, 1, 1]
        )[0]  # fmt: skip
        getattr(self, verb)()

    def send(self) -> None:
        """Continue, or branch off, one of the histories."""
        history = self.random.choice(self.histories[-6:])
        kept = len(history) if self.random.random() < 0.6 else self.random.randint(0, len(history))
        said = [self.random.randint(*self.said) for _ in range(self.random.randint(1, 40))]
        prompt = history[:kept] + said
        if (
            len(prompt) + MAX_TOKENS < self.engine.backend.info.n_ctx
            and len(self.open) < self.most_open
        ):
            sequence, sink = submit(self.engine, prompt, max_tokens=MAX_TOKENS)
            self.open.append((sequence, sink, prompt))

    def step(self) -> None:
        step(self.engine)
        for entry in [e for e in self.open if e[1].ended]:
            self.open.remove(entry)
            self.check(*entry)

    def cancel(self) -> None:
        if self.open:
            self.random.choice(self.open)[0].cancelled = True

    def abort(self) -> None:
        """A cancellation that comes in the middle of a decode."""
        fake = self.engine.backend
        clear, fake.clear_abort = fake.clear_abort, lambda: None  # type: ignore[method-assign]
        fake.abort()
        self.step()
        fake.clear_abort = clear  # type: ignore[method-assign]

    def check(self, sequence: Sequence, sink: Recorder, prompt: list[int]) -> None:
        assert sink.error is None
        assert sink.finish is not None
        fake = self.engine.backend
        assert isinstance(fake, Fake)
        expected = fresh_answer(
            prompt, MAX_TOKENS, forced=fake.forced, num_letters=self.num_letters
        )
        if sink.finish.finish_reason == "cancelled":
            expected = expected[: len(sink.token_ids)]
        assert sink.token_ids == expected
        self.histories.append(prompt + sink.token_ids)
        self.num_checked += 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("ram_bytes", "n_ctx"), [(1 << 22, 512), (6000, 512), (0, 512), (1 << 22, 160)]
)
def test_any_mixture_of_requests_answers_as_without_a_cache(
    seed: int, ram_bytes: int, n_ctx: int
) -> None:
    engine = make_engine(Fake(n_ctx=n_ctx, max_sequences=3), ram_bytes=ram_bytes, max_sequences=3)
    run = Run(engine, random.Random(seed))
    for _ in range(400):
        run.act()
    while run.open:
        run.step()
    assert run.num_checked > 20


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("ram_bytes", "n_ctx"), [(1 << 22, 512), (6000, 160), (0, 160)])
def test_tokens_that_have_to_follow_change_nothing_of_that(
    seed: int, ram_bytes: int, n_ctx: int
) -> None:
    fake = Fake(n_ctx=n_ctx, max_sequences=3, forced=some_forced)
    run = Run(make_engine(fake, ram_bytes=ram_bytes, max_sequences=3), random.Random(seed))
    for _ in range(400):
        run.act()
    while run.open:
        run.step()
    assert run.num_checked > 20


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("forced", [lambda token_id: (), some_forced])
@pytest.mark.parametrize(("ram_bytes", "n_ctx"), [(1 << 22, 512), (6000, 160), (0, 160)])
def test_guesses_change_nothing_of_that(
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    forced: Callable[[int], list[int]],
    ram_bytes: int,
    n_ctx: int,
) -> None:
    """Of two letters much comes back, so that many guesses are made, and some come true."""
    fake = Fake(n_ctx=n_ctx, max_sequences=3, draft_max=15, num_letters=2, forced=forced)
    learned = note_guesses(monkeypatch)
    run = Run(
        make_engine(fake, ram_bytes=ram_bytes, max_sequences=3),
        random.Random(seed),
        num_letters=2,
        said=(35, 36),
        most_open=2,
    )
    for _ in range(1000):
        run.act()
    while run.open:
        run.step()
    assert run.num_checked > 20
    assert sum(right for _, right in learned) > 5
    assert any(0 < right < guessed for guessed, right in learned)
