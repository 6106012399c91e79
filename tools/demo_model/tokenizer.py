"""Trains the tokenizer: sentencepiece BPE of the same kind as SUS-Chat's.

    python -m tools.demo_model.tokenizer --out build/demo

Chinese has no spaces, so that plain BPE would merge whole sentences into one piece.
Its lines are therefore first cut into the words of a list, and BPE merges within them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import sentencepiece

from tools.demo_model import words
from tools.demo_model.dialogues import Dialogue, Weights
from tools.demo_model.encoding import prompt_of
from tools.demo_model.world import COUNTRIES, LANGUAGES

VOCABULARY = 2560
_TURNS = 60_000


@cache
def _chinese_words() -> re.Pattern[str]:
    names = (
        text.zh
        for country in COUNTRIES
        for text in (country.name, country.capital, country.continent)
    )
    common = words.read_kinds("pieces.zh.txt")["common"]
    known = sorted({*names, *common, *words.all_words("zh")}, key=len, reverse=True)
    return re.compile("|".join((*known, "[^\u4e00-\u9fff]+", ".")))


def corpus(rng: Random) -> Iterator[str]:
    """The lines that the tokenizer is trained on: turns of dialogues, cut into words."""
    yield from words.CHARACTERS + words.SURNAMES + words.GIVEN + "".join(words.all_words("zh"))
    turns = Dialogue(rng, "train", rng.choice(LANGUAGES), Weights(), 8).turns()
    for _ in range(_TURNS):
        turn = next(turns)
        for line in (*prompt_of(turn.user).splitlines(), turn.answer):
            yield from _chinese_words().findall(line)


def train(out: Path, seed: int) -> None:
    """Writes ``tokenizer.model`` into the folder ``out``."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus(Random(seed)),
        model_prefix=str(out / "tokenizer"),
        model_type="bpe",
        vocab_size=VOCABULARY,
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        bos_piece="<|startoftext|>",
        eos_piece="<|endoftext|>",
        minloglevel=1,
    )
    (out / "tokenizer.vocab").unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=20240101)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
