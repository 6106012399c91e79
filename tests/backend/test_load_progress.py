"""How far a load is; no model is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sus_local.backend.load_progress import LoadProgress


@pytest.mark.parametrize(
    ("most", "asked", "told"), [(None, 2, [0.25, 0.5]), (20, 2, [0.25, 0.5]), (19, 0, [])]
)
def test_files_that_do_not_fit_into_memory_are_not_read_ahead(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int | None,
    asked: int,
    told: list[float],
) -> None:
    """Their end would push out their beginning, which llama.cpp reads next."""
    calls: list[Any] = []
    shares: list[float] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *given: calls.append(given), raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    files = [tmp_path / "one", tmp_path / "two"]
    for path in files:
        path.write_bytes(bytes(10))
    progress = LoadProgress(shares.append, most_ahead_bytes=most)
    progress.read_ahead(files, share=0.5)
    assert (len(calls), shares) == (asked, told)
    assert progress._on_progress(0.5, None)
    assert shares[-1] == (0.75 if asked else 0.5)
