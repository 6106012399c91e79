"""How many cells of the KV cache are taken, counting shared ones once.

>>> cells = Cells(10)
>>> one: list[int] = []
>>> cells.grow(one, 6)
>>> two = cells.fork(one, 4)
>>> cells.grow(two, 1)
>>> cells.num_used
7
>>> cells.remove(one, 0, 6)
>>> cells.num_used
5
"""

from __future__ import annotations

from collections.abc import Sequence

Holding = list[int]
"""The cells of one sequence, in the order of their positions."""


class Cells:
    """The ledger of a cache with ``num_cells`` cells.

    Which cell llama.cpp really takes is its own affair; this counts owners.
    """

    def __init__(self, num_cells: int) -> None:
        self.num_cells = num_cells
        self._owners = [0] * num_cells
        self._free = list(range(num_cells - 1, -1, -1))

    @property
    def num_free(self) -> int:
        """Cells that nobody owns."""
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Cells with an owner."""
        return self.num_cells - len(self._free)

    def grow(self, holding: Holding, count: int) -> None:
        """Give ``count`` new cells to a sequence; there have to be so many."""
        for _ in range(count):
            cell = self._free.pop()
            self._owners[cell] = 1
            holding.append(cell)

    def fork(self, holding: Sequence[int], length: int) -> Holding:
        """A sequence that shares the first ``length`` cells of another."""
        shared = list(holding[:length])
        for cell in shared:
            self._owners[cell] += 1
        return shared

    def remove(self, holding: Holding, start: int, end: int | None = None) -> None:
        """Take the cells ``[start, end)`` from a sequence."""
        for cell in holding[start:end]:
            self._owners[cell] -= 1
            if self._owners[cell] == 0:
                self._free.append(cell)
        del holding[start:end]
