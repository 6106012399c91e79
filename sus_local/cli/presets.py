"""``sus-local presets``: a model with a system message and parameters, under a name."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from sus_local.cli.completion import complete_model
from sus_local.cli.options import sampling_options, sampling_values
from sus_local.cli.text import t

_json = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


@click.group(
    epilog="""\b
Examples:
  sus-local presets save brief SUS-Chat-34B-Q4_K_M --system "Be brief." --temp 0.3
  sus-local chat brief
  sus-local run brief "What is a monad?"
"""
)
def presets() -> None:
    """Keep a model with a system message and parameters under a name.

    Such a name stands wherever `chat` and `run` take a model; their options come before what it
    sets. In a chat, /preset save NAME keeps what is in use.
    """


def _complete(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    from sus_local.presets import names

    return [CompletionItem(name) for name in names() if name.startswith(begun)]


@presets.command("list")
@_json
def list_(as_json: bool) -> None:
    """List the presets."""
    from sus_local.cli.output import as_shown, emit_json, note

    if as_json:
        emit_json([{"name": name, **facts} for name, facts in _all().items()])
        return
    lines = preset_lines()
    for line in lines:
        print(as_shown(line))
    if not lines:
        note(t("No preset is saved yet."))


@presets.command()
@click.argument("name", shell_complete=_complete)
@_json
def show(name: str, as_json: bool) -> None:
    """Show what the preset NAME sets."""
    from sus_local.cli.output import as_shown, emit_json
    from sus_local.presets import find

    facts = {"name": name, **find(name).told}
    if as_json:
        emit_json(facts)
        return
    for key, value in facts.items():
        print(as_shown(f"{key}: {_whole(value)}"))


@presets.command()
@click.argument("name")
@click.argument("model", shell_complete=complete_model)
@click.option("--system", help="System message of new conversations.")
@click.option("-c", "--n-ctx", type=int, help="Context length in tokens.")
@sampling_options
def save(name: str, model: str, system: str | None, n_ctx: int | None, **options: Any) -> None:
    """Keep MODEL and the options as NAME.

    A preset of this name is written over.
    """
    from sus_local.cli.model_name import free_for_preset, named_model
    from sus_local.cli.output import note
    from sus_local.presets import Preset
    from sus_local.presets import save as save_preset
    from sus_local.sampling import SamplingParams

    free_for_preset(name)
    sampling = sampling_values(options)
    SamplingParams(**sampling)
    found, _ = named_model(model)
    path = save_preset(name, Preset(found, system or None, sampling, n_ctx))
    note(t("saved to {path}", path=path))


@presets.command()
@click.argument("name", shell_complete=_complete)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rm(name: str, yes: bool) -> None:
    """Delete the preset NAME, after asking."""
    from sus_local.cli.ask import confirm
    from sus_local.cli.output import note
    from sus_local.presets import exists, remove

    if exists(name) and not yes:
        confirm(t("Delete the preset {name}?", name=name))
    remove(name)
    note(t("Deleted."))


def preset_lines() -> list[str]:
    """A line for each preset: its name, its model, and what else it sets."""
    from sus_local.cli.listing import shorten
    from sus_local.cli.table import table_lines

    rows = []
    for name, facts in _all().items():
        told = [
            f"{key} {shorten(_whole(value))}" for key, value in facts.get("sampling", {}).items()
        ]
        told += [f"n_ctx {facts['n_ctx']}"] if "n_ctx" in facts else []
        system = facts.get("problem") or facts.get("system", "")
        rows.append((name, facts.get("model", ""), " ".join(told), shorten(system)))
    heads = [t(head) for head in ("name", "model", "settings", "system message")]
    return table_lines(heads, rows) if rows else []


def _all() -> dict[str, dict[str, Any]]:
    """What every preset sets; of one that is wrong, how."""
    from sus_local.errors import SusLocalError
    from sus_local.presets import find, names

    found = {}
    for name in names():
        try:
            found[name] = find(name).told
        except SusLocalError as error:
            found[name] = {"problem": error.message}
    return found


def _whole(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
