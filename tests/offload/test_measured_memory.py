"""The ledger against what llama.cpp really takes, on the CPU and on a GPU where there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sus_local.backend.ggml_devices import Device, has_amx
from sus_local.offload.devices import find_devices
from sus_local.offload.gguf_facts import read_facts
from sus_local.offload.ledger import ContextShape
from sus_local.offload.placement import Placement, Placer, taken_bytes, usable_gpus

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
SUS_CHAT = {
    "n_layer": 60, "n_embd": 7168, "n_ff": 20480, "n_head": 56, "n_head_kv": 8, "n_vocab": 64000
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
    measured = _reserved(_measure(path, shape))

    weights = _part(predicted, "weights", "embedding", "output matrix")
    assert weights == pytest.approx(measured["model"], rel=0.001)
    assert _part(predicted, "KV") == pytest.approx(measured["KV"], rel=0.001)
    assert _part(predicted, "compute") == pytest.approx(measured["compute"], rel=0.1)
    assert held(predicted) == pytest.approx(sum(measured.values()), rel=0.05)


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

    assert held(predicted) == pytest.approx(_measure(path, shape)["rss"], rel=0.05)


# A GPU may hold at most 128 MiB in one buffer; what is larger then stays in main memory.
SMALL_TIED = {**TIED, "n_vocab": 32000}

GPU_CASES = [
    pytest.param(WIDE, ContextShape(n_ctx=2048), 99, True, id="all"),
    pytest.param(DEEP, ContextShape(n_ctx=2048, flash_attn=False), 99, True, id="scores"),
    pytest.param(WIDE, ContextShape(n_ctx=4096), 99, False, id="KV in main memory"),
    pytest.param(DEEP, ContextShape(n_ctx=8192, max_sequences=8, n_outputs_max=8), 99, True,
                 id="sequences"),
    pytest.param(DEEP, ContextShape(n_ctx=8192, kv_type="q8_0"), 99, True, id="q8_0"),
    pytest.param(DEEP, ContextShape(n_ctx=8192, n_outputs_max=8), 7, True, id="half"),
    pytest.param(SMALL_TIED, ContextShape(n_ctx=4096, n_outputs_max=1), 99, True, id="tied"),
    pytest.param(SMALL_TIED, ContextShape(n_ctx=4096), 3, True, id="tied, half"),
]  # fmt: skip


@pytest.mark.gpu
@pytest.mark.model
@pytest.mark.parametrize(("model", "shape", "n_gpu_layers", "offload_kqv"), GPU_CASES)
def test_prediction_is_within_five_percent_of_what_llama_cpp_reserves_on_a_gpu(
    make_model: Callable[..., Path],
    gpu: Device,
    model: dict[str, Any],
    shape: ContextShape,
    n_gpu_layers: int,
    offload_kqv: bool,
) -> None:
    path = make_model(**model)
    placer = Placer(read_facts(path), shape, find_devices(), offload_kqv=offload_kqv)
    predicted = placer.place(n_gpu_layers)
    measured = _measure(path, shape, n_gpu_layers=n_gpu_layers, offload_kqv=offload_kqv)

    reserved = _reserved(measured, gpu.name)
    weights = _part(predicted, "weights", "output matrix", device=gpu)
    assert weights == pytest.approx(reserved["model"], rel=0.001)
    assert _part(predicted, "KV", device=gpu) == pytest.approx(reserved["KV"], rel=0.001)
    assert _part(predicted, "compute", device=gpu) == pytest.approx(reserved["compute"], rel=0.1)
    assert held(predicted, gpu) == pytest.approx(sum(reserved.values()), rel=0.05)


@pytest.mark.gpu
@pytest.mark.model
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_prediction_is_within_five_percent_of_the_gpu_memory_that_a_34b_takes(
    make_model: Callable[..., Path], gpu: Device, share: float
) -> None:
    path, shape = make_model(**SUS_CHAT), ContextShape(n_ctx=8192, n_outputs_max=8)
    placer = Placer(read_facts(path), shape, find_devices())
    predicted = placer.place(int(placer.most_layers * share))
    if predicted.overfull:
        full = ", ".join(device.name for device in predicted.overfull)
        pytest.skip(f"{held(predicted, gpu) / 2**30:.1f} GiB on the GPU: too much for {full}")
    measured = _measure(path, shape, n_gpu_layers=predicted.n_gpu_layers)

    assert held(predicted, gpu) == pytest.approx(measured["taken"][gpu.name], rel=0.05)


@pytest.fixture
def gpu() -> Device:
    """The first GPU that llama.cpp uses."""
    found = usable_gpus(find_devices())
    if not found:
        pytest.skip("llama.cpp finds no GPU here")
    return found[0]


def _measure(path: Path, shape: ContextShape, **more: object) -> dict[str, Any]:
    settings = json.dumps(asdict(shape) | more)
    command = [sys.executable, str(MEASURE), str(path), settings]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _reserved(measured: dict[str, Any], device: str = "") -> dict[str, int]:
    """What llama.cpp reserved on the device, or anywhere, by what it is for."""
    total: Counter[str] = Counter()
    for name, sizes in measured["buffers"].items():
        if name == device or not device:
            total.update(sizes)
    return total


def held(placement: Placement, device: Device = CPU) -> int:
    """What a device would hold."""
    return taken_bytes(placement.lines, device, (device,))


def _part(placement: Placement, *names: str, device: Device = CPU) -> int:
    return sum(
        line.num_bytes
        for line in placement.lines
        if line.device == device.name and line.what.startswith(names)
    )
