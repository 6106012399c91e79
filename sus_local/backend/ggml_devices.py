"""The devices that the installed llama.cpp finds, asked of its ggml libraries through ctypes.

The Python bindings declare ``llama.h`` only, and devices are a matter of ``ggml-backend.h``.
"""

from __future__ import annotations

import ctypes
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sus_local.errors import BackendError

_KINDS = ("cpu", "gpu", "igpu", "accel", "meta")
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "ggml_backend_dev_count": (ctypes.c_size_t, []),
    "ggml_backend_dev_get": (ctypes.c_void_p, [ctypes.c_size_t]),
    "ggml_backend_dev_name": (ctypes.c_char_p, [ctypes.c_void_p]),
    "ggml_backend_dev_description": (ctypes.c_char_p, [ctypes.c_void_p]),
    "ggml_backend_dev_type": (ctypes.c_int, [ctypes.c_void_p]),
    "ggml_backend_dev_memory": (
        None,
        [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)],
    ),
    "ggml_backend_dev_backend_reg": (ctypes.c_void_p, [ctypes.c_void_p]),
    "ggml_backend_reg_name": (ctypes.c_char_p, [ctypes.c_void_p]),
    "ggml_backend_reg_by_name": (ctypes.c_void_p, [ctypes.c_char_p]),
    "ggml_backend_reg_get_proc_address": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
    "ggml_backend_register": (None, [ctypes.c_void_p]),
    "ggml_backend_load_all_from_path": (None, [ctypes.c_char_p]),
}


@dataclass(frozen=True)
class Device:
    """A place where weights can live and layers be computed.

    ``kind`` is ``cpu``, ``gpu`` (memory of its own), ``igpu`` (shares main memory) or ``accel``
    (computes for the CPU, as BLAS does, and holds nothing). ``backend`` is llama.cpp's name:
    ``CPU``, ``CUDA``, ``MTL``, ``Vulkan``, ``RPC`` … Sizes in bytes. ``repacks`` tells of the CPU
    whether weights are laid out anew for its vector units.
    """

    name: str
    description: str
    backend: str
    kind: str
    free_bytes: int
    total_bytes: int
    repacks: bool = True

    @property
    def holds_layers(self) -> bool:
        """Whether layers can be offloaded to it."""
        return self.kind in ("gpu", "igpu")

    @property
    def shares_main_memory(self) -> bool:
        """Whether what it holds is taken from main memory."""
        return self.kind in ("cpu", "igpu") or self.backend in ("Metal", "MTL")


def list_devices() -> tuple[Device, ...]:
    """Every device of the installed llama.cpp, in the order in which it finds them.

    Raises:
        BackendError: llama-cpp-python is missing or its libraries cannot be loaded.
    """
    return tuple(_describe(handle) for handle in _handles())


def llama_cpp_version() -> str:
    """The version of the installed llama-cpp-python, without importing it.

    >>> llama_cpp_version().count(".")
    2
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("llama-cpp-python")
    except PackageNotFoundError as error:
        hint = "pip install llama-cpp-python"
        raise BackendError("llama-cpp-python is not installed", hint=hint) from error


def reinstall_command(backend: str = "", *, platform: str = sys.platform) -> str:
    """The command that installs this llama-cpp-python anew, built with ``backend`` if one is named.

    It is for this Python, whichever is the shell's, and leaves all other packages alone. On
    Windows it is one of PowerShell.

    >>> print(reinstall_command("CUDA", platform="linux"))  # doctest: +ELLIPSIS
    CMAKE_ARGS="-DGGML_CUDA=on" ... -m pip install --force-reinstall ... llama-cpp-python==...
    """
    flag, python = f"-DGGML_{backend.upper()}=on", sys.executable or "python"
    pip = " -m pip install --force-reinstall --no-cache-dir --no-deps "
    pip += f"llama-cpp-python=={llama_cpp_version()}"
    if platform == "win32":
        setting, program = f'$env:CMAKE_ARGS="{flag}"; ', f'& "{python}"'
    else:
        setting, program = f'CMAKE_ARGS="{flag}" ', shlex.quote(python)
    return (setting if backend else "") + program + pip


def cpu_features() -> tuple[str, ...]:
    """The CPU features that llama.cpp was built for and uses, as ``("AVX2", "FMA", …)``."""
    import llama_cpp

    _silence()
    text: str = llama_cpp.llama_print_system_info().decode(errors="replace")
    _, _, cpu = text.partition("CPU :")
    pairs = (part.split("=") for part in cpu.split("|") if "=" in part)
    return tuple(key.strip() for key, value in pairs if value.strip() == "1")


def has_amx() -> bool:
    """Whether llama.cpp was built for AMX, the matrix unit of some server processors.

    Such a build may crash at the first token: compilers before GCC 12.4 and 13.3 leave out what
    sets the unit up (https://gcc.gnu.org/PR114098, llama.cpp's issue 20824).
    """
    return "AMX_INT8" in cpu_features()


def add_rpc_servers(endpoints: Sequence[str]) -> None:
    """Make the devices of RPC servers (``"host:port"``) known to llama.cpp in this process.

    Raises:
        BackendError: llama.cpp was built without RPC, or a server does not answer.
    """
    register = _rpc_registrar()
    for endpoint in endpoints:
        registry = register(endpoint.encode())
        if not registry:
            hint = "start llama.cpp's rpc-server there, and check host and port"
            raise BackendError(f"no RPC server answers at {endpoint}", hint=hint, endpoint=endpoint)
        _call("ggml_backend_register", registry)


def _rpc_registrar() -> Callable[[bytes], int | None]:
    registry = _call("ggml_backend_reg_by_name", b"RPC")
    name = b"ggml_backend_rpc_add_server"
    address = _call("ggml_backend_reg_get_proc_address", registry, name) if registry else None
    if not address:
        hint = reinstall_command("RPC")
        raise BackendError("the installed llama.cpp was built without RPC", hint=hint)
    return ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(address)


def _handles() -> Iterator[int]:
    for index in range(_call("ggml_backend_dev_count")):
        yield _call("ggml_backend_dev_get", index)


def _describe(handle: int) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _call("ggml_backend_dev_memory", handle, ctypes.byref(free), ctypes.byref(total))
    registry = _call("ggml_backend_dev_backend_reg", handle)
    kind = _call("ggml_backend_dev_type", handle)
    return Device(
        name=_text(_call("ggml_backend_dev_name", handle)),
        description=_text(_call("ggml_backend_dev_description", handle)),
        backend=_text(_call("ggml_backend_reg_name", registry)),
        kind=_KINDS[kind] if kind < len(_KINDS) else "other",
        free_bytes=free.value,
        total_bytes=total.value,
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def _call(name: str, *arguments: Any) -> Any:
    return _functions()[name](*arguments)


@lru_cache(maxsize=1)
def _functions() -> dict[str, Any]:
    try:
        _silence()
        found = dict(_bind(_libraries()))
    except (ImportError, OSError, RuntimeError) as error:
        hint = f"reinstall it: {reinstall_command()}"
        raise BackendError(f"llama.cpp's libraries cannot be loaded: {error}", hint=hint) from error
    if not found["ggml_backend_dev_count"]():
        # A build with GGML_BACKEND_DL keeps its backends in plug-ins beside libggml.
        found["ggml_backend_load_all_from_path"](_library_folder().encode())
    return found


def _silence() -> None:
    """Take llama.cpp's log before it looks for GPUs: it would print those that it finds."""
    from sus_local.backend.llama_log import log

    log.install()


def _libraries() -> tuple[ctypes.CDLL, ...]:
    """Those of the libllama that runs models, with what it links.

    Wheels hold each library twice, under its versioned name too, which is the one that libllama
    links: what is told to the other copy, such as an RPC server, models never hear of.
    """
    import llama_cpp.llama_cpp as bindings
    from llama_cpp._ctypes_extensions import load_shared_library
    from llama_cpp._ggml import libggml, libggml_base_path

    llama = ctypes.CDLL(bindings._lib._name, handle=bindings._lib._handle)
    # Windows finds a symbol only in the library that exports it, not in what it links.
    return llama, libggml, load_shared_library("ggml-base", libggml_base_path)


def _library_folder() -> str:
    from llama_cpp._ggml import libggml_base_path

    return str(libggml_base_path)


def _bind(libraries: Sequence[ctypes.CDLL]) -> Iterator[tuple[str, Any]]:
    for name, (result, arguments) in _SIGNATURES.items():
        function = next((getattr(lib, name) for lib in libraries if hasattr(lib, name)), None)
        if function is None:
            raise RuntimeError(f"{name} is missing")
        function.restype, function.argtypes = result, arguments
        yield name, function
