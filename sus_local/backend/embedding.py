"""Embeddings from a model that was made for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as c

from sus_local.backend.abort_flag import AbortFlag
from sus_local.errors import (
    BackendError,
    ContextOverflowError,
    EngineClosedError,
    ModelLoadError,
    RequestError,
)

_MAX_TOKENS = 2048


class EmbeddingContext:
    """A context beside the one that answers: llama.cpp gives either logits or embeddings.

    Args:
        model: The ``llama_model``.
        n_threads: To compute with.

    Raises:
        RequestError: The file names no pooling: the model was not made for embeddings.
    """

    def __init__(self, model: Any, *, n_threads: int) -> None:
        params = c.llama_context_default_params()
        params.n_ctx = min(int(c.llama_model_n_ctx_train(model)), _MAX_TOKENS)
        params.n_batch = params.n_ubatch = params.n_ctx
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = n_threads
        params.embeddings = True
        self._abort_flag = AbortFlag()
        self._abort_flag.install(params)
        self.n_ctx = int(params.n_ctx)
        self._width = int(c.llama_model_n_embd(model))
        self._context = c.llama_init_from_model(model, params)
        if not self._context:
            raise ModelLoadError(f"llama.cpp could not make an embedding context of {self.n_ctx}")
        if c.llama_pooling_type(self._context) <= c.LLAMA_POOLING_TYPE_NONE:
            self.close()
            raise RequestError(
                "the model makes no embeddings: its file names no pooling",
                hint="load a model that was trained for embeddings",
            )

    def embed(self, token_ids: Sequence[int]) -> list[float]:
        """The pooled embedding of a text, of length 1.

        Raises:
            ContextOverflowError: The text does not fit.
        """
        count = len(token_ids)
        if not 0 < count <= self.n_ctx:
            raise ContextOverflowError(
                f"the text has {count} tokens, an embedding takes from 1 to {self.n_ctx}",
                hint="split it",
                num_tokens=count,
                n_ctx=self.n_ctx,
            )
        c.llama_memory_clear(c.llama_get_memory(self._context), True)
        tokens = (c.llama_token * count)(*token_ids)
        status = c.llama_decode(self._context, c.llama_batch_get_one(tokens, count))
        if status == 2:
            raise EngineClosedError("the model was closed", hint="load it again")
        pointer = c.llama_get_embeddings_seq(self._context, 0) if status == 0 else None
        if not pointer:
            raise BackendError(f"llama.cpp made no embedding: status {status}", status=status)
        vector = np.ctypeslib.as_array(pointer, shape=(self._width,)).astype(np.float64)
        length = float(np.linalg.norm(vector)) or 1.0
        return [float(value) for value in vector / length]

    def abort(self) -> None:
        """End what is computed, from any thread; nothing is from now on."""
        self._abort_flag.set()

    def close(self) -> None:
        """Free it."""
        if self._context:
            c.llama_free(self._context)
            self._context = None
