"""Turns leave the middle of a history: what moves, what is found again, and where."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from sus_local.backend.fake import Fake
from sus_local.engine.engine import Engine
from sus_local.engine.sequence import Sequence, Shift, shifted_root
from sus_local.errors import BackendError
from sus_local.kv.blocks import Block
from tests.engine.driving import (
    ROOT,
    Recorder,
    answer,
    fresh_answer,
    make_engine,
    run,
    shifted_answer,
    step,
    submit,
)
from tests.engine.test_random_runs import MAX_TOKENS, Run

MAX_NEW = 8
SAID = [10, 11, 12]


def history_of(engine: Engine, length: int = 80) -> list[int]:
    """A history in the context and the store; all but its last token are computed."""
    prompt = [3 + index % 7 for index in range(length)]
    return prompt + answer(engine, prompt, max_tokens=4).token_ids


def shifting(history: list[int], start: int = 10, end: int = 50) -> tuple[Shift, bytes, list[int]]:
    """A shift of a history, its root, and the tokens that stay."""
    shift = Shift(tuple(history), ROOT, start, end)
    return shift, shifted_root(ROOT, history, start, end), history[:start] + history[end:]


def test_what_stays_is_moved_and_not_computed_again() -> None:
    engine = make_engine()
    history = history_of(engine)
    shift, root, kept = shifting(history)
    before = engine.backend.num_decoded_tokens  # type: ignore[attr-defined]
    sequence, sink = submit(engine, kept + SAID, max_tokens=1, shift=shift, root=root)
    run(engine)
    # The last generated token has no KV yet.
    assert engine.backend.num_decoded_tokens - before == len(SAID) + 1  # type: ignore[attr-defined]
    assert sequence.num_cached_tokens == len(kept) - 1
    assert sink.finish is not None
    assert sink.finish.usage.cache_note == f"shifted {len(kept) - 1} tokens"


def test_no_more_is_brought_back_than_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(Fake(n_ctx=2048, n_batch=64))
    history = history_of(engine, 700)
    engine.residency.clear()
    loaded: list[int] = []
    load = engine.store.load

    def record(block: Block) -> bytes | None:
        loaded.append(block.start)
        return load(block)

    monkeypatch.setattr(engine.store, "load", record)
    shift, root, kept = shifting(history, 4, len(history))
    sequence, _ = submit(engine, kept + SAID, max_tokens=1, shift=shift, root=root)
    run(engine)
    assert loaded == [0]
    assert sequence.num_cached_tokens == len(kept) == 4


def test_the_answer_is_that_of_a_context_that_was_shifted() -> None:
    engine = make_engine()
    history = history_of(engine)
    shift, root, kept = shifting(history)
    _, sink = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    computed = Shift(tuple(history[:-1]), ROOT, shift.start, shift.end)
    assert sink.token_ids == shifted_answer(computed, [history[-1], *SAID], MAX_NEW)
    assert sink.token_ids != fresh_answer(kept + SAID, MAX_NEW)


def test_shifted_kv_is_found_under_its_own_root_only() -> None:
    engine = make_engine()
    shift, root, kept = shifting(history_of(engine))
    submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    engine.residency.clear()
    prompt = kept + SAID
    assert engine.store.longest(root, prompt).length == len(prompt)
    assert engine.store.longest(ROOT, prompt).length <= shift.start
    again = answer(engine, prompt, max_tokens=MAX_NEW)
    assert again.token_ids == fresh_answer(prompt, MAX_NEW)


def test_a_shifted_history_is_restored_from_its_blocks() -> None:
    engine = make_engine()
    shift, root, kept = shifting(history_of(engine))
    _, first = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    engine.residency.clear()
    _, second = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    assert first.token_ids == second.token_ids
    assert second.finish is not None
    assert second.finish.usage.cached_tokens == len(kept + SAID) - 1


def test_cells_that_another_sequence_shares_stay_where_they_are() -> None:
    engine = make_engine()
    history = history_of(engine)
    title, title_sink = submit(engine, [*history, 9], max_tokens=30, ignore_eos=True)
    while title.num_completion_tokens < 3:
        step(engine)
    shift, root, kept = shifting(history)
    sequence, _ = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    assert sequence.num_cached_tokens >= len(kept) - 1
    expected = fresh_answer([*history, 9], 30, end_every=16)
    assert title_sink.token_ids[: len(expected)] == expected


def test_an_abort_in_the_decode_that_carries_a_shift_out_leaves_nothing_of_it() -> None:
    """llama.cpp may have turned the keys of some layers by then, and would turn them again."""
    engine = make_engine()
    history = history_of(engine)
    shift, root, kept = shifting(history)
    _, sink = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    fake = engine.backend
    assert isinstance(fake, Fake)
    clear, fake.clear_abort = fake.clear_abort, lambda: None  # type: ignore[method-assign]
    fake.abort()
    step(engine)
    fake.clear_abort = clear  # type: ignore[method-assign]
    run(engine)
    computed = Shift(tuple(history[:-1]), ROOT, shift.start, shift.end)
    assert sink.token_ids == shifted_answer(computed, [history[-1], *SAID], MAX_NEW)


def test_a_decode_that_fails_in_a_shift_leaves_nothing_of_it() -> None:
    engine = make_engine()
    history = history_of(engine)
    shift, root, kept = shifting(history)
    fake = engine.backend
    assert isinstance(fake, Fake)
    fake.fail_next = "no memory"
    _, failed = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    assert isinstance(failed.error, BackendError)
    assert engine.is_idle
    assert engine.store.longest(root, kept).length == 0
    assert answer(engine, [*history, 9]).token_ids == fresh_answer([*history, 9], 12)


def test_without_any_cache_what_stays_is_computed_anew() -> None:
    engine = make_engine(ram_bytes=0)
    history = history_of(engine)
    engine.residency.clear()
    shift, root, kept = shifting(history)
    _, sink = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    assert sink.token_ids == fresh_answer(kept + SAID, MAX_NEW)


def test_without_any_cache_what_is_in_the_context_is_moved_all_the_same() -> None:
    """It cannot be saved, and is shared at first: nobody needs it as it was."""
    engine = make_engine(ram_bytes=0)
    history = history_of(engine)
    shift, root, kept = shifting(history)
    sequence, sink = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    assert sequence.num_cached_tokens == len(kept) - 1
    computed = Shift(tuple(history[:-1]), ROOT, shift.start, shift.end)
    assert sink.token_ids == shifted_answer(computed, [history[-1], *SAID], MAX_NEW)


def test_a_backend_that_cannot_shift_computes_what_stays_anew() -> None:
    engine = make_engine(Fake(can_shift=False))
    shift, root, kept = shifting(history_of(engine))
    _, sink = submit(engine, kept + SAID, max_tokens=MAX_NEW, shift=shift, root=root)
    run(engine)
    assert sink.token_ids == fresh_answer(kept + SAID, MAX_NEW)


def test_roots_of_shifts_differ_in_all_that_was_done() -> None:
    history = list(range(40))
    roots = [
        shifted_root(ROOT, history, 4, 20),
        shifted_root(ROOT, history, 5, 20),
        shifted_root(ROOT, history, 4, 21),
        shifted_root(ROOT, [99, *history[1:]], 4, 20),
        shifted_root(b"another root    ", history, 4, 20),
    ]
    assert len(set(roots)) == len(roots)
    assert shifted_root(ROOT, [*history[:20], 99], 4, 20) == roots[0]


@dataclass
class ShiftingRun(Run):
    """Some of the requests shift a history; the others must not notice."""

    shifted: list[tuple[bytes, list[int]]] = field(default_factory=list)
    approximate: set[int] = field(default_factory=set)

    def send(self) -> None:
        if self.random.random() < 0.3 and len(self.open) < 8:
            self.send_shifted()
        else:
            super().send()

    def send_shifted(self) -> None:
        exact = [(ROOT, history) for history in self.histories if len(history) > 30]
        if not exact:
            return
        root, history = self.random.choice([*exact[-6:], *self.shifted[-3:]])
        start = self.random.randint(0, len(history) // 3)
        end = self.random.randint(start + 1, len(history) - 1)
        prompt = history[:start] + history[end:] + [self.random.randint(3, 6) for _ in range(5)]
        shift = Shift(tuple(history), root, start, end)
        new_root = shifted_root(root, history, start, end)
        sequence, sink = submit(
            self.engine, prompt, max_tokens=MAX_TOKENS, shift=shift, root=new_root
        )
        self.approximate.add(sequence.id)
        self.open.append((sequence, sink, prompt))

    def check(self, sequence: Sequence, sink: Recorder, prompt: list[int]) -> None:
        if sequence.id not in self.approximate:
            super().check(sequence, sink, prompt)
            return
        assert sink.error is None
        self.shifted.append((sequence.root, prompt + sink.token_ids))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("ram_bytes", "n_ctx"), [(1 << 22, 512), (6000, 512), (0, 512), (1 << 22, 160)]
)
def test_shifts_beside_exact_requests_change_none_of_their_answers(
    seed: int, ram_bytes: int, n_ctx: int
) -> None:
    engine = make_engine(Fake(n_ctx=n_ctx, max_sequences=3), ram_bytes=ram_bytes, max_sequences=3)
    mixed = ShiftingRun(engine, random.Random(seed))
    for _ in range(400):
        mixed.act()
    while mixed.open:
        mixed.step()
    assert mixed.num_checked > 20
    assert len(mixed.shifted) > 5
