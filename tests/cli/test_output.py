"""What is written to standard output for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sus_local.cli.output import emit_json

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": "中\U0001f642"}, {"a": "中\U0001f642"}),
        ({"a": "\ud800"}, {"a": "\ud800"}),
        ({"a": [NAN, 1.5, (INFINITE, -INFINITE)]}, {"a": [None, 1.5, [None, None]]}),
        ({"a": {"b": NAN}, "c": "\udfff"}, {"a": {"b": None}, "c": "\udfff"}),
    ],
)
def test_every_value_is_json_on_one_line(
    capsys: pytest.CaptureFixture[str], value: Any, read: Any
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    emit_json(value)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.encode("utf-8")
    assert json.loads(out, parse_constant=refuse) == read
