"""What a model file is, told without reading all of it."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from sus_local.header import split_parts

_SAMPLE_BYTES = 64 * 1024
_NUM_SAMPLES = 64
_HEAD_BYTES = 1024 * 1024


def file_fingerprint(path: Path) -> str:
    """A hash of a file's size, its first MiB and 64 samples spread over the rest.

    Reading 20 GB to name a model would take longer than loading it. Two models that differ at all
    differ in nearly every tensor, so samples tell them apart; damage is what the manifest's
    checksums are for. Of a split file, all parts count.
    """
    state = blake2b(digest_size=16)
    for part in split_parts(path):
        size = part.stat().st_size
        state.update(size.to_bytes(8, "little"))
        with open(part, "rb") as file:
            state.update(file.read(_HEAD_BYTES))
            for index in range(_NUM_SAMPLES):
                file.seek(size * index // _NUM_SAMPLES)
                state.update(file.read(_SAMPLE_BYTES))
    return state.hexdigest()
