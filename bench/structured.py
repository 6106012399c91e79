"""Answers that have to obey a JSON schema."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from figures import Figure, Sample
from sides import LlamaServer, SusLocal
from throughput import token_ids

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "first_name": {"type": "string", "maxLength": 12},
        "favourite_colour": {"enum": ["red", "green", "blue"]},
        "number_of_children": {"type": "integer", "minimum": 0, "maximum": 9},
        "is_married": {"type": "boolean"},
    },
    "required": ["first_name", "favourite_colour", "number_of_children", "is_married"],
    "additionalProperties": False,
}
NUM_PROMPT, NUM_MOST = 15, 1000


def by_schema(ours: SusLocal, server: LlamaServer, rounds: int, n_vocab: int) -> Iterator[Figure]:
    """Seconds for the description of a person."""
    sample = Sample()
    for number in range(rounds + 1):
        prompt = token_ids(NUM_PROMPT, 11_000 + number, n_vocab)
        sample.add(_seconds(ours, prompt), _seconds(server, prompt))
    name = "an answer by a JSON schema"
    yield sample.without_first().figure(name, "s", server.name, 1.0, "<=")


def _seconds(side: SusLocal | LlamaServer, prompt: list[int]) -> float:
    began = time.perf_counter()
    text = side.obey(prompt, SCHEMA, NUM_MOST)
    elapsed = time.perf_counter() - began
    if set(json.loads(text)) != set(SCHEMA["required"]):
        raise SystemExit(f"{side.name} did not obey: {text}")
    return elapsed
