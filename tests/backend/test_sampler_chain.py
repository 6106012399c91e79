"""What a sampler chain is made of."""

from __future__ import annotations

import math

import pytest

from sus_local.backend.sampler_chain import check_logit_bias
from sus_local.errors import SamplingError


@pytest.mark.parametrize("amount", [-math.inf, -1e300])
def test_a_bias_that_forbids_every_token_is_refused(amount: float) -> None:
    check_logit_bias(4, dict.fromkeys(range(3), amount))
    check_logit_bias(4, {**dict.fromkeys(range(3), amount), 3: -5.0})
    with pytest.raises(SamplingError, match="logit_bias forbids all 4 tokens") as caught:
        check_logit_bias(4, dict.fromkeys(range(4), amount))
    assert caught.value.n_vocab == 4


@pytest.mark.parametrize("token_id", [-1, 4])
def test_a_bias_for_a_token_that_there_is_not_is_refused(token_id: int) -> None:
    with pytest.raises(SamplingError, match=f"logit_bias names token {token_id}") as caught:
        check_logit_bias(4, {token_id: 1.0})
    assert caught.value.token_id == token_id
