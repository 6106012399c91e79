"""Where output goes: answers to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from sus_local.cli.printable import printable

if TYPE_CHECKING:
    from typing_extensions import Buffer


def emit_json(value: Any) -> None:
    """Write one JSON value and a newline to standard output, at once.

    Characters that UTF-8 cannot carry (lone surrogates) are written as escapes, numbers that JSON
    has not (NaN, infinite ones) as null.
    """
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        value = _finite(value)
        line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = json.dumps(value)
    print(line, flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def note(text: str = "", *, end: str = "\n") -> None:
    """Write a line for a person to standard error; where nobody can read it, nothing."""
    with contextlib.suppress(OSError):
        print(printable(text), end=end, file=sys.stderr, flush=True)


def as_shown(text: str) -> str:
    """What standard output gets of a text: on a terminal no control characters, else all of it."""
    return printable(text) if sys.stdout.isatty() else text


def open_closed_streams() -> None:
    """Give the program an empty stream for each standard one that its caller had closed.

    Before any file is opened: it would get the free number, and what is printed there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nothing, mode, encoding="utf-8"))


class _Output(io.FileIO):
    """Where the reader of a pipe went away, Windows calls what is written an invalid argument."""

    def write(self, content: Buffer, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error


def know_closed_pipe(system: str = os.name) -> None:
    """Let standard output raise ``BrokenPipeError`` on Windows, too, where its reader went away."""
    if system != "nt" or sys.stdout.isatty():
        return
    raw = _Output(sys.stdout.fileno(), "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=True)


def use_utf8() -> None:
    """Make the standard streams carry any text: UTF-8 in pipes, no failure on a terminal."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        if stream.isatty():
            reconfigure(errors="replace")
        else:
            reconfigure(encoding="utf-8", errors="replace")
