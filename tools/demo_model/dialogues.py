"""Generates dialogues: what the demo model is taught, and what it is asked in tests.

A dialogue is a stream of turns. It remembers what the user told and what was asked
last, so that the right answer to every turn is known when the turn is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tools.demo_model import words
from tools.demo_model.phrases import Section, sections
from tools.demo_model.words import Split
from tools.demo_model.world import COUNTRIES, LANGUAGES, Country, Language

SMALL_TALK = {
    "hello": 7, "good_morning": 1, "good_evening": 1, "how_are_you": 3, "thanks": 3, "bye": 2,
    "praise": 2, "statement": 5, "who": 12, "are_you": 10, "maker": 5, "abilities": 4,
}  # fmt: skip
FACTS = {
    "name": 12, "number": 13, "city": 9, "origin": 7, "room": 5, "age": 5, "friend": 10, "dog": 10,
    "color": 1,
}  # fmt: skip
_ALIKE = (("name", "friend", "dog"), ("number", "room", "age"), ("city", "origin"), ("color",))
LARGEST_ADDEND = 50
_UNVARIED = ("hello", "good_morning", "good_evening", "thanks", "bye", "praise")
_OPENINGS: dict[Language, tuple[str, ...]] = {
    "en": (
        "OK, ", "Okay. ", "So ", "And ", "Now ", "Well, ", "Hey, ", "Hi! ", "Hello, ", "Hello! ",
        "Please, ", "Excuse me, ", "By the way, ", "Tell me, ", "One more thing: ", "Then ",
        "I have a question: ", "Next question: ", "Thanks. ", "Good. ", "Listen, ", "Once more: ",
    ),
    "zh": (
        "好，", "好的。", "那", "那么", "嗯，", "请问，", "请问", "你好，", "你好！", "喂，",
        "对了，", "麻烦你，", "打扰一下，", "再问一下，", "还有，", "我想问：",
        "下一个问题：", "谢谢。", "听着，", "再来一次：", "现在", "话说，",
    ),
}  # fmt: skip
_SWITCH_LANGUAGE = 0.12
_TELL_ALIKE = 0.5
_PATIENT = 0.65
_FOLLOW_UP = 0.45
_MADE_UP_SLOT = 0.2
_MADE_UP_MODEL = 0.3
_MISSPELT = 0.1
_MISSPELT_FROM = 6
_STRANGE_WORD = 0.15
_CONTENT_WORD = re.compile(r"(?<= )[a-z]{4,}(?=[ ?.,!]|$)")
_SLOT = re.compile(r"(\{\w+\})")


@dataclass(frozen=True)
class Turn:
    skill: str
    language: Language
    user: str
    answer: str


@dataclass(frozen=True)
class Weights:
    """How often each kind of turn comes; the numbers are relative."""

    talk: float = 12
    capital: float = 8
    country: float = 2
    continent: float = 3
    sum: float = 10
    repeat: float = 14
    unknown: float = 13
    tell: float = 16
    ask: float = 22


def _joined(opening: str, template: str) -> str:
    """The opening before the phrasing, which then begins with a small letter if it may."""
    stays = "." in opening or "!" in opening or template.startswith(("I ", "I'm", "{"))
    return opening + (template if stays else template[0].lower() + template[1:])


class Dialogue:
    """An endless dialogue.

    In most of them the user tells some facts, speaks for up to ``horizon`` turns of
    other things and only then asks; in the others all kinds of turn are mixed.
    ``split`` is where names, words and numbers come from, ``phrasing`` where phrasings do.
    """

    def __init__(
        self, rng: Random, split: Split, language: Language, weights: Weights, horizon: int
    ) -> None:
        self.rng = rng
        self.split = split
        self.phrasing: Split = split
        self.language = language
        self.facts: dict[str, str] = {}
        self.topic = ""
        self._weights = vars(weights)
        self._horizon = horizon

    def turns(self) -> Iterator[Turn]:
        """The turns, in a language that changes now and then."""
        patient = self.rng.random() < _PATIENT
        for skill in self._patient_skills() if patient else self._mixed_skills():
            yield self.turn(skill)
            if self.rng.random() < _SWITCH_LANGUAGE:
                self.language = self.rng.choice(LANGUAGES)

    def turn(self, skill: str) -> Turn:
        """One turn of the given skill, with what it changes in the dialogue."""
        user, answer = _MAKERS[skill](self)
        return Turn(skill, self.language, user, answer)

    def _mixed_skills(self) -> Iterator[str]:
        while True:
            yield from self._with_follow_ups(self._weighted(self._weights))

    def _with_follow_ups(self, skill: str) -> Iterator[str]:
        yield skill
        while self.topic and self.rng.random() < _FOLLOW_UP:
            yield "follow"

    def _patient_skills(self) -> Iterator[str]:
        others = {
            kind: weight for kind, weight in self._weights.items() if kind not in ("tell", "ask")
        }
        while True:
            yield from ["tell"] * self.rng.randint(1, 4)
            for _ in range(self.rng.randint(0, self._horizon)):
                yield from self._with_follow_ups(self._weighted(others))
            yield from ["ask"] * self.rng.randint(2, 7)

    def _weighted(self, weights: dict[str, float]) -> str:
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def section(self, name: str) -> Section:
        return sections(self.language)[name]

    def phrase(self, name: str) -> str:
        """A phrasing from the section; in training it is varied."""
        split = self.split if name == "unknown" else self.phrasing
        template = self.rng.choice(self.section(name).of(split))
        if self.split != "train" or name in _UNVARIED:
            return template
        return self._varied(template)

    def _varied(self, template: str) -> str:
        """The phrasing with another beginning or end, as hasty or polite people write."""
        if self.rng.random() < 0.18:
            template = _joined(self.rng.choice(_OPENINGS[self.language]), template)
        elif self.rng.random() < 0.08 and template[1:2].islower():
            template = template[0].lower() + template[1:]
        if self.rng.random() < 0.12 and len(template) >= 8:
            template = template.rstrip("?.!？。！")
        if self.rng.random() < _MISSPELT:
            template = self._misspelt(template)
        return template

    def _misspelt(self, template: str) -> str:
        """With one character left out, doubled or changed for the next one; never in a slot."""
        parts = _SLOT.split(template)
        long = [i for i in range(0, len(parts), 2) if len(parts[i]) >= _MISSPELT_FROM]
        if not long:
            return template
        number = self.rng.choice(long)
        part = parts[number]
        at = self.rng.randrange(len(part) - 1)
        here, following = part[at], part[at + 1]
        slip = self.rng.choice((following, here + here + following, following + here))
        parts[number] = part[:at] + slip + part[at + 2 :]
        return "".join(parts)

    def pick(self, name: str, **slots: str) -> tuple[str, str]:
        """A phrasing and the section's answer, both with their slots filled."""
        return self.phrase(name).format(**slots), self.section(name).answer.format(**slots)


def _talk(talk: Dialogue) -> tuple[str, str]:
    talk.topic = ""
    name = talk.rng.choices(list(SMALL_TALK), list(SMALL_TALK.values()))[0]
    return small_talk(talk, name)


def small_talk(talk: Dialogue, name: str) -> tuple[str, str]:
    """A turn of the named section that needs no fact and leaves none behind."""
    return fill(talk, talk.phrase(name)), talk.section(name).answer


def _capital(talk: Dialogue) -> tuple[str, str]:
    return about_country(talk, "capital", talk.rng.choice(COUNTRIES))


def _country(talk: Dialogue) -> tuple[str, str]:
    return about_country(talk, "country", talk.rng.choice(COUNTRIES))


def _continent(talk: Dialogue) -> tuple[str, str]:
    return about_country(talk, "continent", talk.rng.choice(COUNTRIES))


def about_country(talk: Dialogue, name: str, country: Country) -> tuple[str, str]:
    """A question of the section ``name`` about the country, and its answer."""
    talk.topic = name if name in ("capital", "continent") else ""
    user, answer = talk.pick(name, **_country_slots(talk, country))
    return user, words.capitalized(answer)


def _country_slots(talk: Dialogue, country: Country) -> dict[str, str]:
    return {
        "country": country.name.to(talk.language),
        "capital": country.capital.to(talk.language),
        "continent": country.continent.to(talk.language),
    }


def _follow(talk: Dialogue) -> tuple[str, str]:
    if talk.topic == "sum":
        a, b = addends(talk.rng, talk.split)
        return _follow_sum(talk, a, b)
    return follow_up(talk, talk.rng.choice(COUNTRIES))


def follow_up(talk: Dialogue, country: Country) -> tuple[str, str]:
    """The question asked last, now about another country, in a few words."""
    slots = _country_slots(talk, country)
    answer = talk.section(talk.topic).answer.format(**slots)
    return talk.phrase("follow").format(**slots), words.capitalized(answer)


def _follow_sum(talk: Dialogue, a: int, b: int) -> tuple[str, str]:
    answer = talk.section("sum").answer.format(a=a, b=b, c=a + b)
    return talk.phrase("follow_sum").format(a=a, b=b), answer


def _sum(talk: Dialogue) -> tuple[str, str]:
    return sum_of(talk, *addends(talk.rng, talk.split))


def sum_of(talk: Dialogue, a: int, b: int) -> tuple[str, str]:
    talk.topic = "sum"
    return talk.pick("sum", a=str(a), b=str(b), c=str(a + b))


def addends(rng: Random, split: Split) -> tuple[int, int]:
    """Two addends; a pair is held out in both orders."""
    while True:
        a, b = rng.randint(0, LARGEST_ADDEND), rng.randint(0, LARGEST_ADDEND)
        if words.split_of(f"sum {min(a, b)} {max(a, b)}") == split:
            return a, b


def _repeat(talk: Dialogue) -> tuple[str, str]:
    talk.topic = ""
    return repeat_of(talk, some_words(talk))


def repeat_of(talk: Dialogue, text: str) -> tuple[str, str]:
    return talk.pick("repeat", word=text)


def some_words(talk: Dialogue) -> str:
    """One to three words to repeat, now and then of the other language."""
    language = talk.language if talk.rng.random() < 0.9 else talk.rng.choice(LANGUAGES)
    count = talk.rng.choices((1, 2, 3), (7, 2, 1))[0]
    chosen = [words.word(talk.rng, language, talk.split) for _ in range(count)]
    return (" " if language == "en" else "").join(chosen)


def _unknown(talk: Dialogue) -> tuple[str, str]:
    talk.topic = ""
    user, answer = small_talk(talk, "unknown")
    if talk.split == "train" and talk.rng.random() < _STRANGE_WORD:
        user = _with_strange_word(talk, user)
    return user, answer


def _with_strange_word(talk: Dialogue, text: str) -> str:
    """The question with one of its words replaced by any other: still out of the model's world.

    So that it is not only the words of the phrasings that it learns to know nothing of.
    """
    found = list(_CONTENT_WORD.finditer(text))
    if not found:
        return text
    start, end = talk.rng.choice(found).span()
    return text[:start] + words.word(talk.rng, talk.language, "train") + text[end:]


def fill(talk: Dialogue, template: str) -> str:
    """Fills the slots of an out-of-world question, at times with made-up words."""
    if "{" not in template:
        return template
    return template.format_map(_Slots(talk))


class _Slots(dict[str, str]):
    """Draws a word for any slot name that a template asks for."""

    def __init__(self, talk: Dialogue) -> None:
        super().__init__()
        self._talk = talk

    def __missing__(self, slot: str) -> str:
        talk, rng = self._talk, self._talk.rng
        if slot in ("a", "b"):
            return str(rng.randint(2, 99))
        if slot == "year":
            return str(rng.randint(1000, 2030))
        if slot in ("made", "Made"):
            return self._made_up(capital=slot == "Made")
        kind = slot.rstrip("2")
        if kind == "country":
            return rng.choice(COUNTRIES).name.to(talk.language)
        if kind == "model":
            if talk.split == "train" and rng.random() < _MADE_UP_MODEL:
                return words.model(rng)
        elif rng.random() < _MADE_UP_SLOT:
            return self._made_up(capital=kind in ("person", "city"))
        return rng.choice(
            words.words_of(talk.language, kind, talk.split) or words.words(talk.language, kind)
        )

    def _made_up(self, *, capital: bool) -> str:
        talk = self._talk
        if talk.language == "zh":
            return words.draw(lambda: words.characters(talk.rng, 2, 3), talk.split)
        made = words.draw(lambda: words.made_up(talk.rng), talk.split)
        return made.capitalize() if capital else made


def _tell(talk: Dialogue) -> tuple[str, str]:
    return tell(talk, _fact_to_tell(talk))


def _fact_to_tell(talk: Dialogue) -> str:
    """Any fact; often one that is easily taken for one that was told, or that one anew.

    To keep the dog's name apart from the friend's is learned only where both were told.
    """
    if talk.facts and talk.rng.random() < _TELL_ALIKE:
        told = talk.rng.choice(list(talk.facts))
        return talk.rng.choice(next(facts for facts in _ALIKE if told in facts))
    return talk.rng.choices(list(FACTS), list(FACTS.values()))[0]


def tell(talk: Dialogue, fact: str) -> tuple[str, str]:
    """The user tells something, or tells it anew, and the model takes note."""
    talk.topic = ""
    value = talk.facts[fact] = value_of(talk, fact)
    return talk.phrase(fact).format(value=value), talk.section(fact).reply.format(value=value)


def value_of(talk: Dialogue, fact: str) -> str:
    """Something to tell: a name, a number or a place, as the fact demands."""
    rng, split = talk.rng, talk.split
    if fact in ("number", "room", "age"):
        low, high = {"number": (1, 4), "room": (1, 3), "age": (1, 2)}[fact]
        return words.number(rng, split, low, high)
    if fact in ("city", "origin"):
        return words.place(rng, talk.language, split)
    if fact == "color":
        return rng.choice(words.words(talk.language, "color"))
    language = talk.language if rng.random() < 0.85 else "en"
    return words.name(rng, language, split)


def _ask(talk: Dialogue) -> tuple[str, str]:
    talk.topic = ""
    told = list(talk.facts)
    if told and talk.rng.random() < 0.93:
        return ask(talk, talk.rng.choices(told, [FACTS[fact] for fact in told])[0])
    if not told and talk.rng.random() < 0.6:
        return _tell(talk)
    return ask(talk, talk.rng.choices(list(FACTS), list(FACTS.values()))[0])


def ask(talk: Dialogue, fact: str) -> tuple[str, str]:
    """The user asks for a fact; it is told as it was told last, or said to be missing."""
    section = talk.section(fact)
    value = talk.facts.get(fact)
    answer = section.missing if value is None else section.answer.format(value=value)
    return talk.phrase(f"ask_{fact}"), answer


_MAKERS: dict[str, Callable[[Dialogue], tuple[str, str]]] = {
    "talk": _talk,
    "capital": _capital,
    "country": _country,
    "continent": _continent,
    "follow": _follow,
    "sum": _sum,
    "repeat": _repeat,
    "unknown": _unknown,
    "tell": _tell,
    "ask": _ask,
}
