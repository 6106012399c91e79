"""What ``sus-local plan`` prints of a machine that is not this one."""

from __future__ import annotations

import pytest

from sus_local.backend.ggml_devices import Device
from sus_local.cli.machine_facts import plan_facts
from sus_local.cli.plan import _print
from sus_local.cli.sizes import size
from sus_local.offload.plan import plan
from sus_local.offload.shapes import SUS_CHAT_34B, hypothetical_facts

GIB = 1 << 30


def test_main_memory_holds_together_what_a_gpu_that_shares_it_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gpu = Device("MTL0", "", "MTL", "gpu", 24 * GIB, 24 * GIB)
    cpu = Device("CPU", "", "CPU", "cpu", 28 * GIB, 32 * GIB)
    decided = plan(hypothetical_facts(SUS_CHAT_34B, "Q4_K_M"), [gpu, cpu])
    assert decided.n_gpu_layers == 61
    _print(decided)
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("CPU") and "together" in line)
    together = sum(line.num_bytes for line in decided.lines)
    assert row.endswith(size(together))
    assert plan_facts(decided)["memory_bytes"] == {
        "MTL0": sum(line.num_bytes for line in decided.lines if line.device == "MTL0"),
        "CPU": together,
    }
