"""Conversions where memory and disk are small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sus_local.convert import convert, plan
from sus_local.errors import DiskFullError

from .checkpoints import tensor_shapes, with_header, write_checkpoint

pytestmark = [pytest.mark.model, pytest.mark.slow]

_LIMITED = """
import resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from sus_local.cli.main import main
main(sys.argv[2:])
"""


def write_sparse_checkpoint(folder: Path, *, hidden: int, vocab_size: int) -> int:
    """One layer of a large model, its weights a hole in the file; their bytes."""
    write_checkpoint(
        folder,
        num_layers=1,
        hidden=32,
        num_heads=4,
        config={
            "hidden_size": hidden,
            "intermediate_size": 1024,
            "num_attention_heads": hidden // 128,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": vocab_size,
        },
    )
    shapes = tensor_shapes(
        num_layers=1, hidden=hidden, ffn=1024, rows_q=hidden, rows_kv=1024, vocab_size=vocab_size
    )
    header: dict[str, Any] = {}
    place = 0
    for name, shape in shapes.items():
        size = 2
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place, place + size]}
        place += size
    text = with_header(header)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(text)
        file.truncate(len(text) + place)
    return place


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are of Linux")
def test_tensors_of_a_34b_model_go_through_in_little_memory(tmp_path: Path) -> None:
    size = write_sparse_checkpoint(tmp_path / "in", hidden=7168, vocab_size=64000)
    assert size > 2_000_000_000
    target = tmp_path / "a.gguf"
    command = ["convert", str(tmp_path / "in"), "-q", "Q8_0", "-o", str(target), "--json"]
    # The map of the source counts as address space, though it is not in memory.
    limit = size + (1500 << 20)
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(limit), *command], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    planned = plan(str(tmp_path / "in"), types=["Q8_0"], output=target)
    assert report["peak_rss_bytes"] < 500 << 20
    assert report["peak_rss_bytes"] < planned.peak_memory_bytes < 1500 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up_stops_it_and_more_room_lets_it_go_on(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "in", hidden=256, ffn=512, num_layers=4)
    target = small_disk / "a.gguf"
    with pytest.raises(DiskFullError, match="needs"):
        convert(str(folder), types=["Q8_0"], output=target)
    assert not os.listdir(small_disk)
    with monkeypatch.context() as patch:
        patch.setattr("sus_local.convert.estimates.free_bytes", lambda path: 1 << 40)
        with pytest.raises(DiskFullError, match="no space left"):
            convert(str(folder), types=["Q8_0"], output=target)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    made = convert(str(folder), types=["Q8_0"], output=target).outputs[0]
    whole = convert(str(folder), types=["Q8_0"], output=tmp_path / "whole.gguf").outputs[0]
    assert made.sha256 == whole.sha256
