"""Loads a model as told on the command line, and prints what it took, as JSON.

What llama.cpp says that it reserves, by the device or kind of main memory and by what it is for;
how much the process grew; and how much less memory each GPU has free.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from typing import Any

import llama_cpp
import psutil

from sus_local.backend.ggml_devices import has_amx, list_devices

_KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}
_logged: list[str] = []


@llama_cpp.llama_log_callback
def _collect(_level: int, text: bytes, _user: Any) -> None:
    _logged.append(text.decode(errors="replace"))


def main(path: str, settings: dict[str, Any]) -> None:
    free, resident = _free(), psutil.Process().memory_info().rss
    llama_cpp.llama_log_set(_collect, ctypes.c_void_p(0))
    model = llama_cpp.llama_model_load_from_file(path.encode(), _model_params(settings))
    context = llama_cpp.llama_init_from_model(model, _context_params(settings))
    _compute(context, settings)
    measured = {
        "buffers": _buffers("".join(_logged)),
        "rss": psutil.Process().memory_info().rss - resident,
        "taken": {name: free[name] - left for name, left in _free().items()},
    }
    print(json.dumps(measured))


def _free() -> dict[str, int]:
    """The free bytes of each GPU."""
    return {gpu.name: gpu.free_bytes for gpu in list_devices() if gpu.holds_layers}


def _model_params(settings: dict[str, Any]) -> Any:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = settings.get("n_gpu_layers", 0)
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    params.use_extra_bufts = not has_amx()
    return params


def _context_params(settings: dict[str, Any]) -> Any:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_ubatch = settings["n_ctx"], settings["n_ubatch"]
    params.n_batch = 2048
    params.n_seq_max = settings["max_sequences"]
    params.flash_attn_type = int(settings["flash_attn"])
    params.type_k = params.type_v = _KV_TYPES[settings["kv_type"]]
    params.kv_unified = True
    params.offload_kqv = settings.get("offload_kqv", True)
    params.n_outputs_max = settings["n_outputs_max"] or 0
    return params


def _compute(context: Any, settings: dict[str, Any]) -> None:
    """Decode the largest batch with as many logits as allowed, so that every buffer is touched."""
    count = min(settings["n_ubatch"], settings["n_ctx"])
    batch = llama_cpp.llama_batch_init(count, 0, 1)
    batch.n_tokens = count
    for index in range(count):
        batch.token[index], batch.pos[index] = 1, index
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
        batch.logits[index] = index < settings["max_sequences"]
    if llama_cpp.llama_decode(context, batch):
        raise SystemExit("llama_decode failed")


def _buffers(text: str) -> dict[str, dict[str, int]]:
    """Bytes by the buffer's name (``CUDA0``, ``CPU``, ``CUDA_Host`` …) and what it is for."""
    found: dict[str, dict[str, int]] = {}
    for name, what, size in re.findall(r"(\S+) +(\w+) buffer size\s*=\s*([\d.]+) MiB", text):
        sizes = found.setdefault(name, {})
        sizes[what] = sizes.get(what, 0) + int(float(size) * 2**20)
    return found


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
