"""The longest cached prefix: which blocks hold the beginning of a prompt.

>>> from sus_local.kv.blocks import make_block, root_key
>>> root = root_key("m")
>>> first = make_block(root, 0, (1, 2), b"..")
>>> index = PrefixIndex()
>>> index.add(first); index.add(make_block(first.key, 2, (3, 4), b".."))
>>> index.longest(root, (1, 2, 3, 9)).length
3
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sus_local.kv.blocks import Block


@dataclass(frozen=True, slots=True)
class Prefix:
    """A beginning of a prompt that blocks hold.

    Attributes:
        length: Tokens that match; the last block may reach beyond them.
        blocks: From the root on.
    """

    length: int = 0
    blocks: tuple[Block, ...] = ()


class PrefixIndex:
    """Blocks by their parent, as a tree of token runs.

    One thread changes it and looks for prefixes; :meth:`following` may be called from any.
    """

    def __init__(self) -> None:
        self._changing = threading.RLock()  # the garbage collector may run anything in between
        self._children: dict[bytes, dict[int, list[Block]]] = {}
        self._blocks: dict[bytes, Block] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, key: bytes) -> bool:
        return key in self._blocks

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks.values())

    def add(self, block: Block) -> None:
        """Let ``block`` be found; no effect if it is there."""
        if block.key in self._blocks:
            return
        with self._changing:
            self._blocks[block.key] = block
            siblings = self._children.setdefault(block.parent, {})
            siblings.setdefault(block.token_ids[0], []).append(block)

    def remove(self, key: bytes) -> None:
        """Let a block be found no longer."""
        if key not in self._blocks:
            return
        with self._changing:
            block = self._blocks.pop(key)
            siblings = self._children[block.parent]
            siblings[block.token_ids[0]].remove(block)
            if not siblings[block.token_ids[0]]:
                del siblings[block.token_ids[0]]
            if not siblings:
                del self._children[block.parent]

    def ancestry(self, key: bytes) -> list[Block]:
        """A block and those before it, as far as they are there, the last first."""
        found = []
        while (block := self._blocks.get(key)) is not None:
            found.append(block)
            key = block.parent
        return found

    def longest(self, root: bytes, token_ids: Sequence[int], limit: int | None = None) -> Prefix:
        """The longest beginning of ``token_ids[:limit]`` that blocks from ``root`` on hold."""
        limit = len(token_ids) if limit is None else min(limit, len(token_ids))
        best = Prefix()
        paths: list[tuple[bytes, int, tuple[Block, ...]]] = [(root, 0, ())]
        while paths:
            node, length, blocks = paths.pop()
            if length > best.length:
                best = Prefix(length, blocks)
            if length >= limit:
                break
            for block in self._children.get(node, {}).get(token_ids[length], ()):
                matched = common_length(block.token_ids, token_ids, length, limit)
                path = (*blocks, block)
                if matched == len(block.token_ids):
                    paths.append((block.key, length + matched, path))
                elif length + matched > best.length:
                    best = Prefix(length + matched, path)
        return best

    def following(self, root: bytes, token_ids: Sequence[int]) -> list[tuple[int, ...]]:
        """What follows exactly ``token_ids`` in blocks from ``root`` on: each cached future."""
        with self._changing:
            return list(self._futures(root, token_ids))

    def _futures(self, root: bytes, token_ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
        paths: list[tuple[bytes, int, tuple[int, ...]]] = [(root, 0, ())]
        while paths:
            node, length, future = paths.pop()
            left = len(token_ids) - length
            blocks = self._children_of(node, token_ids[length] if left > 0 else None)
            if left <= 0 and future and not blocks:
                yield future
            for block in blocks:
                run = block.token_ids
                if left <= 0:
                    paths.append((block.key, length, future + run))
                elif tuple(token_ids[length : length + len(run)]) == run[:left]:
                    paths.append((block.key, length + len(run), run[left:]))

    def _children_of(self, node: bytes, first: int | None) -> list[Block]:
        """The blocks after ``node``: those that begin with token ``first``, or all."""
        runs = self._children.get(node, {})
        if first is not None:
            return runs.get(first, [])
        return [block for blocks in runs.values() for block in blocks]


def common_length(run: Sequence[int], token_ids: Sequence[int], start: int, limit: int) -> int:
    """How many tokens of ``run`` equal those of ``token_ids`` from ``start`` on, up to ``limit``.

    >>> common_length((1, 2, 3), (0, 1, 2, 9), 1, 4)
    2
    """
    length = min(len(run), limit - start)
    if tuple(run[:length]) == tuple(token_ids[start : start + length]):
        return length
    for index in range(length):
        if run[index] != token_ids[start + index]:
            return index
    return length
