"""Conversions that are killed at their end, and what they leave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sus_local import checksums, models
from sus_local.convert import Event, Progress, convert, plan

from .checkpoints import leftovers, write_checkpoint

pytestmark = pytest.mark.model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny", num_shards=3, hidden=256, ffn=512, num_layers=4)


class KilledError(BaseException):
    """Ends a conversion as a kill would, as far as the files are concerned."""


@pytest.mark.parametrize(
    ("split_size", "moment"),
    [*((None, moment) for moment in range(4)), *((400_000, moment) for moment in range(6))],
)
def test_killed_while_files_get_their_names_nothing_is_mixed_up(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    split_size: int | None,
    moment: int,
) -> None:
    target, options = tmp_path / "a.gguf", {"types": ["Q4_K_M"], "split_size": split_size}
    convert(str(folder), output=target, **options)
    write_checkpoint(folder, num_shards=3, hidden=256, ffn=512, num_layers=4, seed=1)
    whole = convert(str(folder), output=tmp_path / "whole" / "a.gguf", **options).outputs[0]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", _killing(os.replace, iter(range(moment))))
        with pytest.raises(KilledError):
            convert(str(folder), output=target, **options)
    made = convert(str(folder), output=target, **options).outputs[0]
    assert [path.read_bytes() for path in made.files] == [p.read_bytes() for p in whole.files]
    checksums.verify(models.at_path(made.path))
    assert not [name for name in leftovers(tmp_path) if name.endswith((".partial", ".journal"))]


def test_a_file_that_has_its_name_but_no_manifest_needs_no_more_room(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.gguf"
    with monkeypatch.context() as patch:
        patch.setattr("sus_local.convert.output.write_manifest", _killing(None, iter(())))
        with pytest.raises(KilledError):
            convert(str(folder), types=["Q8_0"], output=target)
    assert leftovers(tmp_path) == {"tiny", "a.gguf", "a.gguf.journal"}
    monkeypatch.setattr("sus_local.convert.estimates.free_bytes", lambda path: 1000)
    assert plan(str(folder), types=["Q8_0"], output=target).fits
    (tmp_path / "a.gguf.journal").unlink()
    assert not plan(str(folder), types=["Q8_0"], output=target).fits


def _killing(call: Any, steps: Iterator[int]) -> Any:
    """``call``, until the steps are used up."""

    def stepwise(*arguments: Any, **options: Any) -> Any:
        if next(steps, None) is None:
            raise KilledError
        return call(*arguments, **options)

    return stepwise


@pytest.mark.parametrize("name", ["k.gguf", "K.GGUF"])
def test_what_another_split_left_is_cleared(folder: Path, tmp_path: Path, name: str) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "convert" and event.tensors > 5:
            raise KilledError

    with pytest.raises(KilledError):
        convert(
            str(folder),
            types=["Q8_0"],
            output=tmp_path / name,
            split_size=400_000,
            progress=stop,
        )
    assert len([left for left in leftovers(tmp_path) if left.endswith(".partial")]) > 1
    convert(str(folder), types=["Q8_0"], output=tmp_path / name)
    assert leftovers(tmp_path) == {"tiny", name, f"{name}.json"}
