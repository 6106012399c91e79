"""How a conversion shows its progress: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from sus_local.cli.output import note
from sus_local.cli.text import t
from sus_local.convert.estimates import gigabytes
from sus_local.convert.progress import Event, Listener, Phase, Planned, Progress, Resumed

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def listener(*, quiet: bool = False) -> Iterator[Listener]:
    """What to give ``convert`` as ``progress``.

    Args:
        quiet: Say nothing on a terminal either, for output that programs read.
    """
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield Lines()


class Lines:
    """Plain lines on standard error, one every few seconds and one at the end of each phase."""

    def __init__(self, *, seconds_between: float = SECONDS_BETWEEN_LINES) -> None:
        self._between = seconds_between
        self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Progress):
            note(told(event))
            return
        now = time.monotonic()
        if now - self._last >= self._between or event.bytes == event.total_bytes:
            self._last = now
            note(told(event))


def told(event: Event) -> str:
    """An event in one line."""
    if isinstance(event, Planned):
        from sus_local.cli.convert import told_plan

        return told_plan(event.plan)
    if isinstance(event, Resumed):
        return t("{count} tensors are done already", count=event.tensors)
    share = 100 * event.bytes // max(event.total_bytes, 1)
    verb = _verb(event.phase)
    return (
        f"{verb} {share:3d} %  {gigabytes(event.bytes)} / {gigabytes(event.total_bytes)}"
        f"  {gigabytes(int(event.bytes_per_s))}/s  {_left(event)}  {event.item}"
    )


def _verb(phase: Phase) -> str:
    verbs = {"fetch": t("fetching"), "convert": t("quantizing"), "verify": t("verifying")}
    return verbs[phase]


def _left(event: Progress) -> str:
    seconds = event.seconds_left
    return "" if seconds is None else t("{time} left", time=duration(seconds))


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(4.2), duration(190), duration(7300)
    ('4 s', '3:10 min', '2:01 h')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


@contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[item]}", style="dim"),
    )
    with Bar(*columns, console=console) as bar:
        tasks = {
            phase: bar.add_task(_verb(phase), total=None, item="", visible=False)
            for phase in get_args(Phase)
        }

        def tell(event: Event) -> None:
            if isinstance(event, Progress):
                bar.update(
                    tasks[event.phase],
                    completed=event.bytes,
                    total=event.total_bytes,
                    item=event.item,
                    visible=True,
                )
                bar.update(tasks["fetch"], visible=event.phase == "fetch")
            else:
                console.print(told(event), highlight=False, markup=False, soft_wrap=True)

        yield tell
