"""``sus-local doctor``: what this machine can run, and the command for the best of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.completion import complete_model
from sus_local.cli.text import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sus_local.backend.ggml_devices import Device
    from sus_local.offload.plan import Plan


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def doctor(model: str | None, as_json: bool) -> None:
    """Tell what this machine can run.

    Its processor, memory and GPUs, what the installed llama.cpp makes of them, and which
    quantizations of SUS-Chat-34B fit and how; of MODEL, if one is given.

    \b
    sus-local doctor
    sus-local doctor my-model.gguf --json
    """
    from sus_local.cli.output import emit_json
    from sus_local.offload.devices import find_devices

    devices = find_devices()
    plans = _plans(model, devices)
    value = _findings(model, devices, plans)
    if as_json:
        emit_json(value)
    else:
        _print(value)


def _plans(model: str | None, devices: Sequence[Device]) -> Sequence[Plan]:
    from sus_local.llm import DEFAULT_KV_RAM_BYTES
    from sus_local.offload.advice import best_plan, every_plan
    from sus_local.offload.shapes import SUS_CHAT_34B

    if model is None:
        return every_plan(SUS_CHAT_34B, devices, kv_ram_bytes=DEFAULT_KV_RAM_BYTES)
    from sus_local.cli.model_name import model_file
    from sus_local.offload.gguf_facts import read_facts

    facts = read_facts(model_file(model))
    return [best_plan(facts, devices, kv_ram_bytes=DEFAULT_KV_RAM_BYTES)]


def _findings(
    model: str | None, devices: Sequence[Device], plans: Sequence[Plan]
) -> dict[str, Any]:
    from sus_local.cli.machine_facts import commands, llama_cpp_facts, machine_facts, plan_facts
    from sus_local.offload.advice import recommended

    best = next(iter(plans), None) if model is not None else recommended(plans)
    best = best if best is not None and best.fits else None
    return {
        "machine": machine_facts(devices),
        "llama_cpp": llama_cpp_facts(devices),
        "model": plans[0].facts.name,
        "quantizations": [plan_facts(decided) for decided in plans],
        "best": None
        if best is None
        else {"type": best.facts.file_type, "commands": commands(best, model)},
    }


def _print(value: dict[str, Any]) -> None:
    _print_machine(value["machine"], value["llama_cpp"])
    print()
    _print_quantizations(value)
    print()
    _print_best(value)


def _print_machine(machine: dict[str, Any], llama_cpp: dict[str, Any]) -> None:
    from sus_local.cli.sizes import size
    from sus_local.cli.table import table_lines

    free, total = size(machine["available_bytes"]), size(machine["memory_bytes"])
    rows = [
        (t("processor"), f"{machine['cpu']} ({machine['system']})"),
        (t("physical cores"), str(machine["physical_cores"])),
        (t("features"), " ".join(machine["cpu_features"])),
        (t("memory"), t("{free} free of {total}", free=free, total=total)),
        (t("disk"), t("{free} free", free=size(machine["disk_free_bytes"]))),
        *_gpu_rows(machine["devices"]),
        ("llama.cpp", f"llama-cpp-python {llama_cpp['version']}: {_joined(llama_cpp['backends'])}"),
    ]
    for line in table_lines(rows[0], rows[1:]):
        print(line)
    if (lacks := llama_cpp["lacks"]) is not None:
        gpu, backend = lacks["gpu"], lacks["backend"]
        told = "{gpu} is not used, since llama.cpp was built without {backend}; to build it with:"
        print(t(told, gpu=gpu, backend=backend))
        print(f"  {lacks['command']}")


def _gpu_rows(devices: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    from sus_local.cli.sizes import size

    rows = []
    for device in devices:
        if device["kind"] in ("gpu", "igpu"):
            free, total = size(device["free_bytes"]), size(device["total_bytes"])
            told = t("{free} free of {total}", free=free, total=total)
            rows.append((device["name"], f"{device['description']}, {told}"))
    return rows or [("GPU", t("none that llama.cpp uses"))]


def _print_quantizations(value: dict[str, Any]) -> None:
    from sus_local.cli.sizes import size
    from sus_local.cli.table import print_table

    best = (value["best"] or {}).get("type")
    rows = []
    for each in value["quantizations"]:
        memory = "  ".join(f"{name} {size(used)}" for name, used in each["memory_bytes"].items())
        rows.append(
            (
                each["type"] + (" *" if each["type"] == best else ""),
                size(each["bytes"]),
                t("yes") if each["fits"] else t("no"),
                f"{each['n_gpu_layers']}/{each['n_layers']}",
                str(each["n_ctx"]),
                each["kv_type"],
                memory,
            )
        )
    names = ("type", "size", "fits", "GPU layers", "context", "KV cache", "memory")
    print(value["model"])
    print_table([t(name) for name in names], rows, right={1, 3, 4})


def _print_best(value: dict[str, Any]) -> None:
    if value["best"] is None:
        print(t("Nothing of it fits this machine's free memory."))
        suggestions = [each["suggestion"] for each in value["quantizations"] if each["suggestion"]]
        if suggestions:
            print(t("hint: {hint}", hint=suggestions[0]))
        return
    print(t("The best for this machine (*):"))
    for command in value["best"]["commands"]:
        print(f"  {command}")


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names)
