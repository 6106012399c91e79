"""llama.cpp's knobs: what would end the process is refused before."""

from __future__ import annotations

from typing import Any

import pytest

from sus_local.backend.options import LoadOptions
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
    ],
)
def test_a_number_out_of_range_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        LoadOptions(**wrong)
    assert caught.value.message == said


def test_what_is_left_open_is_in_range() -> None:
    assert LoadOptions().n_threads is None
    assert LoadOptions(n_threads=512, max_sequences=255).n_threads == 512
