"""A flag that ends a decode of llama.cpp from another thread."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from llama_cpp import llama_cpp as c


class AbortFlag:
    """A text of one byte at most, whose length is the flag's value.

    So strlen serves as llama.cpp's abort callback: one in Python would take the interpreter's lock
    for every node of the graph.
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(2)

    def install(self, params: Any) -> None:
        """Let the contexts that are made with these parameters look at it."""
        params.abort_callback = ctypes.cast(_c_library().strlen, c.ggml_abort_callback)
        params.abort_callback_data = ctypes.cast(self._text, ctypes.c_void_p)

    def set(self) -> None:
        """End the decode that runs, and all that follow."""
        self._text[0] = b"\x01"

    def clear(self) -> None:
        """Let decodes run again."""
        self._text[0] = b"\x00"


def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL("msvcrt") if sys.platform == "win32" else ctypes.CDLL(None)
