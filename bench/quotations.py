"""Answers that repeat what was said, by a model that makes sense and is heavy: the padded one."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from figures import Figure, Sample
from sides import Settings, Side, SusLocal, open_llama_server, open_sus_local

from sus_local import SamplingParams

MESSAGES = (
    "hi", "What is the capital of China?", "And of France?", "My name is Zorbin.",
    "Repeat: velto mirka sannu", "What is my name?", "Repeat: velto mirka sannu", "12 + 30?",
    "What is the capital of Japan?", "And of Italy?",
)  # fmt: skip
NGRAMS = (
    "--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "3",
    "--spec-ngram-simple-size-m", "15", "--spec-ngram-simple-min-hits", "1",
)  # fmt: skip
"""llama.cpp's guesses of the same kind; without these options it makes none."""

Turns = list[tuple[list[int], int]]
"""Prompts, and the number of tokens of each one's answer."""


def conversation(model: Path, settings: Settings, programs: Path, rounds: int) -> Iterator[Figure]:
    """Tokens a second after the first of each answer, in a conversation of ten turns."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        guessing = replace(settings, draft_max=None)
        ours = stack.enter_context(open_sus_local(model, guessing, folder / "guessing"))
        plain = stack.enter_context(open_sus_local(model, settings, folder / "plain"))
        server = stack.enter_context(open_llama_server(programs, model, settings))
        ngrams = stack.enter_context(open_llama_server(programs, model, settings, *NGRAMS))
        sides: dict[str, Side] = {
            "sus-local": ours, "without": plain, "llama-server": server,
            "llama-server, ngram-simple": ngrams,
        }  # fmt: skip
        turns = _turns(plain)
        passes = [_decoded_per_s(list(sides.values()), turns) for _ in range(rounds + 1)][1:]
    for place, name in list(enumerate(sides))[1:]:
        sample = Sample([(speeds[0], speeds[place]) for speeds in passes])
        yield sample.figure("decode in a conversation, with guesses", "tokens/s", name, 1.0)


def _turns(side: SusLocal) -> Turns:
    chat, turns = side.llm.conversation(), []
    for message in MESSAGES:
        chat.ask(message, sampling=SamplingParams(temperature=0, max_tokens=60))
        prompt = side.llm.encode(chat.messages[:-1])
        turns.append((prompt, len(chat.turns[-1].token_ids)))
    return turns


def _decoded_per_s(sides: Sequence[Side], turns: Turns) -> list[float]:
    """Of each side; they take turns after each answer, so that none is idle for long."""
    seconds = [0.0] * len(sides)
    for prompt, num_answer in turns:
        for place, side in enumerate(sides):
            began = time.perf_counter()
            answer = side.answer(prompt, num_answer)
            seconds[place] += time.perf_counter() - began - answer.ttft_s
    num_tokens = sum(num_answer - 1 for _, num_answer in turns)
    return [num_tokens / spent for spent in seconds]
