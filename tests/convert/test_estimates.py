"""What a conversion needs, and what is told where it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from sus_local.convert.estimates import find_problems, free_bytes, peak_memory
from sus_local.machine import Memory


def test_memory_of_a_34b_model_on_a_laptop_stays_small() -> None:
    row = 4 * 128 * 7168
    assert peak_memory(8, row, 1, 64000) < 1_500_000_000
    assert peak_memory(16, row, 2, 64000) < 1_500_000_000


def test_memory_grows_with_threads_and_rows() -> None:
    small = peak_memory(2, 1000, 1, 32000)
    assert small < peak_memory(4, 1000, 1, 32000)
    assert small < peak_memory(2, 100_000_000, 1, 32000)


def test_too_little_memory_is_told_with_both_sizes(tmp_path: Path) -> None:
    (problem,) = find_problems(3_000_000_000, [(tmp_path, 1)], total_memory=2_000_000_000)
    assert problem.resource == "memory"
    assert "3.00 GB" in problem.message
    assert "2.00 GB" in problem.message
    assert find_problems(1, [(tmp_path, 1)], total_memory=2) == []


def test_memory_is_what_a_container_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.convert.estimates.system_memory", lambda: Memory(1000, 900))
    assert find_problems(1000, [(tmp_path, 1)]) == []
    assert [problem.resource for problem in find_problems(1001, [(tmp_path, 1)])] == ["memory"]


def test_what_goes_to_one_disk_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sus_local.convert.estimates.free_bytes", lambda folder: 100)
    one, other = tmp_path / "one" / "deep", tmp_path / "other"
    assert find_problems(1, [(one, 60)]) == []
    (problem,) = find_problems(1, [(one, 60), (other, 60)])
    assert problem.resource == "disk"


def test_a_folder_that_is_not_there_yet_counts_as_the_nearest_above(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") > 0
