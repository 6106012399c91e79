"""``sus-local plan``: where a model's memory would go, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.completion import complete_model
from sus_local.cli.options import loading_options, loading_values
from sus_local.cli.text import t
from sus_local.cli.told import told

if TYPE_CHECKING:
    from sus_local.offload.plan import Plan


@click.command()
@click.argument("model", shell_complete=complete_model)
@loading_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def plan(model: str, as_json: bool, **options: Any) -> None:
    """Tell where MODEL's memory would go.

    Weights, KV cache, compute buffers and prompt cache, on each device, with the settings that
    would be taken. Nothing is loaded.

    \b
    sus-local plan my-model.gguf
    sus-local plan my-model.gguf -c 4096 --kv-type q8_0 --json
    """
    from sus_local.cli.output import emit_json

    decided = _decide(model, loading_values(options))
    if as_json:
        emit_json(_facts(decided))
    else:
        _print(decided)


def _decide(model: str, values: dict[str, Any]) -> Plan:
    """The plan of ``load`` with its default settings but for ``values``."""
    from sus_local.backend.options import LoadOptions, num_outputs
    from sus_local.cli.model_name import model_file
    from sus_local.llm import DEFAULT_KV_RAM_BYTES, DEFAULT_MAX_SEQUENCES
    from sus_local.offload.devices import find_devices
    from sus_local.offload.gguf_facts import read_facts
    from sus_local.offload.plan import plan as decide

    n_ctx, n_threads = values.get("n_ctx"), values.pop("n_threads", None)
    knobs = LoadOptions(n_ctx=n_ctx, n_threads=n_threads)  # refuses what loading would
    return decide(
        read_facts(model_file(model)),
        find_devices(),
        n_batch=knobs.n_batch,
        n_ubatch=knobs.n_ubatch,
        max_sequences=DEFAULT_MAX_SEQUENCES + 1,
        n_outputs_max=num_outputs(DEFAULT_MAX_SEQUENCES),
        kv_ram_bytes=DEFAULT_KV_RAM_BYTES,
        **values,
    )


def _facts(decided: Plan) -> dict[str, Any]:
    from sus_local.cli.machine_facts import plan_facts

    lines = [
        {"device": line.device, "what": line.what, "bytes": line.num_bytes}
        for line in decided.lines
    ]
    return {"model": decided.facts.name, **plan_facts(decided), "ledger": lines}


def _print(decided: Plan) -> None:
    from sus_local.cli.sizes import size
    from sus_local.cli.table import print_table

    rows = [(line.device, told(line.what), size(line.num_bytes)) for line in decided.lines]
    for device in decided.devices:
        if used := decided.taken_bytes(device):
            free = size(device.free_bytes)
            rows.append((device.name, t("together, of {free} free", free=free), size(used)))
    print_table([t(name) for name in ("device", "what", "size")], rows, right={2})
    print()
    layers, most = decided.n_gpu_layers, decided.facts.n_layer + 1
    print(
        t(
            "context {n_ctx}, KV cache {kv_type}, {layers} of {most} layers on GPUs",
            n_ctx=decided.n_ctx,
            kv_type=decided.kv_type,
            layers=layers,
            most=most,
        )
    )
    if not decided.fits:
        print(t("It does not fit."))
        if decided.suggestion:
            print(t("hint: {hint}", hint=decided.suggestion))
