"""From a name to a model that answers: :func:`load`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sus_local import models
from sus_local.backend.options import (
    MOST_BYTES,
    KvType,
    LoadOptions,
    check_gpu_layers,
    check_number,
    num_outputs,
)
from sus_local.errors import RequestError, from_os_error
from sus_local.kv.blocks import digest
from sus_local.kv.folder import SharedFolder
from sus_local.kv.store import BlockStore
from sus_local.kv.tiers import DiskTier, RamTier
from sus_local.llm import DEFAULT_KV_RAM_BYTES, DEFAULT_MAX_SEQUENCES, LLM

if TYPE_CHECKING:
    from sus_local.backend.base import Backend

DEFAULT_KV_DISK_BYTES = 4 << 30


def load(
    model: str | Path,
    *,
    n_ctx: int | None = None,
    n_gpu_layers: int | Literal["auto"] = "auto",
    n_threads: int | None = None,
    kv_type: KvType = "f16",
    max_sequences: int = DEFAULT_MAX_SEQUENCES,
    kv_ram_bytes: int = DEFAULT_KV_RAM_BYTES,
    kv_disk_bytes: int = DEFAULT_KV_DISK_BYTES,
    kv_dir: Path | str | None = None,
    rpc: Sequence[str] = (),
    on_progress: Callable[[float], None] = lambda share: None,
    **options: Any,
) -> LLM:
    """Load a model.

    Args:
        model: A GGUF file, a name in the local store, or the hub id of a model in it.
        n_ctx: Cells of the KV cache; None takes the model's context, at most 8192.
        n_gpu_layers: Layers on GPUs; ``"auto"`` takes as many as fit.
        n_threads: None takes the fast cores.
        kv_type: Of the KV cache.
        max_sequences: Requests that run at once; more wait.
        kv_ram_bytes: Budget of the prompt cache in RAM.
        kv_disk_bytes: Its budget on disk; 0 keeps nothing there.
        kv_dir: Where on disk; None takes the user's cache folder.
        rpc: ``"host:port"`` of llama.cpp RPC servers whose devices help to hold the model.
        on_progress: Told how far the loading is, from 0 to 1; what it raises, as Ctrl-C does, ends
            the loading.
        options: llama.cpp's other knobs, see :class:`sus_local.backend.options.LoadOptions`.

    Raises:
        RequestError: An option is of a wrong kind, or out of range.
        ModelNotFoundError: No such model.
        InvalidModelError: Not a GGUF of the LLaMA architecture.
        MemoryPlanError: It does not fit.
        ModelLoadError: llama.cpp refused it.
        BackendError: An RPC server does not answer, or llama.cpp was built without RPC.

    A typical use::

        with sus_local.load("sus-chat-34b-q4_k_m") as llm:
            print(llm.generate([{"role": "user", "content": "hi"}]).text)
    """
    path = _file_of(model)
    options |= {"n_ctx": n_ctx, "n_threads": n_threads, "kv_type": kv_type}
    knobs = LoadOptions(max_sequences=max_sequences, **options)
    _check(n_gpu_layers, kv_ram_bytes, kv_disk_bytes, kv_dir)
    planned = _prepare(path, knobs, n_gpu_layers, kv_ram_bytes, rpc)
    backend = _open(path, planned, on_progress)
    with _closed_on_failure(backend):
        store = open_store(backend.info.fingerprint, kv_ram_bytes, kv_disk_bytes, kv_dir)
        return LLM(backend, store=store, max_sequences=max_sequences, path=path)


def _file_of(model: str | Path) -> Path:
    try:
        return models.resolve(model)
    except OSError as error:  # a name that no file can have, for instance
        raise from_os_error(error, doing="opening", path=str(model)) from error


def _open(path: Path, knobs: LoadOptions, on_progress: Callable[[float], None]) -> Backend:
    from sus_local.backend.llama_cpp import LlamaCpp
    from sus_local.machine import system_memory

    available = system_memory().available_bytes
    return LlamaCpp(path, knobs, on_progress=on_progress, most_ahead_bytes=available)


@contextlib.contextmanager
def _closed_on_failure(backend: Backend) -> Iterator[None]:
    """Nobody could free it later."""
    try:
        yield
    except BaseException:
        backend.close()
        raise


def _check(
    n_gpu_layers: object, kv_ram_bytes: object, kv_disk_bytes: object, kv_dir: object
) -> None:
    """Refuse what only later, with the model loaded, would turn out to be nothing."""
    check_gpu_layers(n_gpu_layers)
    check_number("kv_ram_bytes", kv_ram_bytes, 0, MOST_BYTES)
    check_number("kv_disk_bytes", kv_disk_bytes, 0, MOST_BYTES)
    named = kv_dir is None or isinstance(kv_dir, (str, os.PathLike))
    if not named or "\0" in str(kv_dir):
        raise RequestError(f"kv_dir is {kv_dir!r}, which is no folder", kv_dir=kv_dir)


def _prepare(
    path: Path,
    knobs: LoadOptions,
    n_gpu_layers: int | Literal["auto"],
    kv_ram_bytes: int,
    rpc: Sequence[str],
) -> LoadOptions:
    """Check the file and decide the knobs."""
    from sus_local.backend.ggml_devices import add_rpc_servers
    from sus_local.backend.llama_cpp import check_file
    from sus_local.backend.native_limits import check_header

    check_file(path)
    check_header(path)
    if rpc:
        add_rpc_servers(rpc)
    return _planned(path, knobs, n_gpu_layers, kv_ram_bytes)


def _planned(
    path: Path, knobs: LoadOptions, n_gpu_layers: int | Literal["auto"], kv_ram_bytes: int
) -> LoadOptions:
    """The knobs as the memory ledger decides them.

    Raises:
        MemoryPlanError: The model does not fit; told before anything is loaded.
    """
    from sus_local.offload.devices import find_devices, tell_missing_gpu
    from sus_local.offload.gguf_facts import read_facts
    from sus_local.offload.plan import plan

    devices = find_devices()
    tell_missing_gpu(devices)
    decided = plan(
        read_facts(path),
        devices,
        n_ctx=knobs.n_ctx,
        kv_type=knobs.kv_type,
        n_gpu_layers=n_gpu_layers,
        n_batch=knobs.n_batch,
        n_ubatch=knobs.n_ubatch,
        max_sequences=knobs.max_sequences + 1,
        n_outputs_max=num_outputs(knobs.max_sequences),
        flash_attn="auto" if knobs.flash_attn is None else knobs.flash_attn,
        offload_kqv=knobs.offload_kqv,
        kv_ram_bytes=kv_ram_bytes,
    ).require()
    return replace(
        knobs,
        n_ctx=decided.n_ctx,
        n_ubatch=decided.shape.n_ubatch,
        n_gpu_layers=decided.n_gpu_layers,
        # Not True: whether a GPU can do it is for llama.cpp to find out.
        flash_attn=knobs.flash_attn if decided.flash_attn else False,
        offload_kqv=decided.offload_kqv,
        tensor_split=knobs.tensor_split or decided.tensor_split,
    )


def open_store(
    fingerprint: str, ram_bytes: int, disk_bytes: int, kv_dir: Path | str | None
) -> BlockStore:
    """The prompt cache of one model, in a folder of its own on disk."""
    from sus_local import paths

    if disk_bytes <= 0:
        return BlockStore(RamTier(ram_bytes))
    folder = Path(kv_dir) if kv_dir is not None else paths.kv_dir()
    shared = SharedFolder(folder, disk_bytes)
    shared.tidy()
    place = folder / digest(fingerprint.encode()).hex()
    return BlockStore(RamTier(ram_bytes), DiskTier(place, disk_bytes, shared=shared))
