"""The arrays of a ``llama_batch``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from llama_cpp import llama_cpp as c

from sus_local.backend.base import Slice


class BatchArrays:
    """The arrays of a ``llama_batch``, kept from decode to decode.

    Plain ctypes: one token of one answer is the usual batch, and there numpy costs ten times more.
    """

    def __init__(self, n_batch: int) -> None:
        ints: Any = ctypes.c_int32 * n_batch
        flags: Any = ctypes.c_int8 * n_batch
        self._tokens, self._positions, self._ids = ints(), ints(), ints()
        self._num_ids = ints(*[1] * n_batch)
        first = ctypes.addressof(self._ids)
        places = range(first, first + 4 * n_batch, 4)
        self._id_pointers = (ctypes.c_void_p * n_batch)(*places)
        self._outputs = flags()
        fields: dict[str, Any] = {entry[0]: entry[1] for entry in c.llama_batch._fields_}
        self._struct = c.llama_batch(
            n_tokens=0,
            token=ctypes.cast(self._tokens, fields["token"]),
            embd=None,
            pos=ctypes.cast(self._positions, fields["pos"]),
            n_seq_id=ctypes.cast(self._num_ids, fields["n_seq_id"]),
            seq_id=ctypes.cast(self._id_pointers, fields["seq_id"]),
            logits=ctypes.cast(self._outputs, fields["logits"]),
        )

    def fill(self, slices: Sequence[Slice]) -> Any:
        """The ``llama_batch`` of these slices."""
        row = 0
        for sequence_id, position, token_ids, num_outputs in slices:
            count = len(token_ids)
            if count == 1:
                self._tokens[row] = token_ids[0]
                self._positions[row] = position
                self._ids[row] = sequence_id
                self._outputs[row] = num_outputs
            else:
                end = row + count
                self._tokens[row:end] = list(token_ids)
                self._positions[row:end] = range(position, position + count)
                self._ids[row:end] = [sequence_id] * count
                self._outputs[row:end] = [0] * (count - num_outputs) + [1] * num_outputs
            row += count
        self._struct.n_tokens = row
        return self._struct
