"""The devices that llama.cpp finds on this machine, and the GPU that it could but does not.

>>> [device.kind for device in find_devices()][-1]
'cpu'
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sus_local import paths
from sus_local.backend import ggml_devices
from sus_local.backend.ggml_devices import Device
from sus_local.machine import system_memory

__all__ = [
    "Device",
    "MissingGpu",
    "find_devices",
    "missing_gpu",
    "tell_missing_gpu",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MissingGpu:
    """A GPU of this machine that the installed llama.cpp was not built for."""

    name: str
    backend: str
    reinstall: str

    def __str__(self) -> str:
        return (
            f"{self.name} is here, but the installed llama.cpp was built without {self.backend}: "
            f"{self.reinstall}"
        )


def find_devices() -> tuple[Device, ...]:
    """Every device of the installed llama.cpp, GPUs first, the CPU with main memory last.

    Raises:
        BackendError: llama-cpp-python is missing or its libraries cannot be loaded.
    """
    found = ggml_devices.list_devices()
    memory = system_memory()
    description = next((device.description for device in found if device.kind == "cpu"), "CPU")
    cpu = Device(
        "CPU", description, "CPU", "cpu", memory.available_bytes, memory.total_bytes,
        repacks=not ggml_devices.has_amx(),
    )  # fmt: skip
    return (*(device for device in found if device.kind != "cpu"), cpu)


def missing_gpu(devices: Iterable[Device]) -> MissingGpu | None:
    """The GPU that is here but unused, with the command that rebuilds llama.cpp for it.

    >>> missing_gpu([Device("CUDA0", "a GPU", "CUDA", "gpu", 1, 1)]) is None
    True
    """
    if any(device.holds_layers for device in devices):
        return None
    for name, backend in _present_gpus():
        return MissingGpu(name, backend, ggml_devices.reinstall_command(backend))
    return None


def tell_missing_gpu(devices: Iterable[Device]) -> None:
    """Log a warning about a :func:`missing_gpu`, once for each llama.cpp on this machine.

    Looking for one starts other programs, so that is done once too.
    """
    devices = tuple(devices)
    if any(device.holds_layers for device in devices):
        return
    version = ggml_devices.llama_cpp_version()
    checked = paths.cache_dir() / "gpu-checked"
    with contextlib.suppress(OSError):
        if checked.read_text("utf-8") == version:
            return
    missing = missing_gpu(devices)
    if missing is not None:
        logger.warning("%s", missing)
    with contextlib.suppress(OSError):
        checked.parent.mkdir(parents=True, exist_ok=True)
        checked.write_text(version, "utf-8")


def _present_gpus() -> Iterable[tuple[str, str]]:
    """The GPUs that the system tells of, as (name, llama.cpp backend), the best first."""
    import platform

    if sys.platform == "darwin" and platform.machine() == "arm64":
        yield "Apple Silicon's GPU", "Metal"
    for name in _lines(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]):
        yield name, "CUDA"
    for line in _lines(["vulkaninfo", "--summary"]):
        key, _, name = line.partition("=")
        if key.strip() == "deviceName" and "llvmpipe" not in name:
            yield name.strip(), "Vulkan"


def _lines(command: Sequence[str]) -> list[str]:
    """What ``command`` prints, or nothing if it is not there, fails or does not end."""
    program = shutil.which(command[0])
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
