"""What of a text may reach a terminal: :func:`printable`."""

from __future__ import annotations

import re

_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """``text`` without control characters, so that no answer steers the terminal.

    >>> printable("a\\x1b[2Jb\\tc\\r\\n")
    'a[2Jb\\tc\\n'
    """
    return _UNWANTED.sub("", text)
