"""Answers that have to obey a grammar or a JSON schema, on the demo model."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sus_local import LLM, Result, SamplingParams, load
from sus_local.backend.json_schema import SchemaRules, SchemaVocabulary
from sus_local.backend.rules import FORBIDDEN, Logits, RuledSampler
from sus_local.errors import GrammarError

pytestmark = pytest.mark.model

DEEP: dict[str, Any] = {"type": "object"}
for _ in range(300):
    DEEP = {"properties": {"x": DEEP}}


@pytest.fixture(scope="module")
def llm(demo_gguf: Path) -> Iterator[LLM]:
    with load(demo_gguf, n_ctx=1024, n_threads=1, kv_disk_bytes=0) as llm:
        yield llm


def say(llm: LLM, **params: Any) -> Result:
    params = {"max_tokens": 100, "seed": 1, "temperature": 1.0, **params}
    question = [{"role": "user", "content": "Tell me something."}]
    return llm.generate(question, sampling=SamplingParams(**params))


# Grammars


def test_a_grammar_is_followed(llm: LLM) -> None:
    grammar = 'root ::= [a-c]+ "-" ("中" | "国")'
    for seed in range(4):
        text = say(llm, seed=seed, grammar=grammar, temperature=2.0).text
        head, dash, tail = text.partition("-")
        assert not set(head) - set("abc")
        assert not dash or tail in ("中", "国", "")


def test_a_json_schema_is_followed(llm: LLM) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"enum": [1, 2, 3]}, "ok": {"type": "boolean"}},
        "required": ["n", "ok"],
        "additionalProperties": False,
    }
    for seed in range(4):
        params = {"json_schema": schema, "max_tokens": 60, "seed": seed}
        found = json.loads(say(llm, **params).text)
        assert found["n"] in (1, 2, 3)
        assert isinstance(found["ok"], bool)


def test_an_empty_schema_means_any_json(llm: LLM) -> None:
    result = say(llm, json_schema={}, max_tokens=200)
    assert result.text.lstrip()[0] == "{"
    if result.finish_reason == "stop":
        json.loads(result.text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grammar": "root ::= ("},
        {"grammar": "other ::= [a]"},
        {"grammar": 'root ::= root "a"'},
        {"json_schema": {"type": "no such type"}},
        {"json_schema": {"$ref": "#/nowhere"}},
        {"json_schema": {"$ref": "#"}},
        {"json_schema": {"$ref": "https://localhost/schema.json"}},
        {"json_schema": {"type": "string", "pattern": "("}},
        {"json_schema": {"enum": []}},
        {"json_schema": {"minimum": object()}},
        {"json_schema": DEEP},
    ],
    ids=str,
)
def test_what_cannot_be_compiled_is_refused(llm: LLM, wrong: dict[str, Any]) -> None:
    with pytest.raises(GrammarError):
        say(llm, **wrong)
    assert say(llm, temperature=0).text


def test_a_bias_against_all_that_a_grammar_allows_does_no_harm(llm: LLM) -> None:
    """llama.cpp ends the process where the token that it has to take is against the grammar."""
    against = {i: -math.inf for i in range(llm._info.n_vocab) if "y" in llm.detokenize([i])}
    result = say(llm, grammar='root ::= "yes"', logit_bias=against)
    assert result.text == "yes"


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
        "root ::= [z-a]+",
        "root ::= <[5]> <[999999]>",
        'root ::= "\ud800"',
    ],
    ids=["deep", "empty class", "no such token", "half a character"],
)
def test_a_grammar_that_llama_cpp_would_not_survive_is_refused(llm: LLM, grammar: str) -> None:
    with pytest.raises(GrammarError):
        say(llm, grammar=grammar)
    assert say(llm).text


def test_brackets_that_open_no_group_may_be_many(llm: LLM) -> None:
    result = say(llm, grammar=f'root ::= "{"(" * 300}" [{"(" * 300}]', max_tokens=400)
    assert result.text == "(" * 301


def test_going_on_behind_the_end_of_a_grammar_says_nothing_more(llm: LLM) -> None:
    for rules in ({"grammar": 'root ::= "yes"'}, {"json_schema": {"const": 7}}):
        result = say(llm, **rules, ignore_eos=True, max_tokens=12)
        assert (result.text, result.finish_reason) in [("yes", "length"), ("7", "length")]


def test_rules_leave_the_log_probabilities_as_the_model_has_them(llm: LLM) -> None:
    free = say(llm, temperature=0, max_tokens=1, logprobs=True, top_logprobs=3)
    ruled = say(llm, temperature=0, max_tokens=1, logprobs=True, top_logprobs=3, grammar=ANY)
    assert free.logprobs == ruled.logprobs


ANY = "root ::= [^\\x00]*"


def test_answers_under_other_rules_run_at_once(llm: LLM) -> None:
    streams = [
        llm.stream("Say: ", sampling=SamplingParams(grammar=f'root ::= "{word}"{{3}}', seed=1))
        for word in ("one", "two", "three")
    ]
    assert [stream.result.text for stream in streams] == ["oneoneone", "twotwotwo", "three" * 3]


# Schemas

NODE = {
    "type": "object",
    "properties": {"of": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
    "required": ["of"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 7}, "[567]"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, r"0\.\d*|1|1\.0*|\d.*[eE]-\d+"),
        ({"type": "string", "maxLength": 3}, '".{0,3}"'),
        ({"type": "string", "pattern": "^[ab]{2,4}$"}, '"[ab]{2,4}"'),
        ({"type": "string", "format": "date"}, r'"\d{4}-\d\d-\d\d"'),
        ({"type": ["null", "boolean"]}, "null|true|false"),
        ({"enum": ["中", 1.5, [None]]}, r'"(中|\\u4e2d)"|1\.5|\[null\]'),
        ({"$defs": {"node": NODE}, "$ref": "#/$defs/node"}, r'[{}\[\]":, of]+'),
        (
            {"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 3},
            r"\[1, ?1(, ?1)?\]",
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"const": 1}}, "required": ["a"]},
                    {"required": ["a"]},
                ]
            },
            r'\{ ?"a" ?: ?1.*',
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_what_a_schema_says_is_followed(
    llm: LLM, schema: dict[str, Any], pattern: str, temperature: float
) -> None:
    for seed in range(3):
        result = say(llm, json_schema=schema, temperature=temperature, seed=seed)
        assert re.fullmatch(pattern, result.text, re.DOTALL), result.text
        if result.finish_reason == "stop":
            json.loads(result.text)


def test_a_long_text_may_be_asked_for(llm: LLM) -> None:
    result = say(llm, json_schema={"type": "string", "minLength": 20, "maxLength": 100_000})
    assert result.text.startswith('"')
    assert len(result.text) > 20


def test_properties_without_a_type_are_those_of_an_object(llm: LLM) -> None:
    schema = {"properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
    assert say(llm, json_schema=schema).text.startswith("{")


def test_an_object_has_the_members_that_are_named_and_no_other_ones(llm: LLM) -> None:
    schema = {"properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    for seed in range(3):
        found = json.loads(say(llm, json_schema=schema, temperature=2.0, seed=seed).text)
        assert list(found) == ["n"]
    open_object = {**schema, "additionalProperties": {"type": "integer"}}
    begun = say(llm, json_schema=open_object, logit_bias={llm.tokenize(",")[-1]: 50.0})
    assert begun.text.startswith(('{"n": 1,', '{"n": 2,', '{"n":1,', '{"n":2,'))


@pytest.mark.parametrize(
    "parts",
    [
        {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]},
        {"$ref": "#/$defs/a", "properties": {"b": {"const": 2}}, "required": ["b"]},
        {"properties": {"a": {"const": 1}}, "required": ["a"], "anyOf": [{"$ref": "#/$defs/b"}]},
    ],
    ids=json.dumps,
)
def test_parts_of_one_object_do_not_exclude_each_other(llm: LLM, parts: dict[str, Any]) -> None:
    definitions = {
        "a": {"properties": {"a": {"const": 1}}, "required": ["a"]},
        "b": {"properties": {"b": {"const": 2}}, "required": ["b"]},
    }
    text = say(llm, json_schema={"$defs": definitions, **parts}, temperature=0).text
    assert re.match(r'\{"[ab]": ?[12], ?"[ab]": ?[12]', text), text


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ('root ::= "a', "unexpected end of input"),
        ('other ::= "a"', "root"),
        ("root ::= other", "Undefined rule identifier 'other'"),
        ('root ::= root "a" | "b"', "left recursion"),
    ],
)
def test_what_is_wrong_with_a_grammar_is_told_and_nothing_is_written(
    llm: LLM, grammar: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(GrammarError, match=reason):
        say(llm, grammar=grammar)
    assert capfd.readouterr() == ("", "")


def test_what_a_schema_leaves_no_choice_of_is_not_sampled(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("first_name", "favourite_colour", "is_married")
    schema = {
        "properties": {names[0]: {"enum": ["Ann", "Bo"]}, names[1]: {"enum": ["red", "blue"]}}
        | {names[2]: {"type": "boolean"}},
        "required": list(names),
    }
    batches: list[int] = []
    decode = llm._backend.decode
    monkeypatch.setattr(llm._backend, "decode", lambda s: (batches.append(1), decode(s)))
    quick = say(llm, json_schema=schema, temperature=0)
    num_quick = len(batches)
    slow = say(llm, json_schema=schema, temperature=0, logprobs=True)
    assert quick.token_ids == slow.token_ids
    assert list(json.loads(quick.text)) == list(names)
    assert num_quick * 2 < len(batches) - num_quick
    assert len(slow.logprobs) == len(slow.token_ids)


def test_penalties_see_what_was_forced() -> None:
    class Forcing:
        def forbid(self, logits: Logits) -> None:
            logits[2:] = FORBIDDEN

        def allows(self, token_id: int) -> bool:
            return token_id < 2

        def accept(self, token_id: int) -> None:
            pass

        def forced(self) -> list[int]:
            return [3, 4]

        def close(self) -> None:
            pass

    class Seeing:
        def __init__(self) -> None:
            self.seen: list[int] = []

        def sample(self, row: int) -> int:
            return 1

        def accept(self, token_id: int) -> None:
            self.seen.append(token_id)

        def forced(self) -> list[int]:
            return []

        def close(self) -> None:
            pass

    logits, seeing = np.ones(8, np.float32), Seeing()
    sampler = RuledSampler(seeing, Forcing(), lambda row: logits)
    assert (sampler.sample(0), sampler.forced(), seeing.seen) == (1, [3, 4], [3, 4])
    assert logits.tolist() == [1.0] * 8


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(grammar='root ::= ("a" | "中")+ "." | [0-9]+ " " root'),
        SamplingParams(json_schema={"properties": {"n": {"type": "integer"}}, "required": ["n"]}),
    ],
    ids=["grammar", "schema"],
)
def test_the_best_token_is_the_same_whether_others_are_looked_at(
    llm: LLM, params: SamplingParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens that may come are often the best ones, so that both ways are taken."""
    backend: Any = llm._backend
    random, logits = np.random.default_rng(1), np.zeros(llm._info.n_vocab, np.float32)
    monkeypatch.setattr(backend._samplers, "_logits", lambda row: logits)
    greedy = replace(params, temperature=0)
    quick, thorough = (backend.sampler(greedy, seed=1, past_token_ids=()) for _ in range(2))
    assert quick._takes_best
    thorough._takes_best = False
    likely, found = llm.tokenize('aa中中.{"n": 123 } 12 3'), []
    with contextlib.closing(quick), contextlib.closing(thorough):
        while len(found) < 60 and llm.eos not in found:
            logits[:] = random.normal(size=len(logits))
            logits[likely] += random.normal(3, 2, size=len(likely))
            found.append(quick.sample(0))
            assert thorough.sample(0) == found[-1]
            assert quick.forced() == thorough.forced()
    assert len(found) > 3


@pytest.mark.parametrize("space", [b"", b" "], ids=["as it is", "a space before every text"])
def test_what_a_schema_forces_is_spelled_as_within_a_text(space: bytes) -> None:
    pieces = [b' {"', b' "', b"name", b" name", b'{"', b'": ']
    tokens = [b"", b"", b"", *(bytes([byte]) for byte in range(256)), *pieces]

    def tokenize(text: str) -> list[int]:
        left, found = space + text.encode(), []
        while left:
            fitting = [index for index, token in enumerate(tokens) if token == left[: len(token)]]
            found.append(max(fitting, key=lambda index: len(tokens[index])))
            left = left[len(tokens[found[-1]]) :]
        return found

    vocabulary = SchemaVocabulary(len(tokens), tokens.__getitem__, tokenize, 2)
    rules = SchemaRules(vocabulary, {"properties": {"name": {"const": "Bo"}}, "required": ["name"]})
    said: list[int] = []
    while 2 not in said:
        logits = np.zeros(len(tokens), np.float32)
        rules.forbid(logits)
        said.append(int(logits.argmax()))
        rules.accept(said[-1])
        said += rules.forced()
    assert b"".join(tokens[token_id] for token_id in said) in (b'{"name": "Bo"}', b'{"name":"Bo"}')
