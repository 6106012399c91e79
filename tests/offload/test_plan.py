from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sus_local.backend.ggml_devices import Device
from sus_local.errors import MemoryPlanError, RequestError
from sus_local.offload.placement import usable_gpus
from sus_local.offload.plan import Plan, plan
from sus_local.offload.shapes import (
    SUS_CHAT_34B,
    Hyperparameters,
    hypothetical_facts,
    smaller_quantizations,
)

GIB = 1 << 30
Q4_K_M = hypothetical_facts(SUS_CHAT_34B, "Q4_K_M")


def cpu(free: float, total: float | None = None) -> Device:
    return Device("CPU", "", "CPU", "cpu", int(free * GIB), int((total or free) * GIB))


def cuda(free: float, number: int = 0) -> Device:
    return Device(f"CUDA{number}", "", "CUDA", "gpu", int(free * GIB), int(free * GIB))


def metal(free: float) -> Device:
    return Device("MTL0", "", "MTL", "gpu", int(free * GIB), int(free * GIB))


def igpu(backend: str = "Vulkan", number: int = 0) -> Device:
    return Device(f"{backend}{number}", "", backend, "igpu", 24 * GIB, 24 * GIB)


def held(decided: Plan) -> dict[str, float]:
    return {
        device.name: sum(line.num_bytes for line in decided.lines if line.device == device.name)
        / GIB
        for device in decided.devices
    }


def test_without_a_gpu_everything_is_in_main_memory() -> None:
    decided = plan(Q4_K_M, [cpu(28, 32)])
    assert (decided.fits, decided.n_gpu_layers, decided.n_ctx) == (True, 0, 8192)
    assert held(decided)["CPU"] == pytest.approx(19.24 + 1.875 + 0.24, abs=0.01)


def test_on_the_cpu_a_large_model_has_its_matrix_of_scores() -> None:
    decided = plan(Q4_K_M, [cpu(28)], n_ctx=8192)
    assert (decided.flash_attn, decided.shape.n_ubatch) == (False, 128)
    with_it = plan(Q4_K_M, [cpu(28)], n_ctx=8192, flash_attn=True)
    assert (with_it.flash_attn, with_it.shape.n_ubatch) == (True, 512)


@pytest.mark.parametrize(
    ("machine", "settings"),
    [
        ([cuda(24), cpu(28)], {}),
        ([cuda(8), cpu(28)], {}),
        ([cpu(28)], {"kv_type": "q8_0"}),
        ([cpu(28)], {"n_ctx": 16384}),
        ([cpu(28)], {"n_ubatch": 512}),
        ([cpu(21.74)], {}),
    ],
    ids=["gpu", "half a gpu", "quantized kv", "long context", "large batch", "no room"],
)
def test_otherwise_attention_is_flash_attention(
    machine: list[Device], settings: dict[str, Any]
) -> None:
    decided = plan(Q4_K_M, machine, **settings)
    assert decided.fits
    assert decided.flash_attn
    assert decided.n_ctx == settings.get("n_ctx", 8192)


def test_a_tiny_model_would_pay_too_much_for_the_padding() -> None:
    tiny = Hyperparameters("tiny", 4, 256, 768, 8, 2, 32, 2560, 8192)
    small = Hyperparameters("1.2b", 22, 2048, 5632, 32, 4, 64, 64000, 8192)
    assert plan(hypothetical_facts(tiny, "Q8_0"), [cpu(28)]).flash_attn
    assert not plan(hypothetical_facts(small, "Q8_0"), [cpu(28)]).flash_attn


def test_a_large_gpu_takes_all_layers_and_the_output() -> None:
    decided = plan(Q4_K_M, [cuda(24), cpu(28, 32)])
    assert (decided.fits, decided.n_gpu_layers) == (True, 61)
    assert held(decided)["CPU"] < 0.3


def test_a_small_gpu_is_filled_but_for_its_margin() -> None:
    machine = [cuda(12), cpu(28, 32)]
    decided = plan(Q4_K_M, machine, n_ctx=8192)
    one_more = plan(Q4_K_M, machine, n_ctx=8192, n_gpu_layers=decided.n_gpu_layers + 1)

    assert decided.fits
    assert 0 < decided.n_gpu_layers < 61
    assert held(decided)["CUDA0"] < 12 * 0.95
    assert (one_more.fits, one_more.overfull[0].name) == (False, "CUDA0")


def test_what_leaves_main_memory_arrives_on_the_gpu() -> None:
    alone, beside = plan(Q4_K_M, [cpu(28)]), plan(Q4_K_M, [cuda(12), cpu(28)])
    things = ("weights", "embedding", "output", "KV")

    def total(decided: Plan) -> int:
        return sum(line.num_bytes for line in decided.lines if line.what.startswith(things))

    assert total(alone) == total(beside)


def test_a_number_of_layers_overrides() -> None:
    decided = plan(Q4_K_M, [cuda(24), cpu(28)], n_gpu_layers=10)
    assert decided.n_gpu_layers == 10


def test_minus_one_is_all_layers() -> None:
    assert plan(Q4_K_M, [cuda(24), cpu(28)], n_gpu_layers=-1).n_gpu_layers == 61


def test_two_gpus_share_the_layers() -> None:
    decided = plan(Q4_K_M, [cuda(12), cuda(12, 1), cpu(28)])
    assert sum(decided.tensor_split) == decided.n_gpu_layers > 50
    assert min(decided.tensor_split) > 20


def test_kv_can_stay_in_main_memory() -> None:
    decided = plan(Q4_K_M, [cuda(24), cpu(28)], offload_kqv=False)
    kv = [line for line in decided.lines if line.what.startswith("KV")]
    assert [line.device for line in kv] == ["CPU"]
    assert kv[0].num_bytes == pytest.approx(1.875 * GIB)


def test_an_integrated_gpu_is_used_only_without_another() -> None:
    assert plan(Q4_K_M, [igpu(), cpu(28)]).n_gpu_layers == 61
    both = plan(Q4_K_M, [igpu(), cuda(12), cpu(28)])
    assert held(both)["Vulkan0"] == 0
    assert both.n_gpu_layers > 0


RPC = Device("RPC0", "", "RPC", "gpu", 12 * GIB, 12 * GIB)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ([cuda(24), RPC, cpu(28)], [RPC, cuda(24)]),
        ([igpu(), RPC, cpu(28)], [RPC, igpu()]),
        ([igpu(), igpu(number=1), igpu("SYCL"), cpu(28)], [igpu(), igpu(number=1)]),
        ([igpu(), cuda(24), RPC, cpu(28)], [RPC, cuda(24)]),
    ],
)
def test_devices_are_filled_in_the_order_of_llama_cpp(
    machine: list[Device], expected: list[Device]
) -> None:
    assert usable_gpus(machine) == tuple(expected)


def test_the_first_share_is_that_of_an_rpc_server() -> None:
    decided = plan(Q4_K_M, [cuda(24), RPC, cpu(28)])
    assert decided.n_gpu_layers == 61
    assert 20 < decided.tensor_split[0] < 40 > decided.tensor_split[1]
    assert held(decided)["RPC0"] <= 12


def test_unified_memory_is_counted_once() -> None:
    roomy, tight = plan(Q4_K_M, [metal(24), cpu(28, 32)]), plan(Q4_K_M, [metal(24), cpu(20, 32)])
    assert roomy.fits
    assert not tight.fits


def test_what_does_not_fit_unified_memory_is_told_with_what_the_gpu_takes_of_it() -> None:
    decided = plan(Q4_K_M, [metal(24), cpu(20, 32)], n_ctx=8192)
    assert held(decided)["CPU"] < 0.5
    with pytest.raises(
        MemoryPlanError, match=r"needs 21\.\d GiB of main memory, 20\.0 GiB are free"
    ):
        decided.require()


@pytest.mark.parametrize(("total", "hint"), [(32, "close other programs"), (8, "smaller model")])
def test_where_unified_memory_is_too_small_for_all_it_is_told_why(total: int, hint: str) -> None:
    with pytest.raises(MemoryPlanError) as caught:
        plan(Q4_K_M, [metal(24), cpu(4, total)]).require()
    assert hint in caught.value.hint


def test_quantized_kv_takes_its_share() -> None:
    sizes = {
        kv_type: next(
            line.num_bytes
            for line in plan(Q4_K_M, [cpu(28)], kv_type=kv_type).lines
            if line.what.startswith("KV")
        )
        for kv_type in ("f16", "q8_0", "q4_0")
    }
    assert sizes["q8_0"] / sizes["f16"] == pytest.approx(34 / 64)
    assert sizes["q4_0"] / sizes["f16"] == pytest.approx(18 / 64)


def test_the_prompt_cache_is_part_of_the_ledger() -> None:
    assert plan(Q4_K_M, [cpu(22.5)]).n_ctx == 8192
    assert plan(Q4_K_M, [cpu(22.5)], kv_ram_bytes=GIB).n_ctx < 8192


def test_an_open_context_length_shrinks_until_it_fits() -> None:
    decided = plan(Q4_K_M, [cpu(21)])
    assert (decided.fits, decided.n_ctx) == (True, 4096)


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    decided = plan(Q4_K_M, [cpu(21, 24)], n_ctx=8192)
    assert not decided.fits
    with pytest.raises(MemoryPlanError, match=r"8192 tokens needs 21\.3 GiB") as caught:
        decided.require()

    assert caught.value.available_bytes == 21 * GIB
    assert caught.value.needed_bytes == sum(line.num_bytes for line in decided.lines)
    assert "kv_type=q8_0 or n_ctx=4096 or Q4_K_S (19.6 GB)" in caught.value.hint


@pytest.mark.parametrize("free", [9.6, 10, 12, 15, 18, 20, 21])
def test_every_alternative_fits_when_it_is_taken(free: float) -> None:
    machine = [cpu(free, 24)]
    alternatives = plan(Q4_K_M, machine, n_ctx=8192).alternatives
    assert alternatives
    for alternative in alternatives:
        facts = hypothetical_facts(SUS_CHAT_34B, alternative.file_type or "Q4_K_M")
        n_ctx, kv_type = alternative.n_ctx or 8192, alternative.kv_type or "f16"
        assert plan(facts, machine, n_ctx=n_ctx, kv_type=kv_type).fits, str(alternative)


def test_memory_taken_by_others_is_told() -> None:
    with pytest.raises(MemoryPlanError) as caught:
        plan(Q4_K_M, [cpu(4, 32)]).require()
    assert caught.value.hint == "close other programs: 28.0 GiB of 32.0 GiB are taken"


def test_a_machine_that_is_too_small_is_told() -> None:
    with pytest.raises(MemoryPlanError, match="are free") as caught:
        plan(Q4_K_M, [cpu(4)]).require()
    assert "smaller model" in caught.value.hint


def test_quantized_kv_without_flash_attention_is_refused() -> None:
    with pytest.raises(RequestError, match="flash attention"):
        plan(Q4_K_M, [cpu(28)], kv_type="q8_0", flash_attn=False)


@pytest.mark.parametrize("wrong", [{"n_ctx": 0}, {"kv_type": "q5_1"}, {"n_gpu_layers": -2}])
def test_wrong_numbers_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        plan(Q4_K_M, [cpu(28)], **wrong)  # type: ignore[arg-type]


def test_smaller_quantizations_come_largest_first() -> None:
    names = [facts.file_type for facts in smaller_quantizations(Q4_K_M)]
    assert names[0] == "Q4_K_S"
    assert names[-1] == "IQ2_XXS"


def test_loading_does_what_was_planned(
    make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sus_local import loading
    from sus_local.backend.options import LoadOptions

    told: list[Any] = []
    monkeypatch.setattr("sus_local.offload.devices.find_devices", lambda: [cpu(28)])
    monkeypatch.setattr("sus_local.offload.devices.tell_missing_gpu", told.append)
    wide = make_model(n_embd=2048, n_ff=12288, n_head=16, n_head_kv=2)
    tiny = make_model("tiny")

    def knobs(path: Path, **given: Any) -> tuple[bool | None, int | None]:
        knobs = loading._planned(path, LoadOptions(**given), "auto", 0)
        return knobs.flash_attn, knobs.n_ubatch

    assert knobs(wide) == (False, 128)
    assert knobs(wide, n_ubatch=64) == (False, 64)
    assert knobs(wide, flash_attn=True) == (True, 512)
    assert knobs(tiny) == (None, 512)
    assert told == [[cpu(28)]] * 4
