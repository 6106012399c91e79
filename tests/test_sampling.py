"""Sampling parameters of a wrong kind are refused at once, by their name."""

from __future__ import annotations

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
        ("seed", -1, "seed is -1, it has to be from 0 to 4294967295"),
        ("stop", None, "stop has None, it takes texts"),
        ("stop", [1], "stop has 1, it takes texts"),
        ("stop_token_ids", ["a"], "stop_token_ids has 'a', it takes token ids"),
        ("dry_sequence_breakers", [1], "dry_sequence_breakers has 1, it takes texts"),
        ("logit_bias", [1], "logit_bias is [1], it maps token ids to numbers"),
        ("logit_bias", {5: "x"}, "logit_bias has 5: 'x', expected a token id and a number"),
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
    with pytest.raises(SamplingError, match=r"top_k is 2\.5, it has to be a whole number"):
        SamplingParams(top_k=np.float64(2.5))  # type: ignore[arg-type]
    with pytest.raises(SamplingError, match="temperature is -1"):
        SamplingParams(temperature=np.float32(-1))  # type: ignore[arg-type]
