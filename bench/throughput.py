"""Decode, prefill and four requests at once, beside llama-bench and llama-batched-bench."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from figures import Figure, Sample
from llama_cpp_tools import run_json_lines
from sides import Settings, SusLocal

DEPTHS = (0, 512, 2048)
NUM_DECODED = 32
NUM_PREFILLED = 512
NUM_REQUESTS, NUM_PROMPT, NUM_ANSWER = 4, 128, 48


def token_ids(count: int, seed: int, n_vocab: int) -> list[int]:
    """Random ordinary tokens."""
    return random.Random(seed).choices(range(min(300, n_vocab // 2), n_vocab), k=count)


class Throughput:
    """Measures in turn, so that what else the machine does falls on both sides alike."""

    def __init__(
        self, side: SusLocal, programs: Path, model: Path, settings: Settings, n_vocab: int
    ) -> None:
        self._side = side
        self._programs = programs
        self._n_ctx = settings.n_ctx
        self._common: list[str | Path] = ["-m", model, "-t", str(settings.n_threads)]
        self._n_vocab = n_vocab
        self._seed = 0

    def decode(self, rounds: int) -> Iterator[Figure]:
        """Tokens a second after 0, 512 and 2048 tokens."""
        for depth in (depth for depth in DEPTHS if depth < self._n_ctx // 2):
            prompt = token_ids(max(1, depth), depth, self._n_vocab)
            self._side.answer(prompt, 2)
            sample = Sample()
            for _ in range(rounds):
                sample.add(self._decoded_per_s(prompt), self._bench_decoded_per_s(depth))
            yield sample.figure(f"decode at depth {depth}", "tokens/s", "llama-bench", 0.97)

    def prefill(self, rounds: int) -> Iterator[Figure]:
        """Tokens a second of a prompt that nobody has seen."""
        sample = Sample()
        for _ in range(rounds + 1):
            self._seed += 1
            prompt = token_ids(NUM_PREFILLED, 1000 + self._seed, self._n_vocab)
            ours = NUM_PREFILLED / self._side.answer(prompt, 1).ttft_s
            theirs = self._llama_bench("-p", NUM_PREFILLED, "-n", 0)
            sample.add(ours, theirs)
        yield sample.without_first().figure("prefill of 512", "tokens/s", "llama-bench", 0.97)

    def batched(self, rounds: int) -> Iterator[Figure]:
        """All tokens a second of four requests that run together."""
        sample = Sample()
        for _ in range(rounds):
            sample.add(self._four_at_once(), self._batched_bench())
        yield sample.figure("4 requests at once", "tokens/s", "llama-batched-bench", 0.95)

    def _decoded_per_s(self, prompt: Sequence[int]) -> float:
        return self._side.decode_speed(prompt, NUM_DECODED + 1)

    def _bench_decoded_per_s(self, depth: int) -> float:
        return self._llama_bench("-p", 0, "-n", NUM_DECODED, "-d", depth)

    def _llama_bench(self, *options: object) -> float:
        command = [self._programs / "llama-bench", *self._common, "-r", "1", "-o", "jsonl"]
        return float(run_json_lines([*command, *map(str, options)])[-1]["avg_ts"])

    def _four_at_once(self) -> float:
        self._seed += 1
        prompts = [
            token_ids(NUM_PROMPT, 7000 + 10 * self._seed + number, self._n_vocab)
            for number in range(NUM_REQUESTS)
        ]
        threads = [
            threading.Thread(target=self._side.answer, args=(prompt, NUM_ANSWER))
            for prompt in prompts
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return NUM_REQUESTS * (NUM_PROMPT + NUM_ANSWER) / (time.perf_counter() - began)

    def _batched_bench(self) -> float:
        command = [self._programs / "llama-batched-bench", *self._common]
        command += ["-c", str(self._n_ctx), "-b", "2048", "-ub", "512", "-kvu"]
        command += ["-npp", str(NUM_PROMPT), "-ntg", str(NUM_ANSWER), "-npl", str(NUM_REQUESTS)]
        return float(run_json_lines([*command, "--output-format", "jsonl"])[-1]["speed"])
