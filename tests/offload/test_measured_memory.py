"""The ledger against what llama.cpp really takes on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sus_local.backend.ggml_devices import Device, has_amx
from sus_local.offload.gguf_facts import read_facts
from sus_local.offload.ledger import ContextShape
from sus_local.offload.placement import Placement, Placer

MEASURE = Path(__file__).with_name("context_memory.py")
CPU = Device("CPU", "", "CPU", "cpu", 1 << 40, 1 << 40, repacks=not has_amx())
WIDE = {
    "n_layer": 3, "n_embd": 2048, "n_ff": 5632, "n_head": 32, "n_head_kv": 4, "n_vocab": 64000
}  # fmt: skip
DEEP = {
    "n_layer": 12, "n_embd": 1024, "n_ff": 2816, "n_head": 8, "n_head_kv": 8, "n_vocab": 8000
}  # fmt: skip
TIED = {
    "n_layer": 6, "n_embd": 1024, "n_ff": 3072, "n_head": 16, "n_head_kv": 2, "n_vocab": 128256,
    "tied": True,
}  # fmt: skip

CASES = [
    pytest.param(WIDE, ContextShape(n_ctx=2048), id="wide"),
    pytest.param(WIDE, ContextShape(n_ctx=8192, flash_attn=False, n_ubatch=128), id="scores"),
    pytest.param(WIDE, ContextShape(n_ctx=4000, max_sequences=8, n_outputs_max=8), id="sequences"),
    pytest.param(DEEP, ContextShape(n_ctx=8192), id="deep"),
    pytest.param(DEEP, ContextShape(n_ctx=8192, kv_type="q8_0", n_ubatch=256), id="q8_0"),
    pytest.param(DEEP, ContextShape(n_ctx=1024, flash_attn=False), id="short scores"),
    pytest.param(TIED, ContextShape(n_ctx=4096, n_outputs_max=1), id="tied"),
]


@pytest.mark.model
@pytest.mark.parametrize(("model", "shape"), CASES)
def test_prediction_is_within_five_percent_of_what_llama_cpp_reserves(
    make_model: Callable[..., Path], model: dict[str, Any], shape: ContextShape
) -> None:
    path = make_model(**model)
    predicted = Placer(read_facts(path), shape, (CPU,)).place(0)
    measured = _measure(path, shape)

    weights = _part(predicted, "weights", "embedding", "output matrix")
    assert weights == pytest.approx(measured["model"], rel=0.001)
    assert _part(predicted, "KV") == pytest.approx(measured["KV"], rel=0.001)
    assert _part(predicted, "compute") == pytest.approx(measured["compute"], rel=0.1)
    reserved = sum(measured[name] for name in ("model", "KV", "compute", "output"))
    assert predicted.num_bytes(CPU) == pytest.approx(reserved, rel=0.05)


@pytest.mark.model
@pytest.mark.parametrize(
    ("model", "shape"),
    [
        pytest.param(WIDE, ContextShape(n_ctx=4096, n_outputs_max=1), id="wide"),
        pytest.param(DEEP, ContextShape(n_ctx=8192, n_outputs_max=1), id="deep"),
    ],
)
def test_prediction_is_within_five_percent_of_the_process_memory_that_a_batch_takes(
    make_model: Callable[..., Path], model: dict[str, Any], shape: ContextShape
) -> None:
    path = make_model(**model)
    predicted = Placer(read_facts(path), shape, (CPU,)).place(0)

    assert predicted.num_bytes(CPU) == pytest.approx(_measure(path, shape)["rss"], rel=0.05)


def _measure(path: Path, shape: ContextShape) -> dict[str, int]:
    command = [sys.executable, str(MEASURE), str(path), json.dumps(asdict(shape))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    measured: dict[str, int] = json.loads(done.stdout)
    return measured


def _part(placement: Placement, *names: str) -> int:
    return sum(line.num_bytes for line in placement.lines if line.what.startswith(names))
