from __future__ import annotations

import pytest

from sus_local.backend.ggml_devices import Device
from sus_local.offload.advice import best_plan, every_plan, is_on_gpus, recommended
from sus_local.offload.shapes import QUANTIZATIONS, SUS_CHAT_34B, hypothetical_facts

GIB = 1 << 30


def machine(memory: float, gpu: float = 0) -> list[Device]:
    cpu = Device("CPU", "", "CPU", "cpu", int(memory * GIB), int(memory * GIB))
    cuda = Device("CUDA0", "", "CUDA", "gpu", int(gpu * GIB), int(gpu * GIB))
    return [cuda, cpu] if gpu else [cpu]


@pytest.mark.parametrize(
    ("memory", "gpu", "file_type"),
    [
        (32, 0, "Q4_K_M"),
        (128, 0, "Q4_K_M"),
        (32, 24, "Q4_K_M"),
        (64, 48, "Q8_0"),
        (20, 0, "Q4_K_S"),
        (16, 0, "Q3_K_S"),
        (13, 0, "Q2_K"),
        (12, 0, "IQ2_M"),
    ],
)
def test_the_recommendation_follows_the_machine(memory: float, gpu: float, file_type: str) -> None:
    best = recommended(every_plan(SUS_CHAT_34B, machine(memory, gpu)))
    assert best is not None
    assert best.facts.file_type == file_type
    assert best.fits


def test_a_large_gpu_runs_it_alone() -> None:
    best = recommended(every_plan(SUS_CHAT_34B, machine(64, 48)))
    assert best is not None
    assert is_on_gpus(best)


def test_a_machine_that_is_too_small_gets_no_recommendation() -> None:
    assert recommended(every_plan(SUS_CHAT_34B, machine(8))) is None


def test_every_quantization_is_told() -> None:
    plans = every_plan(SUS_CHAT_34B, machine(32))
    assert tuple(each.facts.file_type for each in plans) == QUANTIZATIONS


@pytest.mark.parametrize(
    ("memory", "setting"),
    [(28, (8192, "f16")), (20.9, (8192, "q8_0")), (20.4, (4096, "q8_0"))],
)
def test_the_context_stays_long_before_the_kv_cache_stays_exact(
    memory: float, setting: tuple[int, str]
) -> None:
    best = best_plan(hypothetical_facts(SUS_CHAT_34B, "Q4_K_M"), machine(memory))
    assert (best.n_ctx, best.kv_type, best.fits) == (*setting, True)
