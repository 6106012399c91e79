"""The phrasings of every skill, read from the files of ``text``.

A section names a skill. Its lines are what a user may say; a line that begins with
``=`` is the answer, ``+`` the reply to a fact that is told, ``?`` the answer when the
fact was never told. Two in sixteen phrasings of every section are kept out of training.
Those of ``text/trained.*.txt`` are all for training: they were added after the held-out questions
had been made, by somebody who had not seen them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from tools.demo_model.words import TEXT, Split
from tools.demo_model.world import Language

_STRIDE = 16
_HELD_OUT: dict[int, Split] = {14: "dev", 12: "final"}
_MARKS = {"= ": "answer", "+ ": "reply", "? ": "missing"}


@dataclass
class Section:
    """One skill in one language; the templates hold slots such as ``{country}``."""

    answer: str = ""
    reply: str = ""
    missing: str = ""
    templates: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)

    def of(self, split: Split) -> list[str]:
        """The phrasings of a split; a list too short to hold any out serves them all."""
        chosen = [line for i, line in enumerate(self.templates) if _owner(i) == split]
        return (chosen or self.templates) + (self.trained if split == "train" else [])

    def add(self, line: str) -> None:
        part = _MARKS.get(line[:2])
        if part:
            setattr(self, part, line[2:])
        else:
            self.templates.append(line)


def _owner(index: int) -> Split:
    return _HELD_OUT.get(index % _STRIDE, "train")


@cache
def sections(language: Language) -> dict[str, Section]:
    """Every section of a language by its name, ``unknown`` among them."""
    unknown = Section(answer=UNKNOWN[language], templates=_lines(f"unknown.{language}.txt"))
    found = {"unknown": unknown}
    for name, line in _by_section(f"phrases.{language}.txt"):
        found.setdefault(name, Section()).add(line)
    for name, line in _by_section(f"trained.{language}.txt"):
        found[name].trained.append(line)
    return found


def _by_section(name: str) -> Iterator[tuple[str, str]]:
    """Every line of a file, with the section it stands in."""
    section = ""
    for line in _lines(name):
        if line.startswith("["):
            section = line.strip("[]")
        else:
            yield section, line


def _lines(name: str) -> list[str]:
    text = (TEXT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


UNKNOWN: dict[Language, str] = {
    "en": "I do not know that. I am only a tiny demo model.",
    "zh": "这个我不知道，我只是一个小小的演示模型。",
}
