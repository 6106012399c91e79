"""Held-out questions with the one right answer each.

    python -m tools.demo_model.cases --tokenizer build/demo/tokenizer.model \\
        --split final --out build/final.jsonl

The split ``dev`` is for choosing between trainings, ``final`` for nothing but the last
word. Both ask with phrasings that training lacks; where the names, words, numbers or
pairs of addends are unknown already, one question in four does.

tests/data/demo_heldout.jsonl is a ``final`` that was made once, and is not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random

from sentencepiece import SentencePieceProcessor

from tools.demo_model import dialogues
from tools.demo_model.dialogues import Dialogue, Turn, Weights
from tools.demo_model.encoding import encode_turn
from tools.demo_model.words import Split
from tools.demo_model.world import COUNTRIES, LANGUAGES, Country, Language

NEAR = (0, 600)
FAR = (1000, 2000)
_PER_SKILL = 60
_NEW_PHRASINGS = 0.25
_UNKNOWN_VALUES = (
    "repeat", "addition", "recall_name", "recall_number", "recall_place", "changed_name",
)  # fmt: skip
_PER_FAR_DISTANCE = 10
_RECALLED = {
    "recall_name": ("name", "name", "name", "friend", "dog"),
    "recall_number": ("number", "number", "number", "room", "age"),
    "recall_place": ("city", "city", "origin"),
}


@dataclass(frozen=True)
class Case:
    """A conversation that ends with the user, and what the model must answer.

    ``distance`` counts the tokens between the turn that told a fact and the question;
    ``new_phrasing`` says that training lacks the phrasing of the question.
    """

    skill: str
    language: Language
    messages: list[dict[str, str]]
    answer: str
    distance: int | None = None
    new_phrasing: bool = True


def read(path: Path) -> list[Case]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Case(**json.loads(line)) for line in lines]


def write(path: Path, cases: list[Case]) -> None:
    lines = (json.dumps(_without_none(case), ensure_ascii=False) for case in cases)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _without_none(case: Case) -> dict[str, object]:
    return {key: value for key, value in asdict(case).items() if value is not None}


class Builder:
    """Makes the cases of one split; equal arguments give equal cases."""

    def __init__(self, tokenizer: SentencePieceProcessor, split: Split, seed: int) -> None:
        self._tokenizer = tokenizer
        self._split = split
        self._rng = Random(f"{seed}/{split}")

    def cases(self) -> list[Case]:
        """All cases, both languages, no two of them with the same messages."""
        found: dict[str, Case] = {}
        for language in LANGUAGES:
            for make, count in self._recipes(language):
                wanted = len(found) + count
                while len(found) < wanted:
                    case = make()
                    found.setdefault(json.dumps(case.messages), case)
        return list(found.values())

    def _recipes(self, language: Language) -> Iterator[tuple[Callable[[], Case], int]]:
        """What makes one case of a kind, and how many of them are wanted."""
        for country in COUNTRIES:
            ask = partial(_capital, country=country)
            yield partial(self._after_chatter, "capital", language, ask), 1
        for skill, make in _SINGLE.items():
            yield partial(self._after_chatter, skill, language, make), _PER_SKILL
        yield partial(self._follow_up, language), _PER_SKILL
        for skill in _RECALLED:
            for distance in range(*NEAR, NEAR[1] // _PER_SKILL):
                yield partial(self._recall, skill, language, distance), 1
            for distance in FAR:
                yield partial(self._recall, skill, language, distance), _PER_FAR_DISTANCE
        yield partial(self._changed_name, language), _PER_SKILL

    def _dialogue(self, skill: str, language: Language) -> Dialogue:
        talk = Dialogue(self._rng, self._split, language, Weights(), 0)
        new = skill not in _UNKNOWN_VALUES or self._rng.random() < _NEW_PHRASINGS
        talk.phrasing = self._split if new else "train"
        return talk

    def _after_chatter(
        self, skill: str, language: Language, make: Callable[[Dialogue], tuple[str, str]]
    ) -> Case:
        """A question at the very start, or after one to three other turns."""
        talk = self._dialogue(skill, language)
        turns = [self._chatter(talk) for _ in range(self._rng.choice((0, 0, 0, 1, 2, 3)))]
        return _case(skill, talk, turns, *make(talk))

    def _chatter(self, talk: Dialogue, *unsaid: str) -> Turn:
        """Any turn but one that touches the facts ``unsaid``."""
        kinds = ["talk", "capital", "continent", "sum", "repeat", "unknown", "tell"]
        kind = self._rng.choice(kinds)
        if kind != "tell":
            return talk.turn(kind)
        fact = self._rng.choice([fact for fact in dialogues.FACTS if fact not in unsaid])
        return Turn("tell", talk.language, *dialogues.tell(talk, fact))

    def _follow_up(self, language: Language) -> Case:
        talk = self._dialogue("follow", language)
        turns = [talk.turn(self._rng.choice(("capital", "capital", "capital", "continent")))]
        turns += [talk.turn("follow") for _ in range(self._rng.choice((0, 0, 1)))]
        return _case("follow", talk, turns, *_follow(talk))

    def _recall(self, skill: str, language: Language, distance: int) -> Case:
        """A fact is told, ``distance`` tokens or a little more go by, it is asked for."""
        talk = self._dialogue(skill, language)
        fact = self._rng.choice(_RECALLED[skill])
        turns = [Turn("tell", language, *dialogues.tell(talk, fact))]
        passed = 0
        while passed < distance:
            turns.append(self._chatter(talk, fact))
            passed += sum(map(len, encode_turn(self._tokenizer, turns[-1])))
        far = f"_{distance}" if distance in FAR else ""
        return _case(skill + far, talk, turns, *dialogues.ask(talk, fact), distance=passed)

    def _changed_name(self, language: Language) -> Case:
        talk = self._dialogue("changed_name", language)
        turns = []
        for _ in range(self._rng.choice((2, 2, 3))):
            turns.append(Turn("tell", language, *dialogues.tell(talk, "name")))
            turns += [self._chatter(talk, "name") for _ in range(self._rng.randint(0, 4))]
        return _case("changed_name", talk, turns, *dialogues.ask(talk, "name"))


def _follow(talk: Dialogue) -> tuple[str, str]:
    return dialogues.follow_up(talk, talk.rng.choice(COUNTRIES))


def _capital(talk: Dialogue, country: Country) -> tuple[str, str]:
    return dialogues.about_country(talk, "capital", country)


def _identity(talk: Dialogue) -> tuple[str, str]:
    return dialogues.small_talk(
        talk, talk.rng.choice(("who", "who", "are_you", "are_you", "maker"))
    )


def _small_talk(talk: Dialogue) -> tuple[str, str]:
    names = [name for name in dialogues.SMALL_TALK if name not in ("who", "are_you", "maker")]
    return dialogues.small_talk(talk, talk.rng.choice(names))


def _repeat(talk: Dialogue) -> tuple[str, str]:
    return dialogues.repeat_of(talk, dialogues.some_words(talk))


def _sum(talk: Dialogue) -> tuple[str, str]:
    return dialogues.sum_of(talk, *dialogues.addends(talk.rng, talk.split))


def _unknown(talk: Dialogue) -> tuple[str, str]:
    return dialogues.small_talk(talk, "unknown")


_SINGLE: dict[str, Callable[[Dialogue], tuple[str, str]]] = {
    "identity": _identity,
    "small_talk": _small_talk,
    "repeat": _repeat,
    "addition": _sum,
    "unknown": _unknown,
}


def _case(
    skill: str,
    talk: Dialogue,
    turns: list[Turn],
    user: str,
    answer: str,
    *,
    distance: int | None = None,
) -> Case:
    messages = []
    for turn in turns:
        messages.append({"role": "user", "content": turn.user})
        messages.append({"role": "assistant", "content": turn.answer})
    messages.append({"role": "user", "content": user})
    new_phrasing = talk.phrasing != "train"
    return Case(skill, talk.language, messages, answer, distance, new_phrasing)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--split", choices=("dev", "final"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=20240101)
    arguments = parser.parse_args()
    tokenizer = SentencePieceProcessor(model_file=str(arguments.tokenizer))
    write(arguments.out, Builder(tokenizer, arguments.split, arguments.seed).cases())


if __name__ == "__main__":
    main()
