"""What the engine is told of a model, where it follows from how it was loaded."""

from __future__ import annotations

import pytest

from sus_local.backend import model_info
from sus_local.backend.options import LoadOptions

LARGE = 20 << 30


@pytest.mark.parametrize(
    ("options", "uses_gpu", "draft_max"),
    [
        (LoadOptions(flash_attn=False), False, 15),
        (LoadOptions(flash_attn=True), False, 0),
        (LoadOptions(), False, 0),  # llama.cpp takes flash attention where it can
        (LoadOptions(n_gpu_layers=60), True, 15),
        (LoadOptions(draft_max=5), False, 5),
        (LoadOptions(flash_attn=False, draft_max=0), False, 0),
    ],
)
def test_a_large_model_guesses_where_a_batch_is_cheap(
    monkeypatch: pytest.MonkeyPatch, options: LoadOptions, uses_gpu: bool, draft_max: int
) -> None:
    monkeypatch.setattr(model_info.c, "llama_model_size", lambda model: LARGE)
    monkeypatch.setattr(model_info, "_uses_gpu", lambda options: uses_gpu)
    assert model_info._draft_max(None, options) == draft_max
