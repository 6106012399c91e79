"""What a conversion tells while it runs; the command line draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sus_local.convert.estimates import Plan

Phase = Literal["fetch", "convert", "verify"]


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan is made; nothing is read yet."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Resumed:
    """Tensors that an earlier attempt had finished, of all outputs."""

    tensors: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes:
        phase: ``"convert"``; ``"fetch"`` while it waits for a shard from the hub; ``"verify"``
            while what an earlier attempt wrote is checked, and when the outputs are.
        item: The tensor, shard or file in progress.
        tensors, total_tensors: Of the source; in ``"verify"``, files.
        bytes, total_bytes: Of the source; in ``"fetch"``, of the shard; in ``"verify"``, of the
            outputs.
        seconds: Since the phase began.
        bytes_before: Those of ``bytes`` that were there when it began.
    """

    phase: Phase
    item: str
    tensors: int
    total_tensors: int
    bytes: int
    total_bytes: int
    seconds: float
    bytes_before: int = 0

    @property
    def bytes_per_s(self) -> float:
        """The mean rate; 0 at the beginning."""
        return (self.bytes - self.bytes_before) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None while there is none."""
        rate = self.bytes_per_s
        return (self.total_bytes - self.bytes) / rate if rate else None


Event = Planned | Resumed | Progress
Listener = Callable[[Event], None]
