"""Trains the demo model from scratch.

    python -m tools.demo_model.tokenizer --out build/demo
    python -m tools.demo_model.train --out build/demo [--resume]

Everything is drawn from the seed: the data of a step depends on the seed and the
number of the step alone, so that a resumed run sees what an unbroken one would. Muon
moves the matrices of the layers, AdamW the rest. What ships is a mean of the weights at the ends of
the later stages and on the way of the last one.

It waits at a barrier after each small piece of work, so beside other work it takes several times
as long. Where it has the machine for itself, threads that do not fall asleep and memory that is not
given back make it a third faster (glibc):

    OMP_WAIT_POLICY=active GOMP_SPINCOUNT=infinite MALLOC_MMAP_THRESHOLD_=8000000000 \\
        MALLOC_TRIM_THRESHOLD_=16000000000 python -m tools.demo_model.train --out build/demo
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
from tools.demo_model.muon import Muon
from tools.demo_model.world import LANGUAGES

TOKENS_PER_STEP = 4096
MUON_RATE = 0.02
ADAMW_RATE = 3e-3
_WARM_UP = 60
_PARTS = ("model", "muon", "adamw")
_TOKENS_PER_TURN = 27
_COPYING_SKILLS = ("repeat", "tell", "ask")
_LEARNED = 0.5
_LOG_EVERY = 25
_SAVE_EVERY = 200


@dataclass(frozen=True)
class Stage:
    """A number of steps with one mixture of row lengths and of kinds of turn.

    The learning rate moves evenly from the first of ``rates`` to the second; both are
    shares of the full rate. ``prompt_weight`` is the loss weight of a token that the user
    writes, ``copy_weight`` that of an answer that copies, where one of another has weight 1.
    What ships is a mean of weights: those that a stage has at so many ``samples``, evenly on its
    way and the last at its end, take a ``share`` of it together.
    """

    steps: int
    lengths: dict[int, float]
    weights: Weights = field(default_factory=Weights)
    rates: tuple[float, float] = (1.0, 1.0)
    prompt_weight: float = 0.1
    copy_weight: float = 1.0
    samples: int = 0
    share: float = 1.0


# What copies (repeating, telling, asking) is learned last, so the later stages dwell on it.
_COPYING = Weights(talk=12, capital=9, unknown=9, sum=10, repeat=18, tell=17, ask=30)
_RECALLING = Weights(talk=14, capital=9, unknown=9, sum=10, repeat=16, tell=18, ask=34)
_EVEN = Weights(talk=18, capital=14, continent=5, unknown=11, sum=11, repeat=17, tell=18, ask=34)
_MIXED = {256: 0.62, 512: 0.2, 1024: 0.15, 2048: 0.03}
_LONGEST = {256: 0.1, 512: 0.3, 1024: 0.5, 2048: 0.1}
_LONGER = {256: 0.45, 512: 0.32, 1024: 0.19, 2048: 0.04}
PLAN = (
    Stage(1000, {256: 1.0}),
    Stage(4000, _MIXED, _COPYING, prompt_weight=0.02, copy_weight=2.0),
    Stage(4500, _MIXED, _COPYING, rates=(1.0, 0.0), prompt_weight=0.02, copy_weight=2.0),
    Stage(5000, _MIXED, _COPYING, rates=(0.7, 0.0), prompt_weight=0.02, copy_weight=2.0),
    Stage(9000, _LONGER, _RECALLING, (0.8, 0.0), prompt_weight=0.02, copy_weight=2.0, samples=1),
    Stage(6000, _LONGEST, _RECALLING, (0.8, 0.0), prompt_weight=0.02, copy_weight=2.0, samples=1),
    Stage(
        3000, _LONGER, _EVEN, (0.5, 0.1), prompt_weight=0.02, copy_weight=2.0, samples=60, share=2
    ),
)


@dataclass(frozen=True)
class Batch:
    """Tokens (rows, length + 1), and the weight of each prediction (rows, length).

    ``rows`` numbers the predictions to learn from: those of answers, then some of what the user
    writes, always the same share. The output matrix is spared the rest.
    """

    tokens: Tensor
    weights: Tensor
    rows: Tensor


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
    weights = torch.tensor([losses for _, losses in rows])
    order = weights.flatten() + torch.tensor([rng.random() for _ in range(weights.numel())])
    learned = order.topk(int(weights.numel() * _LEARNED)).indices
    return Batch(torch.tensor([tokens for tokens, _ in rows]), weights, learned.sort().values)


def stages() -> Iterator[tuple[Stage, float, float]]:
    """For every step: its stage, the share of the full learning rate, and the share in the mean."""
    number = 0
    for stage in PLAN:
        start, end = stage.rates
        for step in range(stage.steps):
            number += 1
            rate = start + (end - start) * step / stage.steps
            passed = [done * stage.samples // stage.steps for done in (step, step + 1)]
            share = stage.share / stage.samples if passed[1] > passed[0] else 0.0
            yield stage, rate * min(1.0, number / _WARM_UP), share


def loss_of(model: DemoModel, data: Batch) -> Tensor:
    """Cross entropy of the positions to learn from, weighted and averaged."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(data.tokens[:, :-1], data.rows)
    targets = data.tokens[:, 1:].flatten()[data.rows]
    weights = data.weights.flatten()[data.rows]
    losses = functional.cross_entropy(logits.float(), targets, reduction="none")
    return (losses * weights).sum() / weights.sum()


@dataclass
class Mean:
    """The mean of a model's weights at several steps; better than those of any one of them."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    total: float = 0.0

    def add(self, model: DemoModel, share: float) -> None:
        """Take the weights as they are now."""
        self.total += share
        for name, tensor in model.state_dict().items():
            mean = self.weights.setdefault(name, torch.zeros_like(tensor))
            mean += (tensor - mean) * (share / self.total)


class Trainer:
    """The model, its two optimizers, its mean and the number of steps taken."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = DemoModel(Shape())
        matrices = [p for p in self.model.model.layers.parameters() if p.dim() == 2]
        chosen = {id(p) for p in matrices}
        others = [p for p in self.model.parameters() if id(p) not in chosen]
        self.muon = Muon(matrices, momentum=0.95)
        self.adamw = torch.optim.AdamW(others, lr=ADAMW_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.steps = 0
        self.mean = Mean()
        self._loss = torch.compile(loss_of, dynamic=False)

    def step(self, data: Batch, rate: float) -> float:
        """One update at the given share of the full learning rate; the loss before it."""
        loss: Tensor = self._loss(self.model, data)
        torch.autograd.backward(loss)
        self.muon.step(MUON_RATE * rate)
        self.adamw.param_groups[0]["lr"] = ADAMW_RATE * rate
        self.adamw.step()
        self.adamw.zero_grad()
        self.steps += 1
        return loss.item()

    def save(self, path: Path) -> None:
        state = {name: getattr(self, name).state_dict() for name in _PARTS}
        temporary = path.with_suffix(".part")
        torch.save({**state, "mean": vars(self.mean), "steps": self.steps}, temporary)
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path)
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.mean = Mean(**state.get("mean", {}))
        self.steps = state["steps"]


def train(out: Path, seed: int, *, resume: bool) -> None:
    """Runs the plan to its end, saving ``state.pt`` in ``out`` on the way."""
    tokenizer = SentencePieceProcessor(model_file=str(out / "tokenizer.model"))
    trainer = Trainer(seed)
    if resume:
        trainer.restore(out / "state.pt")
    first, started = trainer.steps, time.monotonic()
    for number, (stage, rate, share) in enumerate(stages()):
        if number < first:
            continue
        loss = trainer.step(batch(Random(f"{seed}/{number}"), tokenizer, stage), rate)
        if share:
            trainer.mean.add(trainer.model, share)
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
