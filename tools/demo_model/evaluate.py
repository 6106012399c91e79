"""Asks the demo model the held-out cases and counts the answers that match exactly.

    python -m tools.demo_model.evaluate --cases tests/data/demo_heldout.jsonl

The checkpoint is converted and asked by sus-local itself, as a user would.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import sus_local
from sus_local.convert import convert
from sus_local.demo.model import FILE_TYPE, checkpoint
from tools.demo_model import cases
from tools.demo_model.cases import Case

_GREEDY = sus_local.SamplingParams(temperature=0, max_tokens=48)


@dataclass(frozen=True)
class Answered:
    """A case, and what the model answered."""

    case: Case
    text: str

    @property
    def right(self) -> bool:
        return self.text == self.case.answer


def answers(folder: Path, file_type: str, asked: list[Case]) -> Iterator[Answered]:
    """What the checkpoint in ``folder`` answers to each case, by way of a GGUF of ``file_type``."""
    with TemporaryDirectory() as temporary:
        gguf = Path(temporary) / "demo.gguf"
        convert(str(folder), types=[file_type], output=gguf)
        with sus_local.load(gguf, kv_disk_bytes=0) as llm:
            for case in asked:
                yield Answered(case, llm.generate(case.messages, sampling=_GREEDY).text)


def table(found: list[Answered]) -> str:
    """A Markdown table of exact matches: one skill a row, one language a column."""
    asked = Counter((one.case.skill, one.case.language) for one in found)
    right = Counter((one.case.skill, one.case.language) for one in found if one.right)
    rows = ["| skill | English | Chinese |", "|---|---|---|"]
    for skill in dict.fromkeys(one.case.skill for one in found):
        scores = (
            _score(right[skill, language], asked[skill, language]) for language in ("en", "zh")
        )
        rows.append(f"| {skill} | {' | '.join(scores)} |")
    return "\n".join(rows)


def _score(right: int, asked: int) -> str:
    return f"{right}/{asked} ({right / asked:.1%})" if asked else "–"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=checkpoint())
    parser.add_argument("--type", default=FILE_TYPE, help=f"of the GGUF; {FILE_TYPE} unless told")
    parser.add_argument("--skill", default="", help="only skills that begin so")
    parser.add_argument("--wrong", action="store_true", help="show the wrong answers")
    arguments = parser.parse_args()
    asked = [case for case in cases.read(arguments.cases) if case.skill.startswith(arguments.skill)]
    found = list(answers(arguments.checkpoint, arguments.type, asked))
    for one in found:
        if arguments.wrong and not one.right:
            question = one.case.messages[-1]["content"]
            print(f"{one.case.skill}: {question} => {one.text} (right: {one.case.answer})")
    print(table(found))
    print("\nWhere the phrasing, too, is new:\n")
    print(table([one for one in found if one.case.new_phrasing]))


if __name__ == "__main__":
    main()
