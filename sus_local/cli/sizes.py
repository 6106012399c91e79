"""Sizes as people read them."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(num_bytes: float) -> str:
    """Bytes in decimal units, as file managers and the hub show them.

    >>> size(999), size(20_660_000_000), size(4_373_024)
    ('999 B', '20.66 GB', '4.37 MB')
    """
    unit = 0
    while num_bytes >= 1000 and unit < len(_UNITS) - 1:
        num_bytes /= 1000
        unit += 1
    return f"{num_bytes:.0f} B" if unit == 0 else f"{num_bytes:.2f} {_UNITS[unit]}"


def count(number: float) -> str:
    """A large number in short.

    >>> count(34_390_000_000), count(4_070_000), count(12)
    ('34.39 B', '4.07 M', '12')
    """
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}"
    return f"{number:.0f}"
