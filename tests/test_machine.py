from __future__ import annotations

from pathlib import Path

import pytest

from sus_local.machine import Memory, _limited, peak_resident, system_memory


def test_this_machine_is_known() -> None:
    assert system_memory().total_bytes > 256 << 20
    assert 1 << 20 < peak_resident() < system_memory().total_bytes


def test_a_container_limits_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("300\n")
    assert _limited(Memory(9000, 8000), tmp_path) == Memory(1000, 700)


VERSION_2 = ("memory.max", "memory.current", "memory.stat", "")
VERSION_1 = (
    "memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_"
)  # fmt: skip


@pytest.mark.parametrize("version", [VERSION_1, VERSION_2], ids=["1", "2"])
@pytest.mark.parametrize(("available", "expected"), [(8000, 900), (500, 500)])
def test_files_in_the_cache_of_a_container_make_way(
    tmp_path: Path, version: tuple[str, ...], available: int, expected: int
) -> None:
    limit, used, statistics, prefix = version
    (tmp_path / "memory").mkdir()
    (tmp_path / limit).write_text("1000\n")
    (tmp_path / used).write_text("980\n")
    lines = ("anon 90", "file 880", f"{prefix}inactive_file 800", f"{prefix}active_file 80")
    (tmp_path / statistics).write_text("\n".join(lines) + "\n")
    assert _limited(Memory(9000, available), tmp_path) == Memory(1000, expected)


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n"])
def test_a_container_without_a_limit_changes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.max").write_text(text)
    assert _limited(Memory(9000, 8000), tmp_path) == Memory(9000, 8000)
