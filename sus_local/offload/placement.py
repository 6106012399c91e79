"""Which layer of a model lives on which device, and what that takes of each.

llama.cpp offloads from the end: of ``n_gpu_layers`` the output matrix is the first, then come the
last layers. The embedding stays in main memory. A layer's KV lives where the layer does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sus_local.backend.ggml_devices import Device
from sus_local.offload.gguf_facts import ModelFacts
from sus_local.offload.ledger import (
    ContextShape,
    gpu_graph_bytes,
    graph_bytes,
    input_bytes,
    kv_layer_bytes,
    output_bytes,
    scratch_bytes,
)

_MIB = 1 << 20
_REPACKED_TYPES = ("Q4_0", "Q4_K", "IQ4_NL")


@dataclass(frozen=True)
class LedgerLine:
    """So many bytes of one device go into one thing."""

    device: str
    what: str
    num_bytes: int


@dataclass(frozen=True)
class Placement:
    """Layers on devices: ``layers_per_gpu`` counts the output matrix as a layer.

    ``overfull`` are the devices that would hold more than they have.
    """

    layers_per_gpu: tuple[int, ...]
    lines: tuple[LedgerLine, ...]
    overfull: tuple[Device, ...]

    @property
    def n_gpu_layers(self) -> int:
        """As llama.cpp counts them."""
        return sum(self.layers_per_gpu)


def default_margin(device: Device) -> int:
    """Bytes to leave free: for the system in main memory, for the driver on a GPU."""
    if device.kind == "cpu":
        return max(256 * _MIB, device.total_bytes // 50)
    return max(512 * _MIB, device.total_bytes // 20)


def usable_gpus(devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices that llama.cpp would offload to, in the order in which it fills them.

    Those of RPC servers come first, then GPUs; integrated ones, of one backend, only where this
    machine has no others.
    """
    rpc = [device for device in devices if device.backend == "RPC"]
    gpus = [device for device in devices if device.kind == "gpu" and device.backend != "RPC"]
    integrated = [device for device in devices if device.kind == "igpu"]
    same = [device for device in integrated if device.backend == integrated[0].backend]
    return (*rpc, *(gpus or same))


def taken_bytes(lines: Sequence[LedgerLine], device: Device, devices: Sequence[Device]) -> int:
    """What is taken of the memory of ``device``; of main memory also by GPUs that share it."""
    names = {device.name}
    if device.kind == "cpu":
        names |= {each.name for each in devices if each.shares_main_memory}
    return sum(line.num_bytes for line in lines if line.device in names)


@dataclass(frozen=True)
class Placer:
    """Places one model in one context on the devices of a machine.

    ``margin_bytes`` replaces :func:`default_margin` for every device.
    """

    facts: ModelFacts
    shape: ContextShape
    devices: tuple[Device, ...]
    offload_kqv: bool = True
    margin_bytes: int | None = None

    @property
    def most_layers(self) -> int:
        """The largest ``n_gpu_layers`` that makes a difference."""
        return self.facts.n_layer + 1 if usable_gpus(self.devices) else 0

    def place(self, n_gpu_layers: int) -> Placement:
        """The placement of so many layers, filling the GPUs one after the other."""
        counts = self._counts(n_gpu_layers)
        every = (*self._gpu_lines(counts), *self._host_lines(sum(counts)))
        lines = tuple(line for line in every if line.num_bytes)
        placement = Placement(counts, lines, ())
        overfull = tuple(self._overfull(placement))
        return Placement(counts, lines, overfull)

    def capacity(self, device: Device) -> int:
        """Bytes of ``device`` that may be used."""
        margin = default_margin(device) if self.margin_bytes is None else self.margin_bytes
        return max(0, device.free_bytes - margin)

    def _counts(self, n_gpu_layers: int) -> tuple[int, ...]:
        gpus = usable_gpus(self.devices)
        left = min(n_gpu_layers, self.most_layers)
        partial = left < self.most_layers
        counts = []
        for number, gpu in enumerate(gpus):
            start = self.facts.n_layer + 1 - left
            fitting = self._fitting(gpu, start, left, partial)
            counts.append(left if number == len(gpus) - 1 else fitting)
            left -= counts[-1]
        return tuple(counts)

    def _fitting(self, gpu: Device, start: int, most: int, partial: bool) -> int:
        """How many layers from ``start`` on the GPU can take."""
        for count in range(most, 0, -1):
            lines = self._one_gpu(gpu, range(start, start + count), partial)
            if sum(line.num_bytes for line in lines) <= self.capacity(gpu):
                return count
        return 0

    def _gpu_lines(self, counts: Sequence[int]) -> Iterator[LedgerLine]:
        start = self.facts.n_layer + 1 - sum(counts)
        partial = sum(counts) < self.most_layers
        for gpu, count in zip(usable_gpus(self.devices), counts, strict=True):
            if count:
                yield from self._one_gpu(gpu, range(start, start + count), partial)
            start += count

    def _one_gpu(self, gpu: Device, items: range, partial: bool) -> Iterator[LedgerLine]:
        facts, outputs = self.facts, self.facts.n_layer in items
        layers = items[:-1] if outputs else items
        weights = sum(facts.layer_bytes[layer] for layer in layers)
        yield LedgerLine(gpu.name, f"weights of {_layers(len(layers))}", weights)
        if outputs:
            size = facts.output_bytes + (facts.embedding_bytes if facts.tied else 0)
            yield LedgerLine(gpu.name, "output matrix", size)
        if self.offload_kqv:
            yield self._kv_line(gpu, len(layers))
        compute = gpu_graph_bytes(facts, self.shape, outputs=outputs, partial=partial)
        yield LedgerLine(gpu.name, "compute buffer", compute)

    def _host_lines(self, n_gpu_layers: int) -> Iterator[LedgerLine]:
        facts, shape = self.facts, self.shape
        host, on_gpus = self.devices[-1], max(0, n_gpu_layers - 1)
        layers = facts.layer_bytes[: facts.n_layer - on_gpus]
        yield LedgerLine(host.name, f"weights of {_layers(len(layers))}", sum(layers))
        yield LedgerLine(host.name, "embedding", facts.embedding_bytes)
        if not n_gpu_layers:
            yield LedgerLine(host.name, "output matrix", _host_output_bytes(facts, host))
        yield self._kv_line(host, len(layers) if self.offload_kqv else facts.n_layer)
        computes = bool(layers) or not self.offload_kqv
        graph = graph_bytes(facts, shape, outputs=not n_gpu_layers)
        yield LedgerLine(
            host.name, "compute buffer", graph if computes else input_bytes(facts, shape)
        )
        yield LedgerLine(host.name, "logits", output_bytes(facts, shape))
        if computes:
            yield LedgerLine(host.name, "scratch", scratch_bytes(facts, shape))
        if shape.kv_ram_bytes:
            yield LedgerLine(host.name, "prompt cache", shape.kv_ram_bytes)

    def _kv_line(self, device: Device, num_layers: int) -> LedgerLine:
        what = f"KV cache, {self.shape.kv_type}, {_layers(num_layers)}"
        return LedgerLine(device.name, what, num_layers * kv_layer_bytes(self.facts, self.shape))

    def _overfull(self, placement: Placement) -> Iterator[Device]:
        for device in (*usable_gpus(self.devices), self.devices[-1]):
            if taken_bytes(placement.lines, device, self.devices) > self.capacity(device):
                yield device


def _host_output_bytes(facts: ModelFacts, host: Device) -> int:
    """The output matrix in main memory.

    Where the embedding serves as one, llama.cpp rearranges a copy of it for the CPU's vector
    units, if it does that for the type.
    """
    copied = host.repacks and facts.tied and facts.embedding_type in _REPACKED_TYPES
    return facts.output_bytes + (facts.embedding_bytes if copied else 0)


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
