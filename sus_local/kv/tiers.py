"""Where KV blocks lie: RAM over disk, each with a budget in bytes and the oldest out first.

A block is touched together with all blocks before it, the deepest first; so the oldest block of a
tier is never one that others there depend on. No block is put on disk without those before it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from queue import SimpleQueue

from sus_local.kv.blocks import (
    MAX_HEADER_BYTES,
    Block,
    digest,
    header_size,
    pack_header,
    unpack_header,
)
from sus_local.kv.folder import BLOCK_NAMES, PARTIAL, SUFFIX, SharedFolder

MAX_DISK_BLOCKS = 16384
"""The most files in a folder, whatever the budget: a start reads the head of each."""

MAX_PENDING_BYTES = 1 << 30
"""With so much waiting to be written the disk is behind: half of a full context of SUS-Chat."""


class RamTier:
    """Blocks in memory.

    Args:
        budget_bytes: The most that all payloads together may take; 0 keeps nothing.

    >>> from sus_local.kv.blocks import make_block, root_key
    >>> tier = RamTier(budget_bytes=5)
    >>> block = make_block(root_key("m"), 0, (1,), b"abc")
    >>> tier.put(block, b"abc"), tier.get(block), tier.num_bytes
    ([], b'abc', 3)
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.num_bytes = 0
        self._payloads: OrderedDict[bytes, bytes] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        return key in self._payloads

    def get(self, block: Block) -> bytes | None:
        """The KV of a block, or None."""
        return self._payloads.get(block.key)

    def fits(self, num_bytes: int, keep: Iterable[bytes] = ()) -> bool:
        """Whether a payload of this size could be kept, beside the blocks ``keep``."""
        kept = sum(len(self._payloads.get(key, b"")) for key in keep)
        return kept + num_bytes <= self.budget_bytes

    def put(self, block: Block, payload: bytes, keep: Iterable[bytes] = ()) -> list[bytes]:
        """Keep a block's KV; the keys of the blocks that had to go, perhaps its own.

        Args:
            keep: The newest blocks, which do not go for it: those before it.
        """
        if not self.fits(len(payload), keep):
            return [block.key]
        gone = []
        while self.num_bytes + len(payload) > self.budget_bytes:
            key, old = self._payloads.popitem(last=False)
            self.num_bytes -= len(old)
            gone.append(key)
        self._payloads[block.key] = payload
        self.num_bytes += len(payload)
        return gone

    def touch(self, keys: Iterable[bytes]) -> None:
        """Make blocks the newest, the last of ``keys`` the very newest."""
        for key in keys:
            if key in self._payloads:
                self._payloads.move_to_end(key)

    def drop(self, key: bytes) -> None:
        """Forget a block."""
        payload = self._payloads.pop(key, None)
        self.num_bytes -= len(payload) if payload is not None else 0


class DiskTier:
    """Blocks as files of one folder, written by a thread of its own.

    A file is written under another name and renamed when it is whole. What is torn, altered or
    foreign fails a checksum when it is read, and is deleted. A disk that is full or gone costs
    blocks, never an answer.

    Args:
        folder: Made when the first block is written.
        budget_bytes: The most that all files together may take.
        shared: The folder above, with the blocks of other models and processes.
    """

    def __init__(
        self, folder: Path, budget_bytes: int, *, shared: SharedFolder | None = None
    ) -> None:
        self.folder = folder
        self.budget_bytes = budget_bytes
        self._shared = shared
        self.num_bytes = 0
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        self._pending: dict[bytes, tuple[Block, bytes]] = {}
        self._orders: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None

    def __contains__(self, key: bytes) -> bool:
        return key in self._sizes

    def scan(self) -> Iterator[Block]:
        """The blocks that lie there, the oldest first; their KV is not read."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                block = _read_header(entry) if fnmatchcase(entry.name, BLOCK_NAMES) else None
                if block is not None:
                    with contextlib.suppress(OSError):  # another process deletes, too
                        found.append((entry.stat().st_mtime_ns, -block.start, block))
        for _, _, block in sorted(found, key=lambda item: item[:2]):
            size = header_size(block) + block.num_bytes
            if block.key not in self._sizes:
                self._sizes[block.key] = size
                self.num_bytes += size
                yield block

    def get(self, block: Block) -> bytes | None:
        """The KV of a block if it is there and whole, else None; what is not whole is deleted."""
        if (pending := self._pending.get(block.key)) is not None:
            return pending[1]
        try:
            content = self._path(block.key).read_bytes()
        except OSError:
            content = b""
        payload = content[header_size(block) :]
        if unpack_header(content) == (block, digest(payload)):
            self._order("touch", block.key)
            return payload
        self.drop(block.key)
        return None

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be written that it should be given no more for now."""
        with self._lock:
            waiting = sum(len(payload) for _, payload in self._pending.values())
        return waiting >= MAX_PENDING_BYTES

    def fits(self, num_bytes: int, keep: Iterable[bytes] = ()) -> bool:
        """See :meth:`RamTier.fits`."""
        return self._has_room(num_bytes + MAX_HEADER_BYTES, keep)

    def put(self, block: Block, payload: bytes, keep: Iterable[bytes] = ()) -> list[bytes]:
        """Have a block written, if the one before it is there; see :meth:`RamTier.put`."""
        if block.key in self._sizes:
            return []
        size = header_size(block) + len(payload)
        is_cut_off = block.start > 0 and block.parent not in self._sizes
        if is_cut_off or not self._has_room(size, keep):
            return [block.key]
        gone = self.trim(size)
        self._sizes[block.key] = size
        self.num_bytes += size
        with self._lock:
            self._pending[block.key] = block, payload
        self._order("write", block.key)
        return gone

    def trim(self, num_bytes: int = 0) -> list[bytes]:
        """Delete the oldest blocks until so many more bytes fit; the keys of those that went."""
        gone = []
        most = MAX_DISK_BLOCKS - (num_bytes > 0)
        while self.num_bytes + num_bytes > self.budget_bytes or len(self._sizes) > most:
            gone.append(next(iter(self._sizes)))
            self.drop(gone[-1])
        return gone

    def touch(self, keys: Iterable[bytes]) -> None:
        """Make blocks the newest, the last of ``keys`` the very newest."""
        for key in keys:
            if key in self._sizes:
                self._sizes.move_to_end(key)

    def drop(self, key: bytes) -> None:
        """Delete a block."""
        self.num_bytes -= self._sizes.pop(key, 0)
        with self._lock:
            self._pending.pop(key, None)
        self._order("delete", key)

    def close(self) -> None:
        """Wait until everything is written."""
        if self._writer is not None:
            self._orders.put(("stop", b""))
            self._writer.join()
            self._writer = None

    def _has_room(self, size: int, keep: Iterable[bytes]) -> bool:
        return sum(self._sizes.get(key, 0) for key in keep) + size <= self.budget_bytes

    def _order(self, verb: str, key: bytes) -> None:
        self._orders.put((verb, key))
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_loop, name="sus-local-kv")
            self._writer.daemon = True
            self._writer.start()

    def _write_loop(self) -> None:
        while True:
            verb, key = self._orders.get()
            if verb == "stop":
                return
            with contextlib.suppress(OSError):
                self._carry_out(verb, key)

    def _carry_out(self, verb: str, key: bytes) -> None:
        """An order names a block only: what is to be done is what the block needs by now."""
        if verb == "touch":
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path(key))
        elif (pending := self._pending.get(key)) is not None:
            self._write(pending)
        elif key not in self._sizes:
            self._path(key).unlink(missing_ok=True)

    def _write(self, pending: tuple[Block, bytes]) -> None:
        block, payload = pending
        if self._shared is not None:
            self._shared.make_room(header_size(block) + len(payload))
        path = self._path(block.key)
        partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(partial, "wb") as file:
                file.write(pack_header(block, digest(payload)))
                file.write(payload)
            os.replace(partial, path)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        finally:
            with self._lock:
                if self._pending.get(block.key) is pending:
                    del self._pending[block.key]

    def _path(self, key: bytes) -> Path:
        return self.folder / f"{key.hex()}{SUFFIX}"


def _read_header(entry: os.DirEntry[str]) -> Block | None:
    try:
        if not entry.is_file():  # to open a pipe would wait for its other end
            return None
        with open(entry.path, "rb") as file:
            header = unpack_header(file.read(MAX_HEADER_BYTES))
        if header is not None and _is_whole(entry, header[0]):
            return header[0]
        os.unlink(entry.path)
    except OSError:
        pass
    return None


def _is_whole(entry: os.DirEntry[str], block: Block) -> bool:
    size = header_size(block) + block.num_bytes
    return entry.stat().st_size == size and entry.name == f"{block.key.hex()}{SUFFIX}"
