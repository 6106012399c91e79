"""The decision how a model is loaded on this machine, made before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sus_local.backend.ggml_devices import Device
from sus_local.backend.options import (
    DEFAULT_N_CTX,
    KV_TYPES,
    KvType,
    check_gpu_layers,
    default_n_ubatch,
)
from sus_local.errors import MemoryPlanError, RequestError
from sus_local.offload.gguf_facts import ModelFacts
from sus_local.offload.ledger import ContextShape
from sus_local.offload.placement import LedgerLine, Placement, Placer, taken_bytes
from sus_local.offload.scores import with_scores
from sus_local.offload.shapes import smaller_quantizations

_LEAST_N_CTX = 2048


@dataclass(frozen=True)
class Alternative:
    """A change with which the model would fit; ``None`` where nothing has to change."""

    n_ctx: int | None = None
    kv_type: KvType | None = None
    file_type: str | None = None
    file_bytes: int = 0

    def __str__(self) -> str:
        parts = []
        if self.file_type:
            parts.append(f"{self.file_type} ({self.file_bytes / 1e9:.1f} GB)")
        if self.n_ctx:
            parts.append(f"n_ctx={self.n_ctx}")
        if self.kv_type:
            parts.append(f"kv_type={self.kv_type}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Plan:
    """How to load a model, and what it takes.

    Attributes:
        facts: The model.
        shape: The context, with ``n_ctx`` and ``kv_type`` as decided.
        n_gpu_layers: For llama.cpp; the output matrix counts as one.
        offload_kqv: Whether the KV of offloaded layers lives with them.
        tensor_split: Layers a GPU, where there are several; else empty.
        lines: Every byte, by device and purpose.
        devices: The devices it was made for, main memory last.
        fits: Whether every device has what it is to hold, with a margin.
        alternatives: What would fit, if this does not.
    """

    facts: ModelFacts
    shape: ContextShape
    n_gpu_layers: int
    offload_kqv: bool
    tensor_split: tuple[float, ...]
    lines: tuple[LedgerLine, ...]
    devices: tuple[Device, ...]
    fits: bool
    overfull: tuple[Device, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    @property
    def n_ctx(self) -> int:
        """The context length, in tokens."""
        return self.shape.n_ctx

    @property
    def kv_type(self) -> KvType:
        """The type of the KV cache."""
        return self.shape.kv_type

    @property
    def flash_attn(self) -> bool:
        """Whether to compute attention without its matrix of scores."""
        return self.shape.flash_attn

    @property
    def suggestion(self) -> str:
        """What would fit, as one line; empty if this does."""
        return " or ".join(str(alternative) for alternative in self.alternatives)

    def taken_bytes(self, device: Device) -> int:
        """What of the memory of ``device`` it takes; of main memory also on GPUs that share it."""
        return taken_bytes(self.lines, device, self.devices)

    def require(self) -> Plan:
        """This plan, if it fits.

        Raises:
            MemoryPlanError: It does not; ``needed_bytes`` and ``available_bytes`` are of the
                device that is too small, ``alternatives`` tells what would fit.
        """
        if self.fits:
            return self
        device = self.overfull[-1]
        needed = self.taken_bytes(device)
        raise MemoryPlanError(
            f"{self.facts.name} with a context of {self.n_ctx} tokens needs {_gb(needed)} "
            f"of {_place_name(device)}, {_gb(device.free_bytes)} are free",
            hint=self._hint(device, needed),
            device=device.name,
            needed_bytes=needed,
            available_bytes=device.free_bytes,
            alternatives=self.alternatives,
        )

    def _hint(self, device: Device, needed: int) -> str:
        if self.suggestion:
            return f"this would fit: {self.suggestion}"
        if needed < device.total_bytes:
            taken = device.total_bytes - device.free_bytes
            return f"close other programs: {_gb(taken)} of {_gb(device.total_bytes)} are taken"
        return "no smaller setting fits: use a smaller model or a machine with more memory"


def plan(
    facts: ModelFacts,
    devices: Sequence[Device],
    *,
    n_ctx: int | None = None,
    kv_type: KvType = "f16",
    n_gpu_layers: int | Literal["auto"] = "auto",
    n_batch: int = 512,
    n_ubatch: int | None = None,
    max_sequences: int = 1,
    n_outputs_max: int | None = None,
    flash_attn: bool | Literal["auto"] = "auto",
    offload_kqv: bool = True,
    kv_ram_bytes: int = 0,
    margin_bytes: int | None = None,
) -> Plan:
    """Decide how the model is loaded on these devices.

    As many layers as fit go to the GPUs, with their KV: attention on the CPU over KV that lives
    there costs more than a layer fewer on the GPU. ``"auto"`` and None leave the decision here;
    what is not told below is told by :class:`ContextShape`.

    Args:
        facts: The model, from ``read_facts`` or ``hypothetical_facts``.
        devices: From ``find_devices``: main memory is the last one.
        n_ctx: None takes what the model was trained for, at most :data:`DEFAULT_N_CTX`, or the
            largest half, quarter, … of it that fits.
        n_gpu_layers: A number overrides the decision; -1 is all.
        flash_attn: See :mod:`sus_local.offload.scores`.
        offload_kqv: Whether the KV of offloaded layers lives with them.
        margin_bytes: Bytes to leave free on each device, instead of the default margins.

    Raises:
        RequestError: A number is out of range, or a quantized KV needs flash attention.

    >>> from sus_local.offload.shapes import SUS_CHAT_34B, hypothetical_facts
    >>> laptop = [Device("CPU", "", "CPU", "cpu", 28 << 30, 32 << 30)]
    >>> plan(hypothetical_facts(SUS_CHAT_34B, "Q4_K_M"), laptop).n_ctx
    8192
    """
    flash = flash_attn is not False
    shape = ContextShape(
        min(facts.n_ctx_train, DEFAULT_N_CTX) if n_ctx is None else n_ctx,
        kv_type, n_batch, n_ubatch or default_n_ubatch(flash=flash), max_sequences, flash,
        n_outputs_max, kv_ram_bytes,
    )  # fmt: skip
    _check(shape, n_gpu_layers)
    placer = Placer(facts, shape, tuple(devices), offload_kqv, margin_bytes)
    decided = _choose(placer, n_gpu_layers, open_length=n_ctx is None)
    return _prefer_scores(decided, placer, n_ubatch) if flash_attn == "auto" else decided


def _choose(placer: Placer, layers: int | Literal["auto"], *, open_length: bool) -> Plan:
    """The plan with the longest context that fits, or one that does not and tells what would."""
    lengths = context_lengths(placer.shape.n_ctx) if open_length else (placer.shape.n_ctx,)
    for candidate in (_with(placer, n_ctx=length) for length in lengths):
        placement = _decide(candidate, layers)
        if not placement.overfull:
            return _plan(candidate, placement)
    return _plan(placer, _decide(placer, layers), tuple(_alternatives(placer, layers)))


def _prefer_scores(decided: Plan, placer: Placer, n_ubatch: int | None) -> Plan:
    """On the CPU, the same with the matrix of scores, where that is better and fits too."""
    shape = with_scores(decided.facts, decided.shape, n_ubatch=n_ubatch)
    if shape is None or decided.n_gpu_layers or not decided.fits:
        return decided
    other = _choose(replace(placer, shape=shape), 0, open_length=False)
    return other if other.fits else decided


def _check(shape: ContextShape, n_gpu_layers: int | Literal["auto"]) -> None:
    check_gpu_layers(n_gpu_layers)
    n_ctx, kv_type = shape.n_ctx, shape.kv_type
    if n_ctx < 1:
        raise RequestError(f"n_ctx is {n_ctx}, not a positive number", n_ctx=n_ctx)
    if kv_type not in KV_TYPES:
        known = ", ".join(KV_TYPES)
        raise RequestError(f"kv_type {kv_type!r} is none of {known}", kv_type=kv_type)
    if kv_type != "f16" and not shape.flash_attn:
        hint = "leave flash_attn at auto, or take kv_type f16"
        raise RequestError(f"a {kv_type} KV cache needs flash attention", hint=hint)


def _decide(placer: Placer, n_gpu_layers: int | Literal["auto"]) -> Placement:
    """The placement asked for, or of those that fit the one with most layers on GPUs."""
    if n_gpu_layers != "auto":
        return placer.place(placer.most_layers if n_gpu_layers == -1 else n_gpu_layers)
    tried = [placer.place(count) for count in range(placer.most_layers, -1, -1)]
    host = placer.devices[-1]
    fitting = (placement for placement in tried if not placement.overfull)
    least_bad = (placement for placement in tried if placement.overfull == (host,))
    return next(fitting, next(least_bad, tried[-1]))


def _plan(placer: Placer, placement: Placement, alternatives: tuple[Alternative, ...] = ()) -> Plan:
    counts = placement.layers_per_gpu
    return Plan(
        facts=placer.facts,
        shape=placer.shape,
        n_gpu_layers=placement.n_gpu_layers,
        offload_kqv=placer.offload_kqv,
        tensor_split=tuple(float(count) for count in counts) if len(counts) > 1 else (),
        lines=placement.lines,
        devices=placer.devices,
        fits=not placement.overfull,
        overfull=placement.overfull,
        alternatives=alternatives,
    )


def _alternatives(placer: Placer, layers: int | Literal["auto"]) -> Iterator[Alternative]:
    """What would fit: a smaller KV type, a shorter context, a smaller quantization."""

    def fits(candidate: Placer) -> bool:
        return not _decide(candidate, layers).overfull

    smaller_kv = _smaller_kv(placer.shape)
    if smaller_kv and fits(_with(placer, kv_type=smaller_kv)):
        yield Alternative(kv_type=smaller_kv)
    lengths = tuple(context_lengths(placer.shape.n_ctx))
    for length in lengths[1:]:
        if fits(_with(placer, n_ctx=length)):
            yield Alternative(n_ctx=length)
            break
    for length in lengths:
        n_ctx = None if length == lengths[0] else length
        for kv_type in dict.fromkeys((None, smaller_kv)):
            setting = _with(placer, n_ctx=n_ctx, kv_type=kv_type)
            for facts in smaller_quantizations(placer.facts):
                if fits(_with(setting, facts=facts)):
                    yield Alternative(n_ctx, kv_type, facts.file_type, facts.weight_bytes)
                    return


def _smaller_kv(shape: ContextShape) -> KvType | None:
    return "q8_0" if shape.kv_type == "f16" and shape.flash_attn else None


def _with(
    placer: Placer,
    *,
    facts: ModelFacts | None = None,
    n_ctx: int | None = None,
    kv_type: KvType | None = None,
) -> Placer:
    shape = placer.shape.smaller(n_ctx or placer.shape.n_ctx, kv_type or placer.shape.kv_type)
    return Placer(
        facts or placer.facts, shape, placer.devices, placer.offload_kqv, placer.margin_bytes
    )


def context_lengths(most: int) -> Iterator[int]:
    """``most`` and its halves, down to a context that is still good for a conversation."""
    yield most
    while most // 2 >= _LEAST_N_CTX:
        most //= 2
        yield most


def _place_name(device: Device) -> str:
    return "main memory" if device.kind == "cpu" else f"{device.name}'s memory"


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
