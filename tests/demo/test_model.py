"""The demo model as it is trained, where torch is installed."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="torch is for training only")


def test_a_model_made_deeper_computes_the_same() -> None:
    from tools.demo_model.model import DemoModel, Shape, deeper

    shape = replace(Shape(), vocabulary=64, hidden=32, ffn=48, heads=2, kv_heads=1)
    for layers, more in ((4, 6), (4, 7), (3, 6)):
        model = DemoModel(replace(shape, layers=layers))
        grown = deeper(model, more)
        tokens = torch.arange(3, 40)[None]
        assert torch.equal(model(tokens), grown(tokens))
        assert len(grown.model.layers) == more
