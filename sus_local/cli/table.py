"""A table of plain text, its columns as wide as their cells, Chinese counted right."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence


def print_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()
) -> None:
    """Print rows under a head to standard output.

    Args:
        right: Columns whose cells stand at the right.
    """
    for line in table_lines(head, rows, right=right):
        print(line)


def table_lines(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()
) -> list[str]:
    """The lines of a table.

    >>> table_lines(("a", "名"), [("xyz", "1")], right={1})
    ['a    名', 'xyz   1']
    """
    from rich.cells import cell_len

    every = [head, *rows]
    widths = [max(cell_len(row[column]) for row in every) for column in range(len(head))]
    lines = []
    for row in every:
        cells = []
        for column, cell in enumerate(row):
            gap = " " * (widths[column] - cell_len(cell))
            cells.append(gap + cell if column in right else cell + gap)
        lines.append("  ".join(cells).rstrip())
    return lines


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` cells; Chinese may break anywhere but before a closing mark.

    >>> wrap("模型；同 MODEL，或 demo。", 10)
    ['模型；同', 'MODEL，或', 'demo。']
    """
    from rich.cells import cell_len

    lines, line = [], ""
    for atom in _ATOM.findall(text):
        if line and cell_len(line + atom.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += atom if line else atom.lstrip()
    return [*lines, line.rstrip()]


_ATOM = re.compile(r"\s*(?:[!-~]+|\S)[，。；：、！？）”]*\s*")
"""What is not broken: a word, or one character, with the marks that close it."""
