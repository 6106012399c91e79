"""This machine's memory, as far as running a model goes."""

from __future__ import annotations

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


def _limited(memory: Memory, cgroup: Path) -> Memory:
    """``memory`` cut to the limit of the control group in the folder ``cgroup``, if it has one."""
    limit = _number(cgroup / "memory.max") or _number(cgroup / "memory" / "memory.limit_in_bytes")
    if limit is None or limit >= memory.total_bytes:
        return memory
    used = _number(cgroup / "memory.current")
    if used is None:
        used = _number(cgroup / "memory" / "memory.usage_in_bytes") or 0
    return Memory(limit, max(0, min(memory.available_bytes, limit - used)))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
