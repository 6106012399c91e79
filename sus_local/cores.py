"""The cores of this machine's processor, as far as threads are for them.

>>> 1 <= num_fast_cores() <= num_physical_cores()
True
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_LINUX = Path("/sys/devices")

_ENOUGH = 4
"""So many fast cores take what such a machine's memory gives, for which decoding waits."""


def num_physical_cores() -> int:
    """The physical cores that this process may use.

    A second hardware thread of a core shares its vector units, and makes nothing faster.
    """
    import psutil

    return max(1, min(psutil.cpu_count(logical=False) or os.cpu_count() or 1, len(_usable())))


def num_fast_cores() -> int:
    """Of these the fast ones, if they are enough, on a processor with cores for efficiency too.

    Threads share each operation and meet after it: all would wait for the slowest.
    """
    physical, fast = num_physical_cores(), _num_performance_cores()
    return min(fast, physical) if fast >= _ENOUGH else physical


def _usable() -> set[int]:
    """The numbers of the logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))  # macOS and Windows have no such limits


def _num_performance_cores() -> int:
    """The cores of the fastest kind; 0 where there is one kind only, or nobody tells."""
    if sys.platform == "win32":
        return _most_efficient(_windows_cores())
    if sys.platform == "darwin":
        return _sysctl("hw.perflevel0.physicalcpu")
    return _linux_performance_cores(_LINUX, _usable())


def _linux_performance_cores(devices: Path, usable: set[int]) -> int:
    """Intel's hybrids have a folder for each kind: ``cpu_core`` and ``cpu_atom``."""
    cores = set()
    with contextlib.suppress(OSError, ValueError):
        for number in usable.intersection(_numbers((devices / "cpu_core/cpus").read_text())):
            siblings = devices / f"system/cpu/cpu{number}/topology/thread_siblings_list"
            cores.add(siblings.read_text())
    return len(cores)


def _numbers(ranges: str) -> Iterator[int]:
    """``0-2,5`` is 0, 1, 2 and 5."""
    for part in ranges.strip().split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _sysctl(name: str) -> int:
    """A number that macOS knows by name, or 0."""
    value, size = ctypes.c_int32(), ctypes.c_size_t(4)
    with contextlib.suppress(AttributeError, TypeError):  # another system
        call = ctypes.CDLL(None).sysctlbyname
        if call(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0) == 0:
            return value.value
    return 0


def _windows_cores() -> bytes:
    """A record of each core, from ``GetLogicalProcessorInformationEx``."""
    if sys.platform != "win32":
        return b""
    ask, size = ctypes.windll.kernel32.GetLogicalProcessorInformationEx, ctypes.c_uint32()
    ask(0, None, ctypes.byref(size))
    records = ctypes.create_string_buffer(size.value)
    return records.raw if ask(0, records, ctypes.byref(size)) else b""


def _most_efficient(records: bytes) -> int:
    """How many cores have the highest of Windows' efficiency classes, which is the fastest.

    Each record has its size at byte 4 and its class at byte 9.
    """
    classes, start = [], 0
    while start + 9 < len(records):
        classes.append(records[start + 9])
        start += int.from_bytes(records[start + 4 : start + 8], "little") or len(records)
    return classes.count(max(classes, default=0))
