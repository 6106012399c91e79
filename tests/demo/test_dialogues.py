"""What the demo model is taught is right, seeded, and free of what it is tested on."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tools.demo_model import dialogues, words
from tools.demo_model.dialogues import Dialogue, Turn, Weights
from tools.demo_model.phrases import sections
from tools.demo_model.world import COUNTRIES, LANGUAGES, Language

HELD_OUT = Path(__file__).parents[1] / "data" / "demo_heldout.jsonl"


def _turns(seed: int, count: int, language: Language = "en") -> list[Turn]:
    talk = Dialogue(Random(seed), "train", language, Weights(), horizon=9)
    return list(islice(talk.turns(), count))


def _cases(skill: str) -> list[dict[str, Any]]:
    lines = HELD_OUT.read_text(encoding="utf-8").splitlines()
    return [case for case in map(json.loads, lines) if case["skill"] == skill]


def _question(case: dict[str, Any]) -> str:
    content: str = case["messages"][-1]["content"]
    return content


def test_equal_seeds_give_equal_dialogues() -> None:
    assert _turns(1, 200) == _turns(1, 200)
    assert _turns(1, 200) != _turns(2, 200)


def test_the_world_has_at_least_eighty_countries_and_no_two_alike() -> None:
    assert len(COUNTRIES) >= 80
    for language in LANGUAGES:
        assert len({country.name.to(language) for country in COUNTRIES}) == len(COUNTRIES)
        assert len({country.capital.to(language) for country in COUNTRIES}) == len(COUNTRIES)


def test_every_section_exists_in_both_languages() -> None:
    assert sections("en").keys() == sections("zh").keys()


def test_sums_are_right_and_never_of_a_held_out_pair() -> None:
    answers = [turn.answer for turn in _turns(3, 5000)]
    sums = [list(map(int, re.findall(r"\d+", text))) for text in answers if " = " in text]
    assert len(sums) > 200
    for a, b, c in sums:
        assert a + b == c
        assert words.split_of(f"sum {min(a, b)} {max(a, b)}") == "train"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_fact_is_recalled_as_it_was_told_last(language: Language) -> None:
    talk = Dialogue(Random(4), "train", language, Weights(), horizon=9)
    for _ in range(20):
        dialogues.tell(talk, "name")
        last = talk.facts["name"]
        assert last in dialogues.ask(talk, "name")[1]


def test_what_is_told_is_often_alike_so_that_it_must_be_kept_apart() -> None:
    both = 0
    for seed in range(100):
        talk = Dialogue(Random(seed), "train", "en", Weights(), horizon=9)
        list(islice(talk.turns(), 40))
        both += {"friend", "dog"} <= talk.facts.keys()
    assert both > 25


def test_what_a_model_is_called_is_made_up_in_training_alone() -> None:
    listed = {model for language in LANGUAGES for model in words.words(language, "model")}
    for split, made_up in (("train", True), ("final", False)):
        talk = Dialogue(Random(7), split, "en", Weights(), horizon=9)  # type: ignore[arg-type]
        called = [dialogues.fill(talk, "{model}") for _ in range(200)]
        assert (set(called) <= listed) is not made_up


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_fact_never_told_is_said_to_be_missing(language: Language) -> None:
    talk = Dialogue(Random(5), "train", language, Weights(), horizon=9)
    for fact in dialogues.FACTS:
        assert dialogues.ask(talk, fact)[1] == sections(language)[fact].missing


def test_a_follow_up_asks_what_was_asked_last() -> None:
    talk = Dialogue(Random(6), "train", "en", Weights(), horizon=9)
    france = next(country for country in COUNTRIES if country.name.en == "France")
    dialogues.about_country(talk, "capital", COUNTRIES[0])
    assert dialogues.follow_up(talk, france)[1] == "The capital of France is Paris."
    dialogues.about_country(talk, "continent", COUNTRIES[0])
    assert dialogues.follow_up(talk, france)[1] == "France is in Europe."


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_phrasings_are_not_in_training(language: Language) -> None:
    for name, section in sections(language).items():
        if len(section.templates) >= 16:
            held_out = set(section.of("final")) | set(section.of("dev"))
            assert not held_out & set(section.of("train")), name


def test_held_out_sums_are_of_held_out_pairs() -> None:
    for case in _cases("addition"):
        a, b = sorted(map(int, re.findall(r"\d+", _question(case))))
        assert words.split_of(f"sum {a} {b}") == "final"


def test_held_out_recalls_stay_within_their_distance() -> None:
    for kind in ("name", "number", "place"):
        assert all(case["distance"] < 700 for case in _cases(f"recall_{kind}"))
        assert all(case["distance"] >= 2000 for case in _cases(f"recall_{kind}_2000"))


def test_no_held_out_question_occurs_in_training() -> None:
    skills = ("capital", "identity", "unknown", "repeat", "addition")
    asked = {_question(case) for skill in skills for case in _cases(skill)}
    taught = {turn.user for seed in range(10) for turn in _turns(seed, 3000)}
    assert not asked & taught
