"""The store of KV blocks: one index over the tiers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sus_local.kv.blocks import Block, header_size, make_block
from sus_local.kv.prefix import Prefix, PrefixIndex
from sus_local.kv.tiers import DiskTier, RamTier


class Tier(Protocol):
    """A place that keeps the KV of blocks."""

    def __contains__(self, key: bytes) -> bool: ...
    def get(self, block: Block) -> bytes | None: ...
    def touch(self, keys: Iterable[bytes]) -> None: ...
    def drop(self, key: bytes) -> None: ...


class BlockStore:
    """Keeps KV blocks and finds the longest prefix that they hold.

    A block goes to RAM if there is room, and to disk after those before it. While the disk is
    behind it gets none: what RAM holds of a chain meanwhile is written when the chain next grows.
    What neither has room for is kept later, or not at all. A block can be found as long as one
    tier holds it.

    Args:
        ram: The fast tier.
        disk: The tier that outlasts the process, or None.
    """

    def __init__(self, ram: RamTier, disk: DiskTier | None = None) -> None:
        self.ram = ram
        self.disk = disk
        self._tiers: tuple[Tier, ...] = (ram,) if disk is None else (ram, disk)
        self._index = PrefixIndex()
        found = list(disk.scan()) if disk is not None else []
        for block in found:
            self._index.add(block)
        for block in found:
            self.touch(block.key)
        self._forget(disk.trim() if disk is not None else ())

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: bytes) -> bool:
        return key in self._index

    def fits(self, num_bytes: int, parent: bytes) -> bool:
        """Whether a payload of this size could be kept after ``parent``, told before it is made."""
        before = self._index.ancestry(parent)
        keep = [block.key for block in before]
        return self.ram.fits(num_bytes, keep) or self._disk_fits(num_bytes, before)

    def longest(self, root: bytes, token_ids: Sequence[int], limit: int | None = None) -> Prefix:
        """See :meth:`PrefixIndex.longest`."""
        return self._index.longest(root, token_ids, limit)

    def following(self, root: bytes, token_ids: Sequence[int]) -> list[tuple[int, ...]]:
        """See :meth:`PrefixIndex.following`; from any thread."""
        return self._index.following(root, token_ids)

    def save(self, parent: bytes, start: int, token_ids: Sequence[int], payload: bytes) -> Block:
        """Keep the KV of ``token_ids``, which follow ``parent`` at position ``start``.

        Not without what comes before: it would never be found.
        """
        block = make_block(parent, start, token_ids, payload)
        if block.key not in self._index and (start == 0 or parent in self._index):
            self.touch(parent)
            self._index.add(block)
            gone = self.ram.put(block, payload, self._before(parent))
            self._forget([*gone, *self._write(block, payload)])
        self.touch(block.key)
        return block

    def load(self, block: Block) -> bytes | None:
        """The KV of a block, or None if no tier has it whole; then it is found no more."""
        for tier in self._tiers:
            payload = tier.get(block)
            if payload is not None:
                if tier is not self.ram:
                    self.touch(block.key)
                    self._forget(self.ram.put(block, payload, self._before(block.parent)))
                return payload
        self.drop(block)
        return None

    def drop(self, block: Block) -> None:
        """Let a block be found no more: it is damaged."""
        for tier in self._tiers:
            tier.drop(block.key)
        self._index.remove(block.key)

    def touch(self, key: bytes) -> None:
        """Make a block and all before it the newest."""
        keys = [block.key for block in self._index.ancestry(key)]
        for tier in self._tiers:
            tier.touch(keys)

    def source(self, block: Block) -> str:
        """``"RAM"`` or ``"disk"``: where :meth:`load` would find a block."""
        return "RAM" if block.key in self.ram else "disk"

    def close(self) -> None:
        """Wait until everything is on disk."""
        if self.disk is not None:
            self.disk.close()

    def check_invariants(self) -> None:
        """Raise AssertionError where budgets or the index are broken; for tests."""
        for tier in (self.ram, self.disk):
            if tier is not None and not 0 <= tier.num_bytes <= tier.budget_bytes:
                raise AssertionError(f"{tier.num_bytes} bytes, budget {tier.budget_bytes}")
        for block in self._index:
            if not any(block.key in tier for tier in self._tiers):
                raise AssertionError(f"block {block.key.hex()} is indexed and nowhere kept")

    def _disk_fits(self, num_bytes: int, before: Sequence[Block]) -> bool:
        """Whether the disk takes so many bytes now, and what it lacks of those before them."""
        disk = self.disk
        if disk is None or disk.is_behind:
            return False
        lacking = sum(header_size(b) + b.num_bytes for b in before if b.key not in disk)
        return disk.fits(lacking + num_bytes, [block.key for block in before])

    def _write(self, block: Block, payload: bytes) -> list[bytes]:
        """Give the disk what it lacks of a chain, the beginning first, until it is behind.

        Returns:
            The keys of the blocks that had to go.
        """
        gone: list[bytes] = []
        if (disk := self.disk) is None:
            return gone
        chain = self._index.ancestry(block.key)
        keys = [each.key for each in chain]
        for each in [each for each in reversed(chain) if each.key not in disk]:
            held = payload if each is block else self.ram.get(each)
            if held is not None and not disk.is_behind:
                gone += disk.put(each, held, keys)
        disk.touch(keys)
        return gone

    def _before(self, parent: bytes) -> list[bytes]:
        return [block.key for block in self._index.ancestry(parent)]

    def _forget(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            if not any(key in tier for tier in self._tiers):
                self._index.remove(key)
