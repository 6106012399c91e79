"""Options that several commands share, as the loading takes them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from sus_local.cli.options import ALL_LAYERS, loading_values, sampling_values
from sus_local.errors import GrammarError


@pytest.mark.parametrize(
    ("text", "layers"), [("auto", "auto"), ("all", ALL_LAYERS), ("20", 20), ("-1", -1)]
)
def test_layers_are_a_word_or_a_number(text: str, layers: object) -> None:
    assert loading_values({"n_gpu_layers": text}) == {"n_gpu_layers": layers}


@pytest.mark.parametrize("text", ["some", "", "--5", "1.5", "²"])
def test_other_layers_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not auto, all or a number"):
        loading_values({"n_gpu_layers": text})


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("schema", b"[" * 100_000, "rules is not JSON"),
        ("schema", b"{", "rules is not JSON"),
        ("schema", b"\xe9", "rules is not text"),
        ("grammar", b'root ::= "\xe9"', "rules is not text"),
    ],
)
def test_rules_that_cannot_be_read_are_told(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / "rules"
    path.write_bytes(content)
    with pytest.raises(GrammarError, match=told):
        sampling_values({name: path})


def test_a_byte_order_mark_is_no_part_of_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text("{}", encoding="utf-8-sig")
    assert sampling_values({"schema": path}) == {"json_schema": {}}
