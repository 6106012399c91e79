"""llama.cpp's rows of logits as arrays: :class:`LogitRows`."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as c

from sus_local.backend.rules import Logits


class LogitRows:
    """The logits of a batch row, without a copy; good until the next decode.

    Args:
        context: The ``llama_context``.
        n_vocab: Length of a row.
    """

    def __init__(self, context: Any, n_vocab: int) -> None:
        self._context = context
        self._row_type = ctypes.c_float * n_vocab
        self._views: dict[int, Logits] = {}

    def __call__(self, row: int) -> Logits:
        """The row, as llama.cpp has it: what is written there is seen by its samplers."""
        pointer = c.llama_get_logits_ith(self._context, row)
        address = ctypes.addressof(pointer.contents)
        view = self._views.get(address)
        if view is None:
            # There are a few addresses, and to make a view takes longer than to look at it.
            place: Any = self._row_type.from_address(address)
            view = self._views[address] = np.frombuffer(place, dtype=np.float32)
        return view
