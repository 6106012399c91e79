"""Drives an engine step by step on the fake backend, and tells what a fresh one would answer."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Tokens
from concurrent.futures import Future
from typing import TypeVar

import pytest

from sus_local.backend.base import Slice
from sus_local.backend.fake import Fake
from sus_local.engine.engine import Engine
from sus_local.engine.lookup import Lookup
from sus_local.engine.loop import EngineLoop
from sus_local.engine.sequence import Finish, Request, Sequence, Shift
from sus_local.errors import SusLocalError
from sus_local.kv.blocks import root_key
from sus_local.kv.store import BlockStore
from sus_local.kv.tiers import RamTier
from sus_local.results import TokenLogprob
from sus_local.sampling import SamplingParams

ROOT = root_key("fake")

WAIT_S = 20.0

T = TypeVar("T")


def call(loop: EngineLoop, function: Callable[[], T]) -> T:
    """What a function gives or raises that runs on the engine's thread, between two steps."""
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    loop._leave(carry_out)
    return future.result(WAIT_S)


class Recorder:
    """A sink that keeps everything."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.token_ids: list[int] = []
        self.finish: Finish | None = None
        self.error: SusLocalError | None = None
        self._stop_after = stop_after

    def on_token(self, token_id: int, logprob: TokenLogprob | None) -> bool:
        self.token_ids.append(token_id)
        return len(self.token_ids) == self._stop_after

    def on_finish(self, finish: Finish) -> None:
        self.finish = finish

    def on_error(self, error: SusLocalError) -> None:
        self.error = error

    @property
    def ended(self) -> bool:
        return self.finish is not None or self.error is not None


def make_engine(
    fake: Fake | None = None, *, ram_bytes: int = 1 << 20, max_sequences: int = 4, **options: int
) -> Engine:
    fake = fake or Fake(max_sequences=max_sequences)
    return Engine(fake, BlockStore(RamTier(ram_bytes)), max_sequences=max_sequences, **options)


def submit(
    engine: Engine,
    token_ids: list[int],
    *,
    max_tokens: int = 12,
    shift: Shift | None = None,
    root: bytes = ROOT,
    **sampling: object,
) -> tuple[Sequence, Recorder]:
    sink = Recorder()
    params = SamplingParams(temperature=0, max_tokens=max_tokens, **sampling)  # type: ignore[arg-type]
    return engine.add(Request(tuple(token_ids), params, sink, root, shift)), sink


def step(engine: Engine) -> bool:
    """One step, after which every invariant holds and every cell is accounted for."""
    worked = engine.step()
    engine.check_invariants()
    fake = engine.backend
    assert isinstance(fake, Fake)
    assert fake.num_used_cells == engine.residency.cells.num_used
    for sequence in engine.residency.residents:
        assert sequence.slot is not None
        held = [token for _, token in fake.cells(sequence.slot)]
        assert held == sequence.token_ids[: sequence.num_computed]
    return worked


def run(engine: Engine) -> None:
    while step(engine):
        pass


def answer(engine: Engine, token_ids: list[int], **options: object) -> Recorder:
    _, sink = submit(engine, token_ids, **options)  # type: ignore[arg-type]
    run(engine)
    return sink


def fresh_answer(
    token_ids: list[int],
    max_tokens: int,
    *,
    end_every: int = 16,
    num_letters: int = 95,
    forced: Callable[[int], Tokens[int]] = lambda token_id: (),
) -> list[int]:
    """What a model says that never saw anything else, computed a token at a time."""
    fake = Fake(n_ctx=4096, n_batch=4096, end_every=end_every, num_letters=num_letters)
    fake.decode([Slice(0, 0, token_ids, 1)])
    found = [fake.next_token(len(token_ids) - 1)]
    coming = list(forced(found[-1]))
    while found[-1] != fake.info.eos and len(found) < max_tokens:
        fake.decode([Slice(0, len(token_ids) + len(found) - 1, found[-1:], 1)])
        if coming:
            found.append(coming.pop(0))
        else:
            found.append(fake.next_token(0))
            coming = list(forced(found[-1]))
    return found


def note_guesses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A list that fills with each guess from now on: its tokens, and how many came true."""
    noted: list[tuple[int, int]] = []
    learn = Lookup.learn

    def note(lookup: Lookup, *, num_guessed: int, num_right: int) -> None:
        noted.append((num_guessed, num_right))
        learn(lookup, num_guessed=num_guessed, num_right=num_right)

    monkeypatch.setattr(Lookup, "learn", note)
    return noted


def some_forced(token_id: int) -> list[int]:
    """None to three tokens that have to follow one."""
    return [3 + token_id % 5, 4, 5][: token_id % 4]


def shifted_answer(shift: Shift, rest: list[int], max_tokens: int) -> list[int]:
    """What a model says after turns left the middle of its history and the rest moved."""
    fake = Fake(n_ctx=4096, n_batch=4096)
    fake.decode([Slice(0, 0, shift.token_ids, 0)])
    fake.remove(0, shift.start, shift.end)
    fake.shift(0, shift.end, shift.start - shift.end)
    position = len(shift.token_ids) - (shift.end - shift.start)
    fake.decode([Slice(0, position, rest, 1)])
    found = [fake.next_token(len(rest) - 1)]
    while found[-1] != fake.info.eos and len(found) < max_tokens:
        position = len(fake.cells(0))
        fake.decode([Slice(0, position, found[-1:], 1)])
        found.append(fake.next_token(0))
    return found
