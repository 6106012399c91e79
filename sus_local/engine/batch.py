"""One batch: the slices that the backend computes, and the rows to sample from.

A row is a token's index in the batch, over all slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sus_local.backend.base import Slice
from sus_local.engine.sequence import Sequence


class Entry(NamedTuple):
    """What a batch computes for one sequence.

    Attributes:
        sequence: The sequence.
        position: Its first token in this batch.
        num_tokens: How many.
        row: The row of the last one; those of the guess follow.
        samples: Whether this brings the sequence to its end, so that a token is to be sampled.
        guess: Tokens after these that are computed in case that they are sampled.
    """

    sequence: Sequence
    position: int
    num_tokens: int
    row: int
    samples: bool
    guess: tuple[int, ...] = ()


@dataclass(slots=True)
class Batch:
    """Slices for the backend, and whose they are."""

    slices: list[Slice] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    num_tokens: int = 0

    @classmethod
    def compose(cls, plan: list[tuple[Sequence, int]], guess: tuple[int, ...] = ()) -> Batch:
        """The batch of what the scheduler decided; the last sequence is guessed to go on so."""
        batch = cls()
        for sequence, count in plan:
            batch._add(sequence, count, guess if sequence is plan[-1][0] else ())
        return batch

    def _add(self, sequence: Sequence, count: int, guess: tuple[int, ...]) -> None:
        if sequence.slot is None:
            raise AssertionError(f"sequence {sequence.id} is scheduled without a slot")
        position = sequence.num_computed
        end = position + count
        samples = end == len(sequence.token_ids)
        outputs = count if sequence.request.scored else int(samples) + len(guess)
        token_ids = [*sequence.token_ids[position:end], *guess]
        row = self.num_tokens + count - 1
        self.num_tokens += len(token_ids)
        self.slices.append(Slice(sequence.slot, position, token_ids, outputs))
        self.entries.append(Entry(sequence, position, count, row, samples, guess))
