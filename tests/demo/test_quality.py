"""The bundled demo model answers the fixed held-out set, by way of its Q8_0 GGUF.

The set was made once, by ``tools.demo_model.cases``, and took no part in training or
in choosing between trainings. What it holds at 1000 and 2000 tokens is only reported,
in the model card.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import sus_local

HELD_OUT = Path(__file__).parents[1] / "data" / "demo_heldout.jsonl"
MIN_CASES = 60
BOUNDS = {
    "addition": 0.90,
    "capital": 0.98,
    "follow": 0.95,
    "identity": 0.90,
    "recall_name": 0.95,
    "recall_number": 0.95,
    "recall_place": 0.95,
    "repeat": 0.90,
    "unknown": 0.85,
}
LANGUAGES = ("en", "zh")

# What the shipped checkpoint was measured at where it does not reach its goal. There a skill is an
# expected failure, told with its figure, and it may not become worse.
MEASURED: dict[tuple[str, str], float] = {("identity", "zh"): 0.85}
# Another processor rounds otherwise, and a close decision may fall to the other side.
MARGIN = 0.05

pytestmark = [pytest.mark.model, pytest.mark.slow]

Case = dict[str, Any]
Answered = dict[tuple[str, str], list[tuple[Case, str]]]


def _cases() -> list[Case]:
    lines = HELD_OUT.read_text(encoding="utf-8").splitlines()
    return [case for case in map(json.loads, lines) if case["skill"] in BOUNDS]


@pytest.fixture(scope="module")
def answered(demo_gguf: Path) -> Answered:
    """Every bounded case with the model's answer, by skill and language."""
    greedy = sus_local.SamplingParams(temperature=0, max_tokens=48)
    found: Answered = defaultdict(list)
    with sus_local.load(demo_gguf, kv_disk_bytes=0) as llm:
        for case in _cases():
            text = llm.generate(case["messages"], sampling=greedy).text
            found[case["skill"], case["language"]].append((case, text))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("skill", "bound"), BOUNDS.items())
def test_held_out_answers_match_exactly(
    answered: Answered, skill: str, bound: float, language: str
) -> None:
    asked = answered[skill, language]
    wrong = [
        f"{case['messages'][-1]['content']!r}: {text!r}, not {case['answer']!r}"
        for case, text in asked
        if text != case["answer"]
    ]
    assert len(asked) >= MIN_CASES
    share = 1 - len(wrong) / len(asked)
    goal = MEASURED.get((skill, language), bound + MARGIN) - MARGIN
    assert share >= goal, f"{share:.1%} of {len(asked)}; wrong:\n" + "\n".join(wrong)
    if share < bound:
        pytest.xfail(f"{share:.1%} of {len(asked)}, the goal is {bound:.0%}")
