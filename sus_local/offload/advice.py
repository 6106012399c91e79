"""Which quantization of a model suits a machine, and how it would run there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sus_local.backend.ggml_devices import Device
from sus_local.backend.options import DEFAULT_N_CTX, KvType
from sus_local.offload.gguf_facts import ModelFacts
from sus_local.offload.plan import Plan, context_lengths, plan
from sus_local.offload.shapes import QUANTIZATIONS, Hyperparameters, hypothetical_facts

_USUAL = "Q4_K_M"
_NEED_IMATRIX = ("IQ1", "IQ2", "IQ3_XXS")


def best_plan(facts: ModelFacts, devices: Sequence[Device], *, kv_ram_bytes: int = 0) -> Plan:
    """The plan with the longest context that fits, with an f16 KV cache if that does too.

    If nothing fits, the plan of the settings that were wanted first.
    """
    settings = list(_settings(min(facts.n_ctx_train, DEFAULT_N_CTX)))
    plans = (
        plan(facts, devices, n_ctx=n_ctx, kv_type=kv_type, kv_ram_bytes=kv_ram_bytes)
        for n_ctx, kv_type in settings
    )
    first = next(plans)
    return first if first.fits else next((each for each in plans if each.fits), first)


def every_plan(
    shape: Hyperparameters, devices: Sequence[Device], *, kv_ram_bytes: int = 0
) -> tuple[Plan, ...]:
    """The best plan of each quantization, the smallest first."""
    return tuple(
        best_plan(hypothetical_facts(shape, file_type), devices, kv_ram_bytes=kv_ram_bytes)
        for file_type in QUANTIZATIONS
    )


def recommended(plans: Sequence[Plan]) -> Plan | None:
    """The plan to take: the largest that runs on GPUs alone, else Q4_K_M, else the largest.

    On the CPU every further bit costs speed, and above Q4_K_M gives little; on a GPU there is
    speed enough. Quantizations that need an importance matrix come last.
    """
    fitting = [each for each in plans if each.fits and each.facts.file_type != "F16"]
    usual = next((each for each in fitting if each.facts.file_type == _USUAL), None)
    if usual is not None:
        on_gpus = [each for each in fitting if is_on_gpus(each) and _size(each) >= _size(usual)]
        return max(on_gpus, key=_size, default=usual)
    plain = [each for each in fitting if not needs_imatrix(each.facts.file_type)]
    return max(plain or fitting, key=_size, default=None)


def needs_imatrix(file_type: str) -> bool:
    """Whether a quantization cannot be made without an importance matrix.

    >>> needs_imatrix("IQ2_M"), needs_imatrix("Q2_K")
    (True, False)
    """
    return file_type.startswith(_NEED_IMATRIX)


def is_on_gpus(decided: Plan) -> bool:
    """Whether every layer and the output matrix are on GPUs."""
    return decided.n_gpu_layers > decided.facts.n_layer


def _size(decided: Plan) -> int:
    return decided.facts.weight_bytes


def _settings(n_ctx: int) -> Iterator[tuple[int, KvType]]:
    for length in context_lengths(n_ctx):
        yield length, "f16"
        yield length, "q8_0"
