"""Figures of a benchmark: ours and theirs, taken in pairs."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Attributes:
        name: What was measured.
        unit: Of ``ours`` and ``theirs``, which are medians.
        ours: Of this project.
        theirs: Of ``against``; None where there is no other.
        against: Whom it is compared with; empty where there is no other.
        ratio: The median of ours / theirs over the pairs; None where there is no other.
        spread: The smallest and the largest of these ratios, or of ours where there is no other;
            None if there is one measurement.
        wanted: ``(">=", 0.97)``: what the ratio, or ours where there is no other, should be; None
            if it is for information.
    """

    name: str
    unit: str
    ours: float
    theirs: float | None = None
    against: str = ""
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    wanted: tuple[str, float] | None = None

    @property
    def met(self) -> bool | None:
        """Whether it is as wanted."""
        if self.wanted is None:
            return None
        relation, bound = self.wanted
        value = self.ours if self.ratio is None else self.ratio
        return value >= bound if relation == ">=" else value <= bound

    def as_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self) | {"met": self.met}


def pair(
    name: str, unit: str, ours: float, theirs: float, against: str, wanted: tuple[str, float] | None
) -> Figure:
    """A figure of one pair."""
    return Figure(name, unit, ours, theirs, against, ours / theirs, wanted=wanted)


@dataclass
class Sample:
    """Pairs of measurements, ours and theirs, taken one after the other."""

    pairs: list[tuple[float, float]] = field(default_factory=list)

    def add(self, ours: float, theirs: float) -> None:
        """Take a pair."""
        self.pairs.append((ours, theirs))

    def without_first(self) -> Sample:
        """Without the pair that warmed up."""
        return Sample(self.pairs[1:])

    def figure(
        self, name: str, unit: str, against: str, bound: float | None, relation: str = ">="
    ) -> Figure:
        """The medians; ``bound`` is what the median of the ratios should reach."""
        ratios = [ours / theirs for ours, theirs in self.pairs]
        return Figure(
            name=name,
            unit=unit,
            ours=statistics.median(ours for ours, _ in self.pairs),
            theirs=statistics.median(theirs for _, theirs in self.pairs),
            against=against,
            ratio=statistics.median(ratios),
            spread=(min(ratios), max(ratios)),
            wanted=None if bound is None else (relation, bound),
        )
