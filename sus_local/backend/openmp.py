"""The threads that OpenMP keeps for every thread that ever computed.

llama.cpp computes with OpenMP where its compiler has it. GCC's library keeps threads for each of
its callers, and once a process has more of them than cores, none spins at a barrier any more: all
go to sleep there, some hundred times a token. A second model, or an embedding, that had computed
once took a third of the speed of the first one for ever (bench/runtime.py --only second).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from llama_cpp import llama_cpp as c

_SOFT = 1
"""``omp_pause_soft`` of OpenMP 5.0: they come back when they are needed."""


def release_threads() -> None:
    """End the threads that OpenMP keeps for the calling one, until it computes again.

    Nothing where llama.cpp was built without OpenMP, or with another one than GCC's.
    """
    _pause()(_SOFT)


@cache
def _pause() -> Callable[[int], object]:
    library = c._lib  # its symbols are found through what is linked to it
    if hasattr(library, "__kmpc_fork_call"):  # LLVM's counts all threads of a process together
        return lambda kind: None
    return getattr(library, "omp_pause_resource_all", lambda kind: None)
