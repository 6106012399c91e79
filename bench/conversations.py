"""What people wait for in a chat: the time to the first token, turn after turn.

Every program gets the same token ids: the history as it was generated, then the new message. That
is the best case for a program that would otherwise have to encode the history again.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from figures import Figure, pair
from sides import Answer, Settings, Side, SusLocal, open_sus_local
from throughput import token_ids

from sus_local import LLM

NUM_TURNS, NUM_MESSAGE, NUM_ANSWER = 20, 15, 24
NUM_LONG = 4000


class Chat:
    """A conversation of random messages with a program."""

    def __init__(self, side: Side, seed: int, n_vocab: int) -> None:
        self._side = side
        self._seed = seed
        self._n_vocab = n_vocab
        self.history: list[int] = []
        self.before: list[int] = []

    def say(self, num_message: int = NUM_MESSAGE, num_answer: int = NUM_ANSWER) -> Answer:
        """One turn."""
        self._seed += 1
        message = token_ids(num_message, self._seed, self._n_vocab)
        self.before = list(self.history)
        return self._answer([*self.history, *message], num_answer)

    def regenerate(self) -> Answer:
        """Answer the last message once more."""
        prompt = self.history[:-(NUM_ANSWER)]
        return self._answer(prompt, NUM_ANSWER)

    def edit(self) -> Answer:
        """Answer another message in place of the last one."""
        self.history = list(self.before)
        return self.say()

    def ask_aside(self, num_message: int = NUM_MESSAGE, num_answer: int = 8) -> Answer:
        """A question about the conversation that does not become a part of it: a title."""
        prompt = [*self.history, *token_ids(num_message, 5_000_000 + self._seed, self._n_vocab)]
        return self._side.answer(prompt, num_answer)

    def _answer(self, prompt: Sequence[int], num_answer: int) -> Answer:
        answer = self._side.answer(prompt, num_answer)
        self.history = [*prompt, *answer.token_ids]
        return answer


def long_conversation(sides: Sequence[Side], n_vocab: int) -> Iterator[Figure]:
    """Time to first token of the last turns against that of the first ones."""
    for side in sides:
        chat = Chat(side, 100, n_vocab)
        chat.say()
        times = [chat.say().ttft_s for _ in range(NUM_TURNS - 1)]
        # One turn is one moment of a busy machine: take three at each end.
        early, late = statistics.median(times[:3]), statistics.median(times[-3:])
        wanted = ("<=", 1.3) if isinstance(side, SusLocal) else None
        name = f"first token, turns 18–20 to turns 2–4: {side.name}"
        yield pair(name, "s", late, early, "turns 2–4", wanted)


def interrupted(sides: Sequence[Side], n_vocab: int) -> Iterator[Figure]:
    """The first token, and prompt tokens computed beyond the new ones, after interruptions."""
    for side in sides:
        for what, extra, seconds in _interruptions(side, n_vocab):
            name = f"{what}: {side.name}"
            wanted = ("<=", 0.0) if isinstance(side, SusLocal) else None
            yield Figure(name, "s to the first token", seconds)
            yield Figure(name, "tokens computed beyond the new ones", extra, wanted=wanted)


def _interruptions(side: Side, n_vocab: int) -> Iterator[tuple[str, int, float]]:
    """(what, tokens computed beyond the new ones, seconds to the first token)."""
    one, two = Chat(side, 2000, n_vocab), Chat(side, 3000, n_vocab)
    for chat in (one, two):
        chat.say(300)
        chat.say()
    answers = []
    for _ in range(3):
        answers += [one.say(), two.say()]
        one.ask_aside()
    # The last token of the answer before was sampled, never computed: it is new as well.
    yield _told("two conversations in turn, a title between", answers, NUM_MESSAGE + 1)
    yield _told("regenerate", [one.regenerate() for _ in range(3)], 1)
    yield _told("edit the last message", [one.edit() for _ in range(3)], NUM_MESSAGE + 1)


def _told(name: str, answers: Sequence[Answer], num_new: int) -> tuple[str, int, float]:
    extra = max(answer.prefilled_tokens - num_new for answer in answers)
    return name, max(0, extra), statistics.median(answer.ttft_s for answer in answers)


def restart(model: Path, settings: Settings, n_vocab: int) -> Iterator[Figure]:
    """The first token after a restart, against computing the conversation anew."""
    num_tokens = min(NUM_LONG, settings.n_ctx // 2)
    with tempfile.TemporaryDirectory() as folder:
        kv_dir = Path(folder)
        with _warm(model, settings, kv_dir, n_vocab) as side:
            chat = Chat(side, 4000, n_vocab)
            whole = chat.say(num_tokens, 8).ttft_s
            history = chat.history
        with _warm(model, settings, kv_dir, n_vocab) as side:
            chat = Chat(side, 4100, n_vocab)
            chat.history = history
            answer = chat.say(1, 8)
    name = f"restart at {num_tokens} tokens, {answer.prefilled_tokens} computed"
    yield pair(name, "s", answer.ttft_s, whole, "prefill", ("<=", 0.03))


@contextlib.contextmanager
def _warm(model: Path, settings: Settings, kv_dir: Path, n_vocab: int) -> Iterator[SusLocal]:
    """The model, its pages in memory, so that no first token waits for the disk."""
    with open_sus_local(model, settings, kv_dir) as side:
        side.answer(token_ids(8, 1, n_vocab), 4)
        yield side


def saving(side: SusLocal, n_vocab: int) -> Iterator[Figure]:
    """Seconds that the engine spends on saving, against those of the turns themselves."""
    spent = _count_seconds(side.llm)
    chat = Chat(side, 6000, n_vocab)
    chat.say(1000)
    shares = []
    for _ in range(6):
        saved_before, began = sum(spent), time.perf_counter()
        chat.say(NUM_MESSAGE, 64)
        elapsed = time.perf_counter() - began
        side.llm.score(token_ids(2, 1, n_vocab))  # waits for the engine's thread: it saves last
        shares.append((sum(spent) - saved_before) / elapsed)
    share, spread = statistics.median(shares), (min(shares), max(shares))
    name = "saving a turn of 79 tokens at 1000"
    yield Figure(name, "of the turn", share, spread=spread, wanted=("<=", 0.05))


def idle_conversations(side: SusLocal, n_vocab: int) -> Iterator[Figure]:
    """Decode speed with eight idle conversations of 1000 tokens each, against without."""
    alone = _decode_speed(side, 8000, n_vocab)
    for number in range(8):
        Chat(side, 9000 + 100 * number, n_vocab).say(1000, 2)
    beside = _decode_speed(side, 8500, n_vocab)
    name = "decode beside 8 idle conversations"
    yield pair(name, "tokens/s", beside, alone, "alone", (">=", 0.97))


def second_model(side: SusLocal, model: Path, settings: Settings, n_vocab: int) -> Iterator[Figure]:
    """Decode speed beside another model in this process that has answered and rests."""
    alone = _decode_speed(side, 9800, n_vocab)
    with tempfile.TemporaryDirectory() as folder, _warm(model, settings, Path(folder), n_vocab):
        beside = _decode_speed(side, 9900, n_vocab)
    yield pair("decode beside a second model", "tokens/s", beside, alone, "alone", (">=", 0.97))


def _decode_speed(side: SusLocal, seed: int, n_vocab: int) -> float:
    prompt = token_ids(64, seed, n_vocab)
    return statistics.median(side.decode_speed(prompt, 48) for _ in range(5))


def _count_seconds(llm: LLM) -> list[float]:
    """From now on, the seconds of every saving of KV."""
    residency: Any = llm._loop.engine.residency
    spent: list[float] = []
    save = residency.save

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return save(*arguments, **named)
        finally:
            spent.append(time.perf_counter() - began)

    residency.save = timed
    return spent
