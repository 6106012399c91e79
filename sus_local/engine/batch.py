"""One batch: the slices that the backend computes, and the rows to sample from.

A row is a token's index in the batch, over all slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sus_local.backend.base import Slice
from sus_local.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """What a batch computes for one sequence.

    Attributes:
        sequence: The sequence.
        position: Its first token in this batch.
        count: How many.
        row: The row of the last one.
    """

    sequence: Sequence
    position: int
    count: int
    row: int

    @property
    def samples(self) -> bool:
        """Whether this brings the sequence to its end, so that a token is to be sampled."""
        return self.position + self.count == len(self.sequence)


@dataclass(slots=True)
class Batch:
    """Slices for the backend, and whose they are."""

    slices: list[Slice] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    num_tokens: int = 0

    @classmethod
    def compose(cls, plan: list[tuple[Sequence, int]]) -> Batch:
        """The batch of what the scheduler decided."""
        batch = cls()
        for sequence, count in plan:
            batch._add(sequence, count)
        return batch

    def _add(self, sequence: Sequence, count: int) -> None:
        if sequence.slot is None:
            raise AssertionError(f"sequence {sequence.id} is scheduled without a slot")
        position = sequence.num_computed
        self.num_tokens += count
        entry = Entry(sequence, position, count, self.num_tokens - 1)
        token_ids = sequence.token_ids[position : position + count]
        self.slices.append(Slice(sequence.slot, position, token_ids, int(entry.samples)))
        self.entries.append(entry)
