"""KV blocks: the KV of a run of tokens, addressed by all the tokens up to its end.

A block's key is a hash of its parent's key and its own token ids; the chain begins at a root that
names the model (its fingerprint) and, for KV that was shifted, how it came about: shifted KV is an
approximation and is never found under the address of tokens computed exactly.

>>> root = root_key("model")
>>> chain_key(root, (1, 2)) == chain_key(root, (1, 2)), chain_key(root, (1, 3)) == root
(True, False)
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

MAX_BLOCK_TOKENS = 256
"""The longest run in one block: what a divergence in the middle of it costs at most."""

KEY_BYTES = 16
_MAGIC = b"SUSKV\x01\r\n"
_HEADER = struct.Struct("<8s16s16sIIQ16s")


def digest(*parts: bytes | memoryview) -> bytes:
    """A 16-byte BLAKE2b hash of the parts, in order."""
    state = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def packed_ids(token_ids: Sequence[int]) -> bytes:
    """Token ids as 32-bit integers, for hashing and for files."""
    return array("i", token_ids).tobytes()


def root_key(fingerprint: str) -> bytes:
    """Where the chain of a model begins."""
    return digest(b"root", fingerprint.encode())


def chain_key(parent: bytes, token_ids: Sequence[int]) -> bytes:
    """The key of the run ``token_ids`` that follows ``parent``."""
    return digest(parent, packed_ids(token_ids))


@dataclass(frozen=True, slots=True)
class Block:
    """One run of tokens whose KV is kept.

    Attributes:
        key: Its address.
        parent: The key of the run before it, or a root.
        start: Position of its first token.
        token_ids: The tokens.
        num_bytes: Size of its KV.
    """

    key: bytes
    parent: bytes
    start: int
    token_ids: tuple[int, ...]
    num_bytes: int

    @property
    def end(self) -> int:
        """The position after its last token."""
        return self.start + len(self.token_ids)


def make_block(parent: bytes, start: int, token_ids: Sequence[int], payload: bytes) -> Block:
    """The block for ``payload``, the KV of ``token_ids`` at ``start``."""
    run = tuple(token_ids)
    return Block(chain_key(parent, run), parent, start, run, len(payload))


def pack_header(block: Block, checksum: bytes) -> bytes:
    """The head of a block's file: everything but the KV, whose ``checksum`` it holds."""
    tokens = packed_ids(block.token_ids)
    counts = (block.start, len(block.token_ids), block.num_bytes)
    head = _HEADER.pack(_MAGIC, block.key, block.parent, *counts, checksum) + tokens
    return head + digest(head)


def unpack_header(head: bytes) -> tuple[Block, bytes] | None:
    """Block and checksum of a file's first bytes, or None if they are not whole or no block's.

    >>> block = make_block(root_key("m"), 0, (5, 6), b"kv")
    >>> unpack_header(pack_header(block, digest(b"kv")) + b"kv")[0] == block
    True
    >>> unpack_header(b"rubbish") is None
    True
    """
    if len(head) < _HEADER.size:
        return None
    magic, key, parent, start, count, num_bytes, checksum = _HEADER.unpack_from(head)
    end = _HEADER.size + 4 * count
    if magic != _MAGIC or len(head) < end + KEY_BYTES:
        return None
    if digest(head[:end]) != head[end : end + KEY_BYTES]:
        return None
    tokens = array("i", head[_HEADER.size : end])
    return Block(key, parent, start, tuple(tokens), num_bytes), checksum


def header_size(block: Block) -> int:
    """Bytes before the KV in a block's file."""
    return _HEADER.size + 4 * len(block.token_ids) + KEY_BYTES


MAX_HEADER_BYTES = _HEADER.size + 4 * MAX_BLOCK_TOKENS + KEY_BYTES
