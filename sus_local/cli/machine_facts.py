"""What ``sus-local doctor`` and ``sus-local plan`` tell, as values that become JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sus_local.shell import quoted

if TYPE_CHECKING:
    from sus_local.backend.ggml_devices import Device
    from sus_local.offload.plan import Plan

HUB_ID = "SUSTech/SUS-Chat-34B"


def machine_facts(devices: Sequence[Device]) -> dict[str, Any]:
    """This machine: processor, memory, disk and devices."""
    import platform

    from sus_local.backend.ggml_devices import cpu_features
    from sus_local.cores import num_physical_cores

    host = devices[-1]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": host.description,
        "cpu_features": list(cpu_features()),
        "physical_cores": num_physical_cores(),
        "memory_bytes": host.total_bytes,
        "available_bytes": host.free_bytes,
        "disk_free_bytes": disk_free_bytes(),
        "devices": [device_facts(device) for device in devices],
    }


def device_facts(device: Device) -> dict[str, Any]:
    """One device."""
    return {
        "name": device.name,
        "description": device.description,
        "backend": device.backend,
        "kind": device.kind,
        "free_bytes": device.free_bytes,
        "total_bytes": device.total_bytes,
    }


def llama_cpp_facts(devices: Sequence[Device]) -> dict[str, Any]:
    """The installed llama.cpp, and what it lacks for this machine."""
    from sus_local.backend.ggml_devices import llama_cpp_version
    from sus_local.offload.devices import missing_gpu

    missing = missing_gpu(devices)
    lacks = None
    if missing is not None:
        lacks = {"gpu": missing.name, "backend": missing.backend, "command": missing.reinstall}
    backends = list(dict.fromkeys(device.backend for device in devices))
    return {"version": llama_cpp_version(), "backends": backends, "lacks": lacks}


def plan_facts(decided: Plan) -> dict[str, Any]:
    """How a model would run, and what that takes of each device."""
    return {
        "type": decided.facts.file_type,
        "bytes": decided.facts.weight_bytes,
        "fits": decided.fits,
        "n_ctx": decided.n_ctx,
        "kv_type": decided.kv_type,
        "n_gpu_layers": decided.n_gpu_layers,
        "n_layers": decided.facts.n_layer + 1,
        "flash_attn": decided.flash_attn,
        "memory_bytes": {
            device.name: taken
            for device in decided.devices
            if (taken := decided.taken_bytes(device))
        },
        "suggestion": decided.suggestion,
    }


def commands(decided: Plan, model: str | None) -> list[str]:
    """What to type to get and run the model of a plan."""
    from sus_local.offload.advice import needs_imatrix

    file_type = decided.facts.file_type
    settings = f" -c {decided.n_ctx}"
    if decided.kv_type != "f16":
        settings += f" --kv-type {decided.kv_type}"
    if model is not None:
        return [f"sus-local chat {quoted(model)}{settings}"]
    convert = f"sus-local convert {HUB_ID} -q {file_type}"
    convert += " --imatrix FILE" if needs_imatrix(file_type) else ""
    return [convert, f"sus-local chat SUS-Chat-34B:{file_type}{settings}"]


def disk_free_bytes() -> int:
    """Free bytes where the local store is, or will be."""
    import shutil

    from sus_local import paths

    return shutil.disk_usage(paths.existing(paths.models_dir())).free
