from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from sus_local import cores


def hybrid(folder: Path) -> Path:
    """Two fast cores of two threads each, four efficient ones of one."""
    (folder / "cpu_core").mkdir()
    (folder / "cpu_core/cpus").write_text("0-3\n")
    for number, siblings in enumerate(["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"]):
        topology = folder / f"system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings + "\n")
    return folder


def record(efficiency_class: int, size: int = 48) -> bytes:
    """As Windows tells of a core: relation, size, flags, class, and the rest."""
    head = (0).to_bytes(4, "little") + size.to_bytes(4, "little") + bytes([1, efficiency_class])
    return head.ljust(size, b"\7")


def test_this_machine_has_cores() -> None:
    assert 1 <= cores.num_fast_cores() <= cores.num_physical_cores()
    assert cores.num_physical_cores() <= (psutil.cpu_count(logical=True) or 1)


@pytest.mark.parametrize(("usable", "expected"), [(range(8), 2), ([0, 1, 4], 1), ([4, 5], 0)])
def test_the_fast_cores_of_a_hybrid_are_counted(
    tmp_path: Path, usable: list[int], expected: int
) -> None:
    assert cores._linux_performance_cores(hybrid(tmp_path), set(usable)) == expected


def test_a_processor_of_one_kind_names_no_fast_cores(tmp_path: Path) -> None:
    assert cores._linux_performance_cores(tmp_path, {0, 1}) == 0


def test_all_cores_count_where_fast_ones_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "num_physical_cores", lambda: 6)
    for found, expected in ((0, 6), (2, 6), (4, 4), (8, 6)):
        monkeypatch.setattr(cores, "_num_performance_cores", lambda found=found: found)
        assert cores.num_fast_cores() == expected


def test_the_highest_class_of_windows_is_the_fastest() -> None:
    assert cores._most_efficient(record(1) + record(0, 80) + record(1) + record(0)) == 2
    assert cores._most_efficient(record(0) * 4) == 4
    assert cores._most_efficient(b"") == 0


def test_what_is_no_macos_knows_no_such_number() -> None:
    assert cores._sysctl("no.such.number") == 0
