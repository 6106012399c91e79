"""Trains the demo model from scratch.

    python -m tools.demo_model.tokenizer --out build/demo
    python -m tools.demo_model.train --out build/demo [--resume]

Everything is drawn from the seed: the data of a step depends on the seed and the
number of the step alone, so that a resumed run sees what an unbroken one would. Muon
moves the matrices of the layers, AdamW the rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.nn import functional

from tools.demo_model.dialogues import Dialogue, Weights
from tools.demo_model.encoding import encode_turn
from tools.demo_model.model import DemoModel, Shape
from tools.demo_model.world import LANGUAGES

TOKENS_PER_STEP = 4096
MUON_RATE = 0.02
ADAMW_RATE = 3e-3
_WARM_UP = 60
_PARTS = ("model", "muon", "adamw")
_TOKENS_PER_TURN = 27
_COPYING_SKILLS = ("repeat", "tell", "ask")
_LOG_EVERY = 25
_SAVE_EVERY = 200


@dataclass(frozen=True)
class Stage:
    """A number of steps with one mixture of row lengths and of kinds of turn.

    The learning rate moves evenly from the first of ``rates`` to the second; both are
    shares of the full rate. ``prompt_weight`` is the loss weight of a token that the user
    writes, ``copy_weight`` that of an answer that copies, where one of another has weight 1.
    """

    steps: int
    lengths: dict[int, float]
    weights: Weights = field(default_factory=Weights)
    rates: tuple[float, float] = (1.0, 1.0)
    prompt_weight: float = 0.1
    copy_weight: float = 1.0


# What copies (repeating, telling, asking) is learned last, so the later stages dwell on it.
_COPYING = Weights(talk=9, capital=6, unknown=9, sum=12, repeat=22, tell=19, ask=30)
_RECALL = Weights(talk=12, capital=8, unknown=10, sum=12, repeat=17, tell=16, ask=28)
_TOLD = Weights(talk=10, capital=9, unknown=8, sum=7, repeat=15, tell=20, ask=38)
_MIXED = {256: 0.52, 512: 0.2, 1024: 0.24, 2048: 0.04}
_NEAR = {256: 0.6, 512: 0.25, 1024: 0.15}
PLAN = (
    Stage(900, {256: 1.0}),
    Stage(1500, {256: 0.85, 1024: 0.15}, _COPYING, prompt_weight=0.03),
    Stage(2200, _MIXED, _RECALL, rates=(1.0, 0.45), prompt_weight=0.02),
    Stage(1200, _NEAR, _RECALL, rates=(0.65, 0.39), prompt_weight=0.02),
    Stage(2500, _NEAR, _TOLD, rates=(0.6, 0.0), prompt_weight=0.02, copy_weight=3.0),
)


@dataclass(frozen=True)
class Batch:
    """Tokens (rows, length + 1) and the weight of each prediction (rows, length)."""

    tokens: Tensor
    weights: Tensor


def row(
    rng: Random, tokenizer: SentencePieceProcessor, length: int, stage: Stage
) -> tuple[list[int], list[float]]:
    """One dialogue cut to ``length + 1`` tokens, and the loss weight of each token."""
    tokens: list[int] = []
    losses: list[float] = []
    horizon = length // _TOKENS_PER_TURN
    turns = Dialogue(rng, "train", rng.choice(LANGUAGES), stage.weights, horizon).turns()
    while len(tokens) <= length:
        turn = next(turns)
        prompt, answer = encode_turn(tokenizer, turn)
        tokens += prompt + answer
        weight = stage.copy_weight if turn.skill in _COPYING_SKILLS else 1.0
        losses += [stage.prompt_weight] * len(prompt) + [weight] * len(answer)
    return tokens[: length + 1], losses[1 : length + 1]


def batch(rng: Random, tokenizer: SentencePieceProcessor, stage: Stage) -> Batch:
    """The rows of one step, all of one length."""
    length = rng.choices(list(stage.lengths), list(stage.lengths.values()))[0]
    rows = [row(rng, tokenizer, length, stage) for _ in range(TOKENS_PER_STEP // length)]
    return Batch(
        torch.tensor([tokens for tokens, _ in rows]), torch.tensor([losses for _, losses in rows])
    )


def stages() -> Iterator[tuple[Stage, float]]:
    """For every step: its stage, and the share of the full learning rate."""
    number = 0
    for stage in PLAN:
        start, end = stage.rates
        for step in range(stage.steps):
            number += 1
            rate = start + (end - start) * step / stage.steps
            yield stage, rate * min(1.0, number / _WARM_UP)


def loss_of(model: DemoModel, tokens: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy, weighted and averaged."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(tokens[:, :-1])
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    return (losses * weights.flatten()).sum() / weights.sum()


class Trainer:
    """The model, its two optimizers and the number of steps taken."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = DemoModel(Shape())
        matrices = [p for p in self.model.model.layers.parameters() if p.dim() == 2]
        chosen = {id(p) for p in matrices}
        others = [p for p in self.model.parameters() if id(p) not in chosen]
        self.muon = torch.optim.Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.0)
        self.adamw = torch.optim.AdamW(others, lr=ADAMW_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.steps = 0
        self._loss = torch.compile(loss_of, dynamic=False)

    def step(self, data: Batch, rate: float) -> float:
        """One update at the given share of the full learning rate; the loss before it."""
        loss: Tensor = self._loss(self.model, data.tokens, data.weights)
        torch.autograd.backward(loss)
        optimizers: list[torch.optim.Optimizer] = [self.muon, self.adamw]
        for optimizer, full in zip(optimizers, (MUON_RATE, ADAMW_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = full * rate
            optimizer.step()
            optimizer.zero_grad()
        self.steps += 1
        return float(loss)

    def save(self, path: Path) -> None:
        state = {name: getattr(self, name).state_dict() for name in _PARTS}
        temporary = path.with_suffix(".part")
        torch.save({**state, "steps": self.steps}, temporary)
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path)
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.steps = state["steps"]


def train(out: Path, seed: int, *, resume: bool) -> None:
    """Runs the plan to its end, saving ``state.pt`` in ``out`` on the way."""
    tokenizer = SentencePieceProcessor(model_file=str(out / "tokenizer.model"))
    trainer = Trainer(seed)
    if resume:
        trainer.restore(out / "state.pt")
    first, started = trainer.steps, time.monotonic()
    for number, (stage, rate) in enumerate(stages()):
        if number < first:
            continue
        loss = trainer.step(batch(Random(f"{seed}/{number}"), tokenizer, stage), rate)
        if trainer.steps % _LOG_EVERY == 0:
            speed = (trainer.steps - first) * TOKENS_PER_STEP / (time.monotonic() - started)
            print(
                f"step {trainer.steps} loss {loss:.3f} rate {rate:.3f} tokens/s {speed:.0f}",
                flush=True,
            )
        if trainer.steps % _SAVE_EVERY == 0:
            trainer.save(out / "state.pt")
    trainer.save(out / "state.pt")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of tokenizer.model and state.pt"
    )
    parser.add_argument("--seed", type=int, default=20240101)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on from state.pt")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.out, arguments.seed, resume=arguments.resume)


if __name__ == "__main__":
    main()
