"""This machine's memory, and how much of it this process took."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes: all of it, and what a new process can have without swapping."""

    total_bytes: int
    available_bytes: int


def system_memory() -> Memory:
    """The machine's memory, within the limit of a container where one is set.

    >>> system_memory().available_bytes <= system_memory().total_bytes
    True
    """
    import psutil

    found = psutil.virtual_memory()
    return _limited(Memory(int(found.total), int(found.available)), Path("/sys/fs/cgroup"))


_VERSIONS = (
    ("", "memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)
"""Of control groups 2 and 1: the folder, the files of the limit and of what is used, and the names
of the page cache in ``memory.stat``."""


def _limited(memory: Memory, cgroup: Path) -> Memory:
    """``memory`` cut to the limit of the control group in the folder ``cgroup``, if it has one.

    The files that were read or written last count as used there, but make way for whoever asks.
    """
    for name, limit_name, used_name, cached_names in _VERSIONS:
        folder = cgroup / name
        limit = _numbers(folder / limit_name).get("")
        if limit is not None and limit < memory.total_bytes:
            statistics = _numbers(folder / "memory.stat")
            cached = sum(statistics.get(each, 0) for each in cached_names)
            used = max(0, _numbers(folder / used_name).get("", 0) - cached)
            return Memory(limit, max(0, min(memory.available_bytes, limit - used)))
    return memory


def _numbers(path: Path) -> dict[str, int]:
    """The numbers in a file by the names before them; one alone has none."""
    found = {}
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            name, _, number = line.rpartition(" ")
            found[name] = int(number)
    return found


def peak_resident() -> int:
    """The most bytes that this process had in memory so far; 0 where it cannot be told.

    >>> peak_resident() > 1 << 20
    True
    """
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    # Linux' getrusage counts what the parent held when it forked, too.
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0]) * 1024
    return _posix_peak()


def _posix_peak() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
