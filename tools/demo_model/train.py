"""Trains the demo model from scratch.

    python -m tools.demo_model.tokenizer --out build/demo
    python -m tools.demo_model.train --out build/demo [--resume] [--device cuda --workers 8]

Everything is drawn from the seed: the data of a step depends on the seed and the
number of the step alone, so that a resumed run sees what an unbroken one would. Muon
moves the matrices of the layers, AdamW the rest. What ships is a mean of the weights on the way of
the last stage, and of those with which the model was made deeper.

On a processor it waits at a barrier after each small piece of work, so beside other work it takes
several times as long. Where it has the machine for itself, threads that do not fall asleep and
memory that is not given back make it a third faster (glibc):

    OMP_WAIT_POLICY=active GOMP_SPINCOUNT=infinite MALLOC_MMAP_THRESHOLD_=8000000000 \\
        MALLOC_TRIM_THRESHOLD_=16000000000 python -m tools.demo_model.train --out build/demo
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from tools.demo_model.dialogues import Dialogue, Weights
from tools.demo_model.encoding import encode_turn
from tools.demo_model.model import DemoModel, Shape, deeper
from tools.demo_model.muon import Muon
from tools.demo_model.world import LANGUAGES

MUON_RATE = 0.02
ADAMW_RATE = 3e-3
_WARM_UP = 100
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
    The mean takes the weights at so many ``samples``, evenly on the way of the stage and the last
    at its end, with a ``share`` of it together. A stage with ``kept`` begins with the mean so far,
    made deeper where it has more ``layers``; as a part of a new mean that one counts ``kept``.
    """

    steps: int
    lengths: dict[int, float]
    weights: Weights = field(default_factory=Weights)
    rates: tuple[float, float] = (1.0, 1.0)
    prompt_weight: float = 0.02
    copy_weight: float = 2.0
    samples: int = 0
    share: float = 1.0
    layers: int = 4
    kept: float = 0.0
    tokens: int = 4096


# What copies (repeating, telling, asking) is learned last, so the later stages dwell on it.
_COPYING = Weights(talk=12, capital=9, unknown=9, sum=10, repeat=18, tell=17, ask=30)
_RECALLING = Weights(talk=14, capital=9, unknown=9, sum=10, repeat=16, tell=18, ask=34)
_EVEN = Weights(talk=18, capital=14, continent=5, unknown=11, sum=11, repeat=17, tell=18, ask=34)
_NAMING = Weights(talk=17, capital=9, unknown=14, sum=9, repeat=14, tell=18, ask=38)
_TELLING = Weights(talk=18, capital=12, unknown=14, sum=9, repeat=12, tell=20, ask=36)
_MEETING = Weights(talk=24, capital=12, unknown=15, sum=9, repeat=12, tell=22, ask=40)
_ASKING = Weights(talk=20, capital=10, unknown=22, sum=9, repeat=11, tell=24, ask=46)
_PLACING = Weights(talk=24, capital=13, unknown=22, sum=9, repeat=11, tell=24, ask=46)
_MIXED = {256: 0.62, 512: 0.2, 1024: 0.15, 2048: 0.03}
_LONGEST = {256: 0.1, 512: 0.3, 1024: 0.5, 2048: 0.1}
_LONGER = {256: 0.45, 512: 0.32, 1024: 0.19, 2048: 0.04}
_FARTHER = {256: 0.2, 512: 0.33, 1024: 0.39, 2048: 0.08}
_FARTHEST = {256: 0.12, 512: 0.28, 1024: 0.5, 2048: 0.1}
_CALM = Stage(400, _LONGER, _TELLING, (0.04, 0.015), samples=20, share=0.7, layers=6, tokens=8192)
"""The end of a stage, whose weights are averaged."""
PLAN = (
    Stage(1000, {256: 1.0}, prompt_weight=0.1, copy_weight=1.0),
    Stage(4000, _MIXED, _COPYING),
    Stage(4500, _MIXED, _COPYING, (1.0, 0.0)),
    Stage(5000, _MIXED, _COPYING, (0.7, 0.0)),
    Stage(9000, _LONGER, _RECALLING, (0.8, 0.0), samples=1),
    Stage(6000, _LONGEST, _RECALLING, (0.8, 0.0), samples=1),
    Stage(3000, _LONGER, _EVEN, (0.5, 0.1), samples=60, share=2),
    Stage(4400, _LONGER, _NAMING, (0.8, 0.1), layers=6, kept=0.25, tokens=8192),
    Stage(600, _LONGER, _NAMING, (0.1, 0.02), samples=30, share=0.75, layers=6, tokens=8192),
    Stage(3600, _LONGER, _TELLING, (0.6, 0.15), layers=6, tokens=8192),
    Stage(1200, _LONGER, _TELLING, (0.15, 0.03), samples=40, share=1, layers=6, tokens=8192),
    Stage(1100, _LONGER, _TELLING, (0.25, 0.06), layers=6, kept=0.5, tokens=8192),
    Stage(500, _LONGER, _TELLING, (0.06, 0.02), samples=25, share=0.5, layers=6, tokens=8192),
    Stage(400, _LONGER, _TELLING, (0.1, 0.06), layers=6, kept=0.1, tokens=8192),
    Stage(400, _LONGER, _TELLING, (0.06, 0.02), samples=25, share=0.9, layers=6, tokens=8192),
    Stage(1600, _LONGER, _MEETING, (0.3, 0.06), layers=6, kept=0.3, tokens=8192),
    Stage(700, _LONGER, _MEETING, (0.06, 0.02), samples=35, share=0.7, layers=6, tokens=8192),
    Stage(1400, _LONGER, _ASKING, (0.2, 0.04), copy_weight=3.0, layers=6, kept=0.3, tokens=8192),
    replace(_CALM, weights=_ASKING, copy_weight=3.0),
    Stage(1100, _LONGER, _ASKING, (0.2, 0.04), copy_weight=3.0, layers=6, kept=0.72, tokens=8192),
    replace(_CALM, weights=_ASKING, copy_weight=3.0, share=0.28),
    Stage(4900, _FARTHER, _ASKING, (0.3, 0.04), copy_weight=3.0, layers=6, kept=0.5, tokens=8192),
    replace(_CALM, lengths=_FARTHER, weights=_ASKING, copy_weight=3.0, share=0.5),
    Stage(900, _FARTHER, _ASKING, (0.15, 0.04), copy_weight=3.0, layers=6, kept=0.4, tokens=8192),
    replace(_CALM, steps=300, lengths=_FARTHER, weights=_ASKING, copy_weight=3.0, share=0.6),
    Stage(4800, _FARTHEST, _ASKING, (0.5, 0.04), copy_weight=3.0, layers=7, kept=0.6, tokens=8192),
    replace(
        _CALM, steps=300, lengths=_FARTHEST, weights=_ASKING, copy_weight=3.0, share=0.4, layers=7
    ),
    Stage(
        5700, _FARTHEST, _PLACING, (0.35, 0.04), copy_weight=3.0, layers=7, kept=0.6, tokens=8192
    ),
    replace(
        _CALM, steps=350, lengths=_FARTHEST, weights=_PLACING, copy_weight=3.0, share=0.4, layers=7
    ),
)


class Batch(NamedTuple):
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
    rows = [row(rng, tokenizer, length, stage) for _ in range(stage.tokens // length)]
    weights = torch.tensor([losses for _, losses in rows])
    order = weights.flatten() + torch.tensor([rng.random() for _ in range(weights.numel())])
    learned = order.topk(int(weights.numel() * _LEARNED)).indices
    return Batch(torch.tensor([tokens for tokens, _ in rows]), weights, learned.sort().values)


class Step(NamedTuple):
    """A step's stage, the share of the full learning rate, and its share in the mean.

    One that ``renews`` begins with the mean.
    """

    stage: Stage
    rate: float
    share: float
    renews: bool = False


def plan() -> Iterator[Step]:
    """Every step, in order."""
    number = 0
    for stage in PLAN:
        start, end = stage.rates
        for step in range(stage.steps):
            renews = step == 0 and stage.kept > 0
            number = 1 if renews else number + 1
            rate = start + (end - start) * step / stage.steps
            passed = [done * stage.samples // stage.steps for done in (step, step + 1)]
            share = stage.share / stage.samples if passed[1] > passed[0] else 0.0
            yield Step(stage, rate * min(1.0, number / _WARM_UP), share, renews)


class Batches(Dataset[Batch]):
    """The batch of every step by its number, for whatever process makes it."""

    def __init__(self, tokenizer: Path, seed: int, steps: list[Step]) -> None:
        self._tokenizer = SentencePieceProcessor(model_file=str(tokenizer))
        self._seed = seed
        self._steps = steps

    def __getitem__(self, number: int) -> Batch:
        rng = Random(f"{self._seed}/{number}")
        return batch(rng, self._tokenizer, self._steps[number].stage)


def loss_of(model: DemoModel, data: Batch) -> Tensor:
    """Cross entropy of the positions to learn from, weighted and averaged."""
    with torch.autocast(data.tokens.device.type, torch.bfloat16):
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

    def __init__(self, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self._device = device
        self.steps = 0
        self._begin(DemoModel(replace(Shape(), layers=PLAN[0].layers)))

    def _begin(self, model: DemoModel) -> None:
        """Go on with another model."""
        self.model = model.to(self._device)
        matrices = [p for p in self.model.model.layers.parameters() if p.dim() == 2]
        chosen = {id(p) for p in matrices}
        others = [p for p in self.model.parameters() if id(p) not in chosen]
        self.muon = Muon(matrices, momentum=0.95)
        self.adamw = torch.optim.AdamW(others, lr=ADAMW_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.mean = Mean()
        self._loss = torch.compile(loss_of, dynamic=False)

    def renew(self, layers: int, kept: float) -> None:
        """Go on with the mean, in a model of so many layers."""
        self.model.load_state_dict(self.mean.weights or self.model.state_dict())
        self._begin(deeper(self.model, layers) if layers > self.model.shape.layers else self.model)
        self.mean.add(self.model, kept)

    def step(self, data: Batch, step: Step) -> Tensor:
        """One update; the loss before it."""
        if step.renews:
            self.renew(step.stage.layers, step.stage.kept)
        data = Batch(*(tensor.to(self._device, non_blocking=True) for tensor in data))
        loss: Tensor = self._loss(self.model, data)
        torch.autograd.backward(loss)
        self.muon.step(MUON_RATE * step.rate)
        self.adamw.param_groups[0]["lr"] = ADAMW_RATE * step.rate
        self.adamw.step()
        self.adamw.zero_grad()
        self.steps += 1
        if step.share:
            self.mean.add(self.model, step.share)
        return loss.detach()

    def save(self, path: Path) -> None:
        state = {name: getattr(self, name).state_dict() for name in _PARTS}
        temporary = path.with_suffix(".part")
        torch.save({**state, "mean": vars(self.mean), "steps": self.steps}, temporary)
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self._device)
        layers = len({name.split(".")[2] for name in state["model"] if ".layers." in name})
        if layers > self.model.shape.layers:
            self._begin(deeper(self.model, layers))
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.mean = Mean(**state["mean"])
        self.steps = state["steps"]


def train(out: Path, seed: int, device: str, workers: int, *, resume: bool) -> None:
    """Runs the plan to its end, saving ``state.pt`` in ``out`` on the way."""
    trainer = Trainer(seed, device)
    if resume:
        trainer.restore(out / "state.pt")
    steps = list(plan())
    first, started, done = trainer.steps, time.monotonic(), 0
    batches = DataLoader(
        Batches(out / "tokenizer.model", seed, steps),
        batch_size=None,
        sampler=range(first, len(steps)),
        num_workers=workers,
        pin_memory=device == "cuda",
        prefetch_factor=4 if workers else None,
    )
    for step, data in zip(steps[first:], batches, strict=True):
        loss = trainer.step(data, step)
        done += step.stage.tokens
        if trainer.steps % _LOG_EVERY == 0:
            print(f"step {trainer.steps} loss {loss.item():.4f} rate {step.rate:.3f}", end=" ")
            print(f"tokens/s {done / (time.monotonic() - started):.0f}", flush=True)
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
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that make the data")
    parser.add_argument("--resume", action="store_true", help="go on from state.pt")
    arguments = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    train(
        arguments.out,
        arguments.seed,
        arguments.device,
        arguments.workers,
        resume=arguments.resume,
    )


if __name__ == "__main__":
    main()
