"""What the engine is told of a loaded model: :func:`model_info`."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from llama_cpp import llama_cpp as c

from sus_local.backend.base import ModelInfo
from sus_local.backend.fingerprint import file_fingerprint
from sus_local.backend.ggml_devices import list_devices
from sus_local.backend.options import KV_TYPES, LoadOptions, default_draft_max

_GPU_CHUNK_TOKENS = 64
"""A GPU needs about as many tokens to be busy."""


def metadata_of(model: Any) -> dict[str, str]:
    """All scalar metadata of a model, as llama.cpp prints it."""
    found = {}
    buffer = ctypes.create_string_buffer(1 << 16)
    for index in range(c.llama_model_meta_count(model)):
        c.llama_model_meta_key_by_index(model, index, buffer, len(buffer))
        key = buffer.value.decode("utf-8", errors="replace")
        c.llama_model_meta_val_str_by_index(model, index, buffer, len(buffer))
        found[key] = buffer.value.decode("utf-8", errors="replace")
    return found


def model_info(path: Path, options: LoadOptions, model: Any, context: Any) -> ModelInfo:
    """The facts of a model and its context."""
    vocab = c.llama_model_get_vocab(model)
    metadata = metadata_of(model)
    num_vocab = int(c.llama_vocab_n_tokens(vocab))
    width = int(metadata.get("llama.attention.key_length", 0))
    width = width or c.llama_model_n_embd(model) // c.llama_model_n_head(model)
    values = 2 * c.llama_model_n_layer(model) * c.llama_model_n_head_kv(model) * width
    ends = (i for i in range(num_vocab) if c.llama_vocab_is_eog(vocab, i))
    return ModelInfo(
        name=metadata.get("general.name") or path.stem,
        fingerprint=_fingerprint(path, options),
        n_ctx=int(c.llama_n_ctx(context)),
        n_ctx_train=int(c.llama_model_n_ctx_train(model)),
        n_batch=int(c.llama_n_batch(context)),
        n_ubatch=int(c.llama_n_ubatch(context)),
        n_vocab=num_vocab,
        max_sequence_id=options.max_sequences,
        eos=int(c.llama_vocab_eos(vocab)),
        end_token_ids=frozenset(ends),
        num_kv_bytes_per_token=int(values * KV_TYPES[options.kv_type][1]),
        metadata=metadata,
        can_shift=can_shift(context, options, int(width)),
        min_chunk_tokens=_min_chunk_tokens(model, context, options),
        draft_max=_draft_max(model, options),
    )


def _draft_max(model: Any, options: LoadOptions) -> int:
    if options.draft_max is not None:
        return options.draft_max
    slow_batches = options.flash_attn is not False and not _uses_gpu(options)
    return default_draft_max(int(c.llama_model_size(model)), slow_batches=slow_batches)


def _min_chunk_tokens(model: Any, context: Any, options: LoadOptions) -> int:
    """What keeps a GPU busy; nothing is cut off without one.

    With a part of the layers there, a chunk has the weights of all the others copied to it
    (``op_offload`` in llama.cpp), which costs as much for a short one as for a long one.
    """
    if not _uses_gpu(options):
        return 0
    has_all = not 0 < options.n_gpu_layers <= c.llama_model_n_layer(model)
    return _GPU_CHUNK_TOKENS if has_all else int(c.llama_n_ubatch(context))


def _uses_gpu(options: LoadOptions) -> bool:
    return options.n_gpu_layers != 0 and any(device.holds_layers for device in list_devices())


def can_shift(context: Any, options: LoadOptions, head_width: int) -> bool:
    """llama.cpp rotates quantized keys of such heads only, and crashes where it shifts others."""
    rotated = head_width % 64 == 0 and not _rotation_disabled()
    safe = rotated or options.kv_type == "f16"
    return safe and bool(c.llama_memory_can_shift(c.llama_get_memory(context)))


def _rotation_disabled() -> bool:
    return os.environ.get("LLAMA_ATTN_ROT_DISABLE", "0") != "0"


def _fingerprint(path: Path, options: LoadOptions) -> str:
    import llama_cpp

    rope = f"{options.rope_freq_base:g}:{options.rope_freq_scale:g}"
    plain = ":unrotated" if _rotation_disabled() else ""
    settings = f"{options.kv_type}:{options.flash_attn}:{rope}{plain}"
    return f"{file_fingerprint(path)}:{llama_cpp.__version__}:{settings}"
