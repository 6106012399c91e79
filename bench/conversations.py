"""What people wait for in a chat: the time to the first token, turn after turn.

Every program gets the same token ids: the history as it was generated, then the new message. That
is the best case for a program that would otherwise have to encode the history again.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from figures import Figure
from sides import Answer, Side, SusLocal, open_sus_local
from throughput import token_ids

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
        ratio = late / early
        yield Figure(name, "s", late, early, "turns 2–4", ratio, (ratio, ratio), wanted)


def interrupted(sides: Sequence[Side], n_vocab: int) -> Iterator[Figure]:
    """Prompt tokens computed beyond the new ones, where something came in between."""
    for side in sides:
        for name, extra, seconds in _interruptions(side, n_vocab):
            wanted = ("<=", 1.0) if isinstance(side, SusLocal) else None
            ratio = 1.0 + extra
            yield Figure(
                f"{name}: {side.name}", "s to first token", seconds, None,
                f"new tokens; {extra} more computed", ratio, (ratio, ratio), wanted,
            )  # fmt: skip


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


def restart(model: Path, n_threads: int, n_vocab: int, n_ctx: int) -> Iterator[Figure]:
    """The first token after a restart, against computing the conversation anew."""
    num_tokens = min(NUM_LONG, n_ctx // 2)
    with tempfile.TemporaryDirectory() as folder:
        kv_dir = Path(folder)
        with open_sus_local(model, n_threads, kv_dir) as side:
            chat = Chat(side, 4000, n_vocab)
            whole = chat.say(num_tokens, 8).ttft_s
            history = chat.history
        with open_sus_local(model, n_threads, kv_dir) as side:
            side.answer(token_ids(8, 1, n_vocab), 4)  # the model's pages, not the cache's
            chat = Chat(side, 4100, n_vocab)
            chat.history = history
            answer = chat.say(1, 8)
    ratio = answer.ttft_s / whole
    name = f"restart at {num_tokens} tokens, {answer.prefilled_tokens} computed"
    yield Figure(name, "s", answer.ttft_s, whole, "prefill", ratio, (ratio, ratio), ("<=", 0.03))


def saving(side: SusLocal, n_vocab: int) -> Iterator[Figure]:
    """Seconds that the engine spends on saving, against those of the turns themselves."""
    spent = _count_seconds(side.llm)
    chat = Chat(side, 6000, n_vocab)
    chat.say(1000)
    ratios = []
    for _ in range(6):
        saved_before, began = sum(spent), time.perf_counter()
        chat.say(NUM_MESSAGE, 64)
        side.llm.tokenize("")  # waits for nothing but the engine's thread
        elapsed = time.perf_counter() - began
        ratios.append((sum(spent) - saved_before) / elapsed)
    ratio = statistics.median(ratios)
    name = "saving a turn of 79 tokens at 1000"
    yield Figure(
        name, "of the turn", ratio, None, "the turn", ratio, (min(ratios), max(ratios)),
        ("<=", 0.05),
    )  # fmt: skip


def idle_conversations(side: SusLocal, n_vocab: int) -> Iterator[Figure]:
    """Decode speed with eight idle conversations of 1000 tokens each, against without."""
    alone = _decode_speed(side, 8000, n_vocab)
    for number in range(8):
        Chat(side, 9000 + 100 * number, n_vocab).say(1000, 2)
    beside = _decode_speed(side, 8500, n_vocab)
    ratio = beside / alone
    name = "decode beside 8 idle conversations"
    yield Figure(name, "tokens/s", beside, alone, "alone", ratio, (ratio, ratio), (">=", 0.97))


def _decode_speed(side: SusLocal, seed: int, n_vocab: int) -> float:
    prompt = token_ids(64, seed, n_vocab)
    speeds = [side.generate(prompt, 48).timings.decode_tokens_per_s for _ in range(5)]
    return statistics.median(speeds)


def _count_seconds(llm: Any) -> list[float]:
    """From now on, the seconds of every saving of KV."""
    residency = llm._loop.engine.residency
    save, spent = residency.save, []

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return save(*arguments, **named)
        finally:
            spent.append(time.perf_counter() - began)

    residency.save = timed
    return spent
