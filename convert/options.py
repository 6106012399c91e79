"""What a user can ask of a conversion."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict


class _Needed(TypedDict):
    types: Sequence[str]


class Choices(_Needed, total=False):
    """The keyword arguments of :func:`~sus_local.convert.convert` and ``plan``.

    Only ``types`` is needed; :class:`Options` tells what each means, and its default.
    """

    output: Path | None
    revision: str | None
    imatrix: Path | None
    tensor_types: Sequence[str]
    pure: bool
    split_size: int | None
    threads: int
    keep_source: bool


@dataclass(frozen=True)
class Options:
    """What a user asks for.

    Attributes:
        types: Mixtures such as ``"Q4_K_M"``; all are made in the same pass.
        output: A file (for one type) or a folder; the local store if None.
        revision: Branch, tag or commit on the hub.
        imatrix: An importance matrix of llama.cpp.
        tensor_types: ``NAME=TYPE`` overrides, as for ``llama-quantize``.
        pure: The mixture's base type for every tensor.
        split_size: At most so many bytes of tensors a file; None for one file.
        threads: That quantize; as many as there are cores if 0.
        keep_source: Leave fetched shards in the hub client's cache.

    >>> Options(types=["Q4_K_M"], threads=3).num_threads()
    3
    """

    types: Sequence[str]
    output: Path | None = None
    revision: str | None = None
    imatrix: Path | None = None
    tensor_types: Sequence[str] = ()
    pure: bool = False
    split_size: int | None = None
    threads: int = 0
    keep_source: bool = False

    def num_threads(self) -> int:
        """The threads asked for, or as many as this process may use."""
        if self.threads > 0:
            return self.threads
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
