"""Asks a trained model the held-out cases and counts the answers that match exactly.

python -m tools.demo_model.evaluate --checkpoint build/demo --cases dev.jsonl
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from tools.demo_model import cases
from tools.demo_model.cases import Case
from tools.demo_model.checkpoint import load
from tools.demo_model.encoding import EOS, prompt_of
from tools.demo_model.model import DemoModel

_MAX_NEW = 48
_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Score:
    right: int
    asked: int

    def __str__(self) -> str:
        return f"{self.right}/{self.asked} ({self.right / self.asked:.1%})"


def encode(tokenizer: SentencePieceProcessor, case: Case) -> list[int]:
    """The prompt's ids; every segment is encoded by itself."""
    ids: list[int] = []
    for message in case.messages:
        if message["role"] == "user":
            ids += tokenizer.encode(prompt_of(message["content"]))
        else:
            ids += [*tokenizer.encode(message["content"]), EOS]
    return ids


@torch.inference_mode()
def answer(model: DemoModel, prompts: list[list[int]]) -> list[list[int]]:
    """Greedy answers to several prompts at once, padded on the left."""
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(ids)) + ids for ids in prompts])
    padding = torch.tensor([longest - len(ids) for ids in prompts])
    answers: list[list[int]] = [[] for _ in prompts]
    cache = None
    for start in range(longest, longest + _MAX_NEW):
        positions = torch.arange(start - tokens.shape[1], start)
        logits, cache = model.step(tokens, positions, _mask(positions, start, padding), cache)
        tokens = logits[:, -1].argmax(-1, keepdim=True)
        for ids, token in zip(answers, tokens[:, 0].tolist(), strict=True):
            if not ids or ids[-1] != EOS:
                ids.append(token)
        if all(ids[-1] == EOS for ids in answers):
            break
    return answers


def _mask(positions: Tensor, length: int, padding: Tensor) -> Tensor:
    """What may be attended to: nothing later, no padding but a padding row's own cell."""
    cells = torch.arange(length)
    past = cells <= positions[:, None]
    own = cells == positions[:, None]
    return ((past & (cells >= padding[:, None, None])) | own)[:, None]


def evaluate(model: DemoModel, tokenizer: SentencePieceProcessor, asked: list[Case]) -> list[str]:
    """The model's answer to every case, in their order."""
    prompts = sorted(
        ((encode(tokenizer, case), i) for i, case in enumerate(asked)), key=lambda p: len(p[0])
    )
    texts = [""] * len(asked)
    while prompts:
        size = max(1, _BATCH_TOKENS // (len(prompts[-1][0]) + _MAX_NEW))
        chosen, prompts = prompts[-size:], prompts[:-size]
        for ids, (_, i) in zip(answer(model, [p for p, _ in chosen]), chosen, strict=True):
            texts[i] = tokenizer.decode([token for token in ids if token != EOS])
    return texts


def scores(asked: list[Case], texts: list[str]) -> dict[tuple[str, str], Score]:
    """Exact matches by skill and language."""
    total = Counter((case.skill, case.language) for case in asked)
    right = Counter(
        (case.skill, case.language)
        for case, text in zip(asked, texts, strict=True)
        if case.answer == text
    )
    return {key: Score(right[key], count) for key, count in total.items()}


def table(found: dict[tuple[str, str], Score]) -> str:
    """A Markdown table: one skill a row, one language a column."""
    skills = dict.fromkeys(skill for skill, _ in found)
    rows = [f"| {skill} | {found[skill, 'en']} | {found[skill, 'zh']} |" for skill in skills]
    return "\n".join(("| skill | English | Chinese |", "|---|---|---|", *rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="folder with state.pt or shards"
    )
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--skill", default="", help="only skills that begin so")
    parser.add_argument("--wrong", action="store_true", help="show the wrong answers")
    arguments = parser.parse_args()
    tokenizer = SentencePieceProcessor(model_file=str(arguments.checkpoint / "tokenizer.model"))
    asked = [case for case in cases.read(arguments.cases) if case.skill.startswith(arguments.skill)]
    texts = evaluate(load(arguments.checkpoint), tokenizer, asked)
    for case, text in zip(asked, texts, strict=True):
        if arguments.wrong and text != case.answer:
            print(f"{case.skill}: {case.messages[-1]['content']} => {text} (right: {case.answer})")
    print(table(scores(asked, texts)))


if __name__ == "__main__":
    main()
