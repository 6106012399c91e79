"""Texts as the user's shell takes them, for commands that are to be pasted."""

from __future__ import annotations

import os


def quoted(text: str) -> str:
    """One word of a command; on Windows that is what a program makes of its command line.

    >>> quoted("a-Q8_0.gguf")
    'a-Q8_0.gguf'
    """
    if os.name == "nt":
        import subprocess

        return subprocess.list2cmdline([text])
    import shlex

    return shlex.quote(text)
