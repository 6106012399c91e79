"""llama.cpp's knobs: what would end the process is refused before."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sus_local.backend.options import LoadOptions, default_draft_max
from sus_local.errors import RequestError


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_threads": 100_000}, "n_threads is 100000, it has to be from 1 to 512"),
        ({"n_threads": -4}, "n_threads is -4, it has to be from 1 to 512"),
        ({"n_threads_batch": 0}, "n_threads_batch is 0, it has to be from 1 to 512"),
        ({"n_batch": 0}, "n_batch is 0, it has to be from 1 to 2147483647"),
        ({"n_ubatch": -1}, "n_ubatch is -1, it has to be from 1 to 2147483647"),
        ({"max_sequences": 0}, "max_sequences is 0, it has to be from 1 to 255"),
        ({"max_sequences": 256}, "max_sequences is 256, it has to be from 1 to 255"),
        ({"max_sequences": 2.5}, "max_sequences is 2.5, it has to be a whole number"),
        ({"max_sequences": None}, "max_sequences is None, it has to be a whole number"),
        ({"draft_max": 32}, "draft_max is 32, it has to be from 0 to 31"),
        ({"n_ctx": "512"}, "n_ctx is '512', it has to be a whole number"),
        ({"n_ctx": 512.5}, "n_ctx is 512.5, it has to be a whole number"),
        ({"n_threads": "2"}, "n_threads is '2', it has to be a whole number"),
        ({"n_gpu_layers": -3}, "n_gpu_layers is -3, it has to be from -1 to 2147483647"),
        ({"flash_attn": "yes"}, "flash_attn is 'yes', it has to be True or False"),
        ({"use_mmap": None}, "use_mmap is None, it has to be True or False"),
        ({"rope_freq_base": -1.0}, "rope_freq_base is -1.0, it has to be from 0 to 1e+30"),
        ({"rope_freq_scale": math.nan}, "rope_freq_scale is nan, it has to be from 0 to 1e+30"),
        ({"tensor_split": (1, math.nan)}, "tensor_split is nan, it has to be from 0 to 1e+30"),
    ],
)
def test_a_number_out_of_range_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        LoadOptions(**wrong)
    assert caught.value.message == said


def test_guesses_are_made_where_reading_weights_is_the_cost() -> None:
    small, large = 14 << 20, 20 << 30
    assert default_draft_max(small, slow_batches=False) == 0
    assert default_draft_max(large, slow_batches=False) == 15
    assert default_draft_max(large, slow_batches=True) == 0


def test_what_is_left_open_is_in_range() -> None:
    assert LoadOptions().n_threads is None
    assert LoadOptions(n_threads=512, max_sequences=255).n_threads == 512


def test_numbers_of_numpy_become_pythons_own() -> None:
    import numpy as np

    options = LoadOptions(n_ctx=np.int64(512), rope_freq_base=np.float32(5))  # type: ignore[arg-type]
    assert [type(each) for each in (options.n_ctx, options.rope_freq_base)] == [int, float]
