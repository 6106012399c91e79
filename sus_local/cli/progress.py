"""Progress in bytes: a bar on a terminal, a line now and then elsewhere; on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sus_local.cli.output import note
from sus_local.cli.sizes import size

_LINE_SECONDS = 10.0


@contextmanager
def byte_progress(what: str, total: int, *, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show how far something is; yields what is to be called with each number of new bytes.

    Args:
        what: What is being done.
        total: Bytes in all.
        done: Bytes that were there before.
    """
    if sys.stderr.isatty():
        with _bar(what, total, done) as advance:
            yield advance
    else:
        yield _lines(what, total, done)


@contextmanager
def _bar(what: str, total: int, done: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, completed=done)
        yield lambda count: progress.advance(task, count)


def _lines(what: str, total: int, done: int) -> Callable[[int], None]:
    state = {"done": done, "next": time.monotonic() + _LINE_SECONDS}

    def advance(count: int) -> None:
        state["done"] += count
        if time.monotonic() >= state["next"]:
            state["next"] = time.monotonic() + _LINE_SECONDS
            note(f"{what}: {size(state['done'])} / {size(total)}")

    return advance
