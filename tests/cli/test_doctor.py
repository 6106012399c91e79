"""``sus-local doctor`` and ``sus-local plan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sus_local.backend.ggml_devices import Device
from sus_local.cli.doctor import doctor
from sus_local.cli.localise import localised
from sus_local.cli.plan import plan
from sus_local.errors import RequestError
from sus_local.offload import devices

GIB = 1 << 30
CPU = Device("CPU", "a processor", "CPU", "cpu", 28 * GIB, 32 * GIB)
CUDA = Device("CUDA0", "a GPU", "CUDA", "gpu", 12 * GIB, 12 * GIB)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    found = [CPU]
    monkeypatch.setattr(devices, "find_devices", lambda: tuple(found))
    monkeypatch.setattr(devices, "_present_gpus", lambda: ())
    return found


def run(command: Any, *args: str) -> Result:
    return CliRunner().invoke(localised(command), args, catch_exceptions=False)


@pytest.mark.usefixtures("machine")
def test_json_tells_the_machine_and_every_quantization() -> None:
    value = json.loads(run(doctor, "--json").stdout)

    assert value.keys() == {"machine", "llama_cpp", "model", "quantizations", "best"}
    assert value["machine"]["memory_bytes"] == 32 * GIB
    assert value["machine"]["disk_free_bytes"] > 0
    assert value["llama_cpp"]["backends"] == ["CPU"]
    assert value["llama_cpp"]["lacks"] is None
    by_type = {each["type"]: each for each in value["quantizations"]}
    assert by_type["Q4_K_M"]["fits"]
    assert not by_type["F16"]["fits"]
    assert by_type["Q4_K_M"]["bytes"] == pytest.approx(20.66e9, rel=0.001)


@pytest.mark.usefixtures("machine")
def test_the_best_comes_with_its_commands() -> None:
    value = json.loads(run(doctor, "--json").stdout)
    assert value["best"] == {
        "type": "Q4_K_M",
        "commands": [
            "sus-local convert SUSTech/SUS-Chat-34B -q Q4_K_M",
            "sus-local chat SUS-Chat-34B:Q4_K_M -c 8192",
        ],
    }


def test_a_gpu_takes_layers(machine: list[Device]) -> None:
    machine.insert(0, CUDA)
    value = json.loads(run(doctor, "--json").stdout)
    chosen = next(each for each in value["quantizations"] if each["type"] == "Q4_K_M")
    assert 20 < chosen["n_gpu_layers"] < chosen["n_layers"] == 61
    assert chosen["memory_bytes"]["CUDA0"] < 12 * GIB


@pytest.mark.usefixtures("machine")
def test_the_table_is_for_people() -> None:
    text = run(doctor).stdout
    assert "30.06 GB free of 34.36 GB" in text
    assert "Q4_K_M *" in text
    assert text.rstrip().endswith("sus-local chat SUS-Chat-34B:Q4_K_M -c 8192")


@pytest.mark.usefixtures("machine")
def test_an_unused_gpu_comes_with_the_command_that_builds_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "_present_gpus", lambda: [("RTX 4090", "CUDA")])
    text = run(doctor).stdout
    assert "RTX 4090 is not used, since llama.cpp was built without CUDA" in text
    assert "-DGGML_CUDA=on" in text


def test_a_small_machine_is_told_what_would_fit(machine: list[Device]) -> None:
    machine[0] = Device("CPU", "", "CPU", "cpu", 6 * GIB, 8 * GIB)
    done = run(doctor)
    assert done.exit_code == 0
    assert "Nothing of it fits this machine's free memory." in done.stdout
    assert json.loads(run(doctor, "--json").stdout)["best"] is None


@pytest.mark.usefixtures("machine")
@pytest.mark.model
def test_a_model_of_ones_own_is_told(demo_gguf: Path) -> None:
    value = json.loads(run(doctor, str(demo_gguf), "--json").stdout)
    (only,) = value["quantizations"]
    assert only["fits"]
    assert value["best"]["commands"] == [f"sus-local chat {demo_gguf} -c {only['n_ctx']}"]


@pytest.mark.usefixtures("machine")
@pytest.mark.model
def test_a_plan_adds_up(demo_gguf: Path) -> None:
    value = json.loads(run(plan, str(demo_gguf), "-c", "512", "--json").stdout)
    assert value["n_ctx"] == 512
    assert value["fits"]
    assert sum(line["bytes"] for line in value["ledger"]) == value["memory_bytes"]["CPU"]
    assert "together, of 30.06 GB free" in run(plan, str(demo_gguf)).stdout


@pytest.mark.usefixtures("machine")
@pytest.mark.model
@pytest.mark.parametrize("command", [doctor, plan])
def test_the_demo_model_is_meant_by_its_short_name(command: click.Command) -> None:
    assert json.loads(run(command, "demo", "--json").stdout)["model"]


@pytest.mark.usefixtures("machine")
@pytest.mark.model
@pytest.mark.parametrize(("option", "value"), [("-t", "-3"), ("-c", "0"), ("-c", "999999999999")])
def test_a_plan_refuses_what_loading_would(demo_gguf: Path, option: str, value: str) -> None:
    with pytest.raises(RequestError, match=f" is {value}, it has to be from 1 to "):
        run(plan, str(demo_gguf), option, value)
