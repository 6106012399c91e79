"""The clipboard: through the system's own program, else through the terminal."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys

_PROGRAMS = (
    ("pbcopy",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
    ("clip.exe",),
)
_SECONDS = 3


def copy(text: str) -> bool:
    """Put ``text`` into the clipboard; False where there is no way to."""
    for command in _PROGRAMS:
        if shutil.which(command[0]) and _give(command, text):
            return True
    return _tell_terminal(text)


def _give(command: tuple[str, ...], text: str) -> bool:
    encoding = "utf-16-le" if command[0] == "clip.exe" else "utf-8"
    try:
        done = subprocess.run(
            command,
            input=text.encode(encoding, "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _tell_terminal(text: str) -> bool:
    """The escape sequence OSC 52, which most terminals obey, also over ssh."""
    if not sys.stdout.isatty():
        return False
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    sys.stdout.write(f"\x1b]52;c;{encoded}\x07")
    sys.stdout.flush()
    return True
