"""What a conversion will make and need, known before any weight is read."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sus_local.machine import system_memory
from sus_local.paths import existing

BASE_BYTES = 192 << 20
"""What the program itself takes: interpreter, libraries, tokenizer."""

CHUNK_BYTES = 4 << 20
"""Of float32: how much of a tensor goes through a thread at once."""

BLOCK_BYTES = 1 << 19
"""Of float32: so much of that is converted and quantized in turn, while it is in a core's cache."""

BATCH_BYTES = 16 << 20
"""Of an output: so much is synced and read back at once."""


@dataclass(frozen=True, slots=True)
class PlannedOutput:
    """One output.

    Attributes:
        path: The file; of several files, the first.
        type: The mixture.
        bytes: Of all its files.
        files: How many.
        tensors: How many tensors are of which type.
        replaces: What another file that lies there now was made from; empty if there is none.
    """

    path: Path
    type: str
    bytes: int
    files: int
    tensors: dict[str, int]
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not fit, and in ``message`` by how much."""

    resource: Literal["memory", "disk"]
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A conversion before it begins.

    Attributes:
        source: As the user called it.
        revision: The commit, from the hub.
        parameters: Weights of the model.
        source_bytes: Of all its tensors.
        threads: That quantize.
        peak_memory_bytes: An upper estimate.
        peak_disk_bytes: The outputs and what the source takes at once.
        free_disk_bytes: Where the outputs go, what earlier attempts left there counted as free.
        problems: What does not fit.
    """

    source: str
    revision: str | None
    parameters: int
    source_bytes: int
    threads: int
    outputs: Sequence[PlannedOutput]
    peak_memory_bytes: int
    peak_disk_bytes: int
    free_disk_bytes: int
    problems: Sequence[Problem]

    @property
    def fits(self) -> bool:
        """Whether this machine can do it."""
        return not self.problems


def peak_memory(threads: int, widest_row: int, num_types: int, vocab_size: int) -> int:
    """An upper estimate of resident bytes.

    Args:
        widest_row: Bytes of float32 that cannot be split: a row, or a head's rows.
        num_types: Outputs made at once.
    """
    chunk = max(CHUNK_BYTES, widest_row)
    in_flight = 2 * threads + 2
    # Source bytes, their copy in another order and float32, while it is quantized; then outputs:
    # chunks in flight, and three batches that are gathered, wait, and are read back.
    program = BASE_BYTES + vocab_size * 1024
    of_a_type = in_flight * chunk // 2 + 3 * (BATCH_BYTES + chunk)
    return program + threads * 2 * chunk + num_types * of_a_type


def find_problems(
    memory: int, disk: Sequence[tuple[Path, int]], *, total_memory: int | None = None
) -> list[Problem]:
    """What does not fit.

    Args:
        memory: Peak resident bytes.
        disk: Folders, and the bytes that will be written in each.
    """
    problems: list[Problem] = []
    total = system_memory().total_bytes if total_memory is None else total_memory
    if memory > total:
        told = f"needs {gigabytes(memory)} of memory, this machine has {gigabytes(total)}"
        problems.append(Problem("memory", told))
    needed: Counter[int] = Counter()
    for folder, size in disk:
        device = existing(folder).stat().st_dev
        needed[device] += size
        free = free_bytes(folder)
        if needed[device] > free:
            lacks = f"{gigabytes(needed[device])} of disk at {folder}, {gigabytes(free)} is free"
            problems.append(Problem("disk", f"needs {lacks}"))
    return problems


def free_bytes(folder: Path) -> int:
    """Bytes that can be written where a folder is or will be."""
    return shutil.disk_usage(existing(folder)).free


def gigabytes(size: int) -> str:
    """A size for people.

    >>> gigabytes(20_660_000_000), gigabytes(4_300_000)
    ('20.66 GB', '4.3 MB')
    """
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
