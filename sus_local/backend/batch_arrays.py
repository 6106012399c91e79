"""The arrays of a ``llama_batch``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as c

from sus_local.backend.base import Slice


class BatchArrays:
    """The arrays of a ``llama_batch``, kept from decode to decode."""

    def __init__(self, n_batch: int) -> None:
        self._tokens = np.zeros(n_batch, dtype=np.int32)
        self._positions = np.zeros(n_batch, dtype=np.int32)
        self._num_ids = np.ones(n_batch, dtype=np.int32)
        self._ids = np.zeros(n_batch, dtype=np.int32)
        first = self._ids.ctypes.data
        self._id_pointers = first + 4 * np.arange(n_batch, dtype=np.uintp)
        self._outputs = np.zeros(n_batch, dtype=np.int8)
        self._range = np.arange(n_batch, dtype=np.int32)
        fields = {entry[0]: entry[1] for entry in c.llama_batch._fields_}
        self._struct = c.llama_batch(
            n_tokens=0,
            token=_pointer(self._tokens, fields["token"]),
            embd=None,
            pos=_pointer(self._positions, fields["pos"]),
            n_seq_id=_pointer(self._num_ids, fields["n_seq_id"]),
            seq_id=_pointer(self._id_pointers, fields["seq_id"]),
            logits=_pointer(self._outputs, fields["logits"]),
        )

    def fill(self, slices: Sequence[Slice]) -> Any:
        """The ``llama_batch`` of these slices."""
        row = 0
        for piece in slices:
            end = row + len(piece.token_ids)
            self._tokens[row:end] = piece.token_ids
            self._positions[row:end] = self._range[: end - row] + piece.position
            self._ids[row:end] = piece.sequence_id
            self._outputs[row:end] = 0
            self._outputs[end - piece.num_outputs : end] = 1
            row = end
        self._struct.n_tokens = row
        return self._struct


def _pointer(array: np.ndarray[Any, Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, kind)
