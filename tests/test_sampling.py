"""Sampling parameters of a wrong kind are refused at once, by their name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sus_local.errors import SamplingError
from sus_local.sampling import SamplingParams


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", "hot", "temperature is 'hot', it has to be a number"),
        ("max_tokens", 1.5, "max_tokens is 1.5, it has to be a whole number"),
        ("seed", 1.5, "seed is 1.5, it has to be a whole number"),
        ("top_k", 2.5, "top_k is 2.5, it has to be a whole number"),
        ("n", 1.5, "n is 1.5, it has to be a whole number"),
        ("penalty_last_n", 1.5, "penalty_last_n is 1.5, it has to be a whole number"),
        ("seed", -1, "seed is -1, it has to be from 0 to 4294967294"),
        ("seed", 2**32 - 1, "seed is 4294967295, it has to be from 0 to 4294967294"),
        ("stop", None, "stop has None, it takes texts"),
        ("stop", [1], "stop has 1, it takes texts"),
        ("stop_token_ids", ["a"], "stop_token_ids has 'a', it takes token ids"),
        ("dry_sequence_breakers", [1], "dry_sequence_breakers has 1, it takes texts"),
        ("logit_bias", [1], "logit_bias is [1], it maps token ids to numbers"),
        ("logit_bias", {5: "x"}, "logit_bias has 5: 'x', expected a token id and a number"),
        ("logit_bias", {5: math.nan}, "logit_bias has 5: nan, expected a token id and a number"),
        ("stop", ("a", ""), "stop text 1 is empty"),
        ("grammar", 5, "grammar is 5, it has to be the text of a grammar"),
        ("grammar", " ", "grammar is ' ', it has to be the text of a grammar"),
        ("json_schema", "{}", "json_schema is '{}', it has to be a mapping"),
        ("json_schema", True, "json_schema is True, it has to be a mapping"),
        ("top_logprobs", 5, "top_logprobs is 5, and logprobs is off"),
        (
            "dry_sequence_breakers",
            "\ud800",
            "dry_sequence_breakers has '\\ud800', which is no text",
        ),
    ],
)
def test_a_wrong_kind_is_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(SamplingError) as caught:
        SamplingParams(**{name: value})
    assert caught.value.message == said


def test_one_text_or_token_stands_for_a_list() -> None:
    params = SamplingParams(stop="a", stop_token_ids=[7], dry_sequence_breakers=["b", "c"])
    assert (params.stop, params.stop_token_ids) == (("a",), (7,))
    assert params.dry_sequence_breakers == ("b", "c")


def test_numbers_of_numpy_are_numbers() -> None:
    import numpy as np

    params = SamplingParams(temperature=np.float32(0.5), top_k=np.int64(7), max_tokens=np.uint8(3))  # type: ignore[arg-type]
    assert params == SamplingParams(temperature=0.5, top_k=7, max_tokens=3)
    assert [type(value) for value in (params.temperature, params.top_k)] == [float, int]
    params = SamplingParams(stop_token_ids=np.array([5]), logit_bias={np.int64(5): np.float32(-1)})  # type: ignore[arg-type,dict-item]
    assert params == SamplingParams(stop_token_ids=(5,), logit_bias={5: -1.0})
    assert type(next(iter(params.logit_bias))) is int
    with pytest.raises(SamplingError, match=r"top_k is 2\.5, it has to be a whole number"):
        SamplingParams(top_k=np.float64(2.5))  # type: ignore[arg-type]
    with pytest.raises(SamplingError, match="temperature is -1"):
        SamplingParams(temperature=np.float32(-1))  # type: ignore[arg-type]


def test_a_whole_number_may_be_of_any_size_and_others_are_those_of_a_float() -> None:
    assert SamplingParams(top_k=10**400).top_k == 10**400
    with pytest.raises(SamplingError, match="temperature is 1000"):
        SamplingParams(temperature=10**400)


@pytest.mark.parametrize(
    ("temperature", "greedy"), [(None, False), (0, True), (1e-40, True), (1e-6, False), (1, False)]
)
def test_below_what_a_float_can_tell_the_most_likely_token_is_taken(
    temperature: float | None, greedy: bool
) -> None:
    assert SamplingParams(temperature=temperature).greedy is greedy
