"""llama.cpp behind the :class:`sus_local.backend.base.Backend` protocol.

Like all of this package it calls the C API, not ``llama_cpp.Llama``.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as c

from sus_local.backend.abort_flag import AbortFlag
from sus_local.backend.base import DecodeAborted, ModelInfo, Sampler, Slice
from sus_local.backend.batch_arrays import BatchArrays
from sus_local.backend.embedding import EmbeddingContext
from sus_local.backend.ggml_devices import has_amx
from sus_local.backend.llama_log import log
from sus_local.backend.load_progress import LoadProgress
from sus_local.backend.logit_rows import LogitRows
from sus_local.backend.model_info import metadata_of, model_info
from sus_local.backend.native_limits import check_architecture
from sus_local.backend.openmp import release_threads
from sus_local.backend.options import (
    DEFAULT_N_CTX,
    KV_TYPES,
    LoadOptions,
    default_n_ubatch,
    default_threads,
    num_outputs,
)
from sus_local.backend.samplers import Samplers
from sus_local.backend.use_count import UseCount
from sus_local.errors import (
    BackendError,
    EngineClosedError,
    InvalidModelError,
    ModelLoadError,
    ModelNotFoundError,
    RequestError,
)
from sus_local.header import split_parts
from sus_local.results import TokenLogprob
from sus_local.sampling import SamplingParams


class LlamaCpp:
    """A GGUF model in llama.cpp.

    Args:
        path: The file, or any part of a split one.
        options: See :class:`LoadOptions`.
        on_progress: Told how far the loading is, from 0 to 1; what it raises ends the loading.
        most_ahead_bytes: See :class:`LoadProgress`.

    Raises:
        ModelNotFoundError: No such file.
        InvalidModelError: Not a GGUF of the LLaMA architecture.
        ModelLoadError: llama.cpp refused it.
    """

    def __init__(
        self,
        path: Path,
        options: LoadOptions | None = None,
        *,
        on_progress: Callable[[float], None] = lambda share: None,
        most_ahead_bytes: int | None = None,
    ) -> None:
        check_file(path)
        self._model: Any = None
        self._context: Any = None
        self._embedding: EmbeddingContext | None = None
        self._embedding_lock = threading.Lock()
        self._texts = UseCount()
        self._closed = False
        self._abort_flag = AbortFlag()
        try:
            progress = LoadProgress(on_progress, most_ahead_bytes=most_ahead_bytes)
            self._load(path, options or LoadOptions(), progress)
        except BaseException:
            self.close()
            raise

    def _load(self, path: Path, options: LoadOptions, progress: LoadProgress) -> None:
        with log.collecting() as lines:
            self._model = _load_model(path, options, lines, progress)
            check_architecture(metadata_of(self._model).get("general.architecture", ""), path)
            self._vocab = c.llama_model_get_vocab(self._model)
            self._context = _open_context(self._model, options, self._abort_flag, lines)
        self._memory = c.llama_get_memory(self._context)
        self._info = model_info(path, options, self._model, self._context)
        self._batch = BatchArrays(self._info.n_batch)
        self._logits = LogitRows(self._context, self._info.n_vocab)
        self._samplers = Samplers(
            self._context,
            self._vocab,
            self._info,
            self._logits,
            tokenize=self.tokenize,
            token_bytes=self.token_bytes,
        )
        self._pieces: dict[int, bytes] = {}

    @property
    def info(self) -> ModelInfo:
        """The facts of the model."""
        return self._info

    def tokenize(self, text: str) -> list[int]:
        """Plain text → token ids; control tokens in it stay text."""
        content = text.encode("utf-8", errors="surrogatepass")
        buffer = (c.llama_token * (len(content) + 2))()
        with self._vocabulary() as vocab:
            count = c.llama_tokenize(
                vocab, content, len(content), buffer, len(buffer), False, False
            )
        if count < 0:
            raise BackendError(f"llama.cpp could not tokenize {len(content)} bytes")
        return list(buffer[:count])

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes of a token; control tokens stand for nothing."""
        piece = self._pieces.get(token_id)
        if piece is None:
            piece = self._pieces[token_id] = self._piece(token_id)
        return piece

    def decode(self, slices: Sequence[Slice]) -> None:
        """Compute a batch; see the protocol."""
        status = c.llama_decode(self._context, self._batch.fill(slices))
        if status == 0:
            # A GPU computes on after the call: whoever measures or cancels has to know the end.
            c.llama_synchronize(self._context)
            return
        if status == 2:
            raise DecodeAborted
        raise BackendError(
            f"llama_decode failed with status {status}: {log.last()}",
            hint="load the model with a smaller n_ctx or fewer n_gpu_layers",
            status=status,
        )

    def abort(self) -> None:
        """End the decode that runs now or next."""
        self._abort_flag.set()

    def clear_abort(self) -> None:
        """Let decodes run again."""
        self._abort_flag.clear()

    def rest(self) -> None:
        """See :mod:`sus_local.backend.openmp`."""
        release_threads()

    def sampler(
        self, params: SamplingParams, *, seed: int, past_token_ids: Sequence[int]
    ) -> Sampler:
        """See :class:`Samplers`."""
        return self._samplers.make(params, seed, past_token_ids)

    def logprob(self, row: int, token_id: int, top: int = 0) -> TokenLogprob:
        """From a view of the logits; only the best ``top`` are copied."""
        logits = self._logits(row)
        peak = float(logits.max())
        total = peak + float(np.log(np.exp(logits - peak).sum(dtype=np.float64)))
        best: tuple[tuple[int, float], ...] = ()
        if top:
            order = np.argpartition(logits, -top)[-top:]
            order = order[np.argsort(-logits[order], kind="stable")]
            best = tuple((int(i), float(logits[i]) - total) for i in order)
        return TokenLogprob(token_id, float(logits[token_id]) - total, best)

    def embed(self, token_ids: Sequence[int]) -> list[float]:
        """A pooled embedding; the context for it, a second one, is made at the first one."""
        with self._embedding_lock:
            if self._closed:
                raise EngineClosedError("the model was closed", hint="load it again")
            if self._embedding is None:
                threads = int(c.llama_n_threads_batch(self._context))
                self._embedding = EmbeddingContext(self._model, n_threads=threads)
            try:
                return self._embedding.embed(token_ids)
            finally:
                release_threads()

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """Share cells."""
        c.llama_memory_seq_cp(self._memory, source, target, start, end)

    def remove(self, sequence_id: int, start: int, end: int = -1) -> None:
        """Take cells away."""
        c.llama_memory_seq_rm(self._memory, sequence_id, start, end)

    def shift(self, sequence_id: int, start: int, delta: int) -> None:
        """Move positions; the keys are turned at the next decode."""
        c.llama_memory_seq_add(self._memory, sequence_id, start, -1, delta)

    def save(self, sequence_id: int) -> bytes:
        """The KV of a sequence."""
        size = c.llama_state_seq_get_size(self._context, sequence_id)
        buffer = (ctypes.c_uint8 * size)()
        written = c.llama_state_seq_get_data(self._context, buffer, size, sequence_id)
        return bytes(memoryview(buffer)[:written])

    def restore(self, sequence_id: int, payload: bytes) -> bool:
        """Put saved KV into an empty sequence."""
        source = ctypes.cast(ctypes.c_char_p(payload), ctypes.POINTER(ctypes.c_uint8))
        read = c.llama_state_seq_set_data(self._context, source, len(payload), sequence_id)
        if read != len(payload):
            c.llama_memory_seq_rm(self._memory, sequence_id, -1, -1)
        return bool(payload) and bool(read == len(payload))

    def close(self) -> None:
        """Free the contexts and the model."""
        self._closed = True
        embedding = self._embedding
        if embedding is not None:
            embedding.abort()
        with self._embedding_lock:
            if self._embedding is not None:
                self._embedding.close()
                self._embedding = None
        if self._context is not None:
            c.llama_free(self._context)
            self._context = None
        self._texts.end()
        if self._model is not None:
            c.llama_model_free(self._model)
            self._model = None

    @contextlib.contextmanager
    def _vocabulary(self) -> Iterator[Any]:
        """The vocabulary, which other threads use too, kept from being freed meanwhile."""
        with self._texts.using():
            yield self._vocab

    def _piece(self, token_id: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            with self._vocabulary() as vocab:
                count = c.llama_token_to_piece(vocab, token_id, buffer, size, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            size = -count


def check_file(path: Path) -> None:
    """Refuse early what is no GGUF.

    Raises:
        ModelNotFoundError: It, or a part of it, is not there.
        InvalidModelError: It does not begin as a GGUF does.
    """
    for part in split_parts(path):
        if not part.is_file():
            raise ModelNotFoundError(
                f"no model file {part}", hint="sus-local models list", path=str(part)
            )
        try:
            with open(part, "rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise InvalidModelError(f"{part} cannot be read: {error.strerror}") from error
        if magic != b"GGUF":
            raise InvalidModelError(
                f"{part} is no GGUF file: it begins with {magic!r}",
                hint="convert a checkpoint with: sus-local convert FOLDER -q Q4_K_M",
                path=str(part),
            )


def _load_model(path: Path, options: LoadOptions, lines: deque[str], progress: LoadProgress) -> Any:
    params = c.llama_model_default_params()
    params.n_gpu_layers = options.n_gpu_layers
    mapped = c.LLAMA_LOAD_MODE_MMAP if options.use_mmap else c.LLAMA_LOAD_MODE_NONE
    locked = c.LLAMA_LOAD_MODE_MMAP_MLOCK if options.use_mmap else c.LLAMA_LOAD_MODE_MLOCK
    params.load_mode = locked if options.use_mlock else mapped
    # Which compiler built it nobody can tell: weights are not laid out for a unit that may crash.
    params.use_extra_bufts = not has_amx()
    if options.tensor_split:
        params.tensor_split = _shares(options.tensor_split)
    if options.use_mmap:
        progress.read_ahead(split_parts(path), share=0.5 if options.n_gpu_layers else 1.0)
    progress.install(params)
    model = c.llama_model_load_from_file(str(path).encode(errors="surrogateescape"), params)
    if not model:
        progress.check()
        raise ModelLoadError(
            f"llama.cpp could not load {path}: {log.last()}",
            hint="sus-local models verify tells whether the file is whole",
            path=str(path),
            log=list(lines),
        )
    return model


def _shares(tensor_split: tuple[float, ...]) -> Any:
    most = int(c.llama_max_devices())
    if len(tensor_split) > most:
        raise RequestError(
            f"tensor_split has {len(tensor_split)} shares, llama.cpp takes {most}",
            hint="give one a GPU",
        )
    return (ctypes.c_float * most)(*tensor_split)


def _open_context(
    model: Any, options: LoadOptions, abort_flag: AbortFlag, lines: deque[str]
) -> Any:
    params = c.llama_context_default_params()
    trained = int(c.llama_model_n_ctx_train(model))
    params.n_ctx = options.n_ctx or min(trained, DEFAULT_N_CTX)
    n_ubatch = options.n_ubatch or default_n_ubatch(flash=options.flash_attn is not False)
    params.n_batch = min(max(options.n_batch, num_outputs(options.max_sequences)), params.n_ctx)
    params.n_ubatch = min(n_ubatch, params.n_batch)
    params.n_seq_max = options.max_sequences + 1
    params.n_outputs_max = num_outputs(options.max_sequences)
    params.n_threads = options.n_threads or default_threads(int(c.llama_model_size(model)))
    params.n_threads_batch = options.n_threads_batch or params.n_threads
    params.type_k = params.type_v = KV_TYPES[options.kv_type][0]
    params.offload_kqv = options.offload_kqv
    params.flash_attn_type = -1 if options.flash_attn is None else int(options.flash_attn)
    params.rope_freq_base = options.rope_freq_base
    params.rope_freq_scale = options.rope_freq_scale
    params.kv_unified = True
    params.no_perf = True
    abort_flag.install(params)
    context = c.llama_init_from_model(model, params)
    if not context:
        raise ModelLoadError(
            f"llama.cpp could not make a context of {params.n_ctx} tokens: {log.last()}",
            hint="try a smaller n_ctx, or kv_type='q8_0'",
            n_ctx=params.n_ctx,
            log=list(lines),
        )
    return context
