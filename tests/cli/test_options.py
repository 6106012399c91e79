"""Options that several commands share, as the loading takes them."""

from __future__ import annotations

import click
import pytest

from sus_local.cli.options import ALL_LAYERS, loading_values


@pytest.mark.parametrize(
    ("text", "layers"), [("auto", "auto"), ("all", ALL_LAYERS), ("20", 20), ("-1", -1)]
)
def test_layers_are_a_word_or_a_number(text: str, layers: object) -> None:
    assert loading_values({"n_gpu_layers": text}) == {"n_gpu_layers": layers}


@pytest.mark.parametrize("text", ["some", "", "--5", "1.5", "²"])
def test_other_layers_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not auto, all or a number"):
        loading_values({"n_gpu_layers": text})
