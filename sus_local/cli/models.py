"""``sus-local models``: the local store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.completion import complete_model
from sus_local.cli.model_name import stored_model
from sus_local.cli.text import t
from sus_local.errors import SusLocalError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sus_local.models import StoredModel
    from sus_local.unfinished import Unfinished

_json = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


@click.group(
    epilog="""\b
Examples:
  sus-local models list
  sus-local models show SUS-Chat-34B-Q4_K_M
  sus-local models verify --all
"""
)
def models() -> None:
    """List, show, verify and remove the models on this machine."""


@models.command("list")
@_json
def list_(as_json: bool) -> None:
    """List the models of the local store."""
    from sus_local.cli.output import emit_json, note
    from sus_local.models import list_models

    found = [facts_of(model) for model in list_models()]
    if as_json:
        emit_json(found)
    elif not found:
        from sus_local import paths

        note(t("No model is in {folder} yet.", folder=paths.models_dir()))
        note(t("hint: {hint}", hint="sus-local demo; sus-local pull org/repo:Q4_K_M"))
    else:
        _print_table(found)
    if not as_json:
        _tell_unfinished()


def _tell_unfinished() -> None:
    from sus_local.cli.output import note
    from sus_local.cli.sizes import size
    from sus_local.shell import quoted
    from sus_local.unfinished import list_unfinished

    for rest in list_unfinished():
        note(
            t(
                "unfinished: {name}, {size}; its command goes on with it, or: {command}",
                name=rest.name,
                size=size(rest.num_bytes),
                command=f"sus-local models rm {quoted(rest.name)}",
            )
        )


def facts_of(model: StoredModel) -> dict[str, Any]:
    """What ``list`` tells; of a damaged file, that it is."""
    from sus_local.checksums import state
    from sus_local.header import read_header

    facts: dict[str, Any] = {
        "name": model.name,
        "path": str(model.path),
        "bytes": model.num_bytes,
        "source": _source(model),
        "checksums": state(model),
        "complete": model.is_complete,
    }
    try:
        headers = [read_header(path) for path in model.files]
    except SusLocalError as error:
        return {**facts, "problem": error.message}
    return {
        **facts,
        "architecture": headers[0].architecture,
        "type": headers[0].file_type,
        "n_ctx_train": headers[0].n_ctx_train,
        "parameters": sum(header.num_parameters for header in headers),
    }


def _source(model: StoredModel) -> str:
    source = model.manifest.get("source")
    if isinstance(source, dict):
        return str(source.get("repository") or source.get("label") or "")
    return str(source or "")


def _print_table(found: list[dict[str, Any]]) -> None:
    from sus_local.cli.sizes import count, size
    from sus_local.cli.table import print_table

    rows = []
    for facts in found:
        state = t(facts["checksums"]) if facts["complete"] else t("parts are missing")
        rows.append(
            (
                facts["name"],
                facts.get("type", "?"),
                size(facts["bytes"]),
                count(facts.get("parameters", 0)),
                str(facts.get("n_ctx_train", "?")),
                t("damaged") if "problem" in facts else state,
                facts["source"],
            )
        )
    names = ("name", "type", "size", "parameters", "context", "checksums", "from")
    print_table([t(name) for name in names], rows, right={2, 3, 4})


@models.command()
@click.argument("model", shell_complete=complete_model)
@_json
def show(model: str, as_json: bool) -> None:
    """Show everything about MODEL.

    Its files and metadata, where it came from, and the types of its tensors.
    """
    from sus_local.cli.output import emit_json

    stored = stored_model(model)
    value = _everything(stored)
    if as_json:
        emit_json(value)
        return
    _print_section("", {key: each for key, each in value.items() if not isinstance(each, dict)})
    for heading in ("provenance", "tensor_types", "metadata"):
        _print_section(heading, value[heading])


def _everything(stored: StoredModel) -> dict[str, Any]:
    from sus_local.header import read_header

    headers = [read_header(path) for path in stored.files]
    provenance = {key: each for key, each in stored.manifest.items() if key != "tensors"}
    return {
        **facts_of(stored),
        "files": [str(path) for path in stored.files],
        "provenance": provenance,
        "tensor_types": _tensor_types(headers),
        "metadata": dict(headers[0].metadata),
    }


def _tensor_types(headers: list[Any]) -> dict[str, int]:
    """How many tensors have which type."""
    from sus_local.header import TENSOR_TYPES

    types: dict[str, int] = {}
    for header in headers:
        for tensor in header.tensors:
            name = TENSOR_TYPES.get(tensor.ggml_type, str(tensor.ggml_type))
            types[name] = types.get(name, 0) + 1
    return types


def _print_section(heading: str, values: dict[str, Any]) -> None:
    import json

    if heading:
        print(f"\n{t(heading)}")
    width = max(map(len, values), default=0)
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        print(f"  {key:<{width}}  {_one_line(text)}")


def _one_line(text: str, most: int = 200) -> str:
    from sus_local.cli.printable import printable

    flat = printable(text).replace("\n", "\\n")
    return flat if len(flat) <= most else f"{flat[:most]}… ({len(flat)} characters)"


@models.command()
@click.argument("names", nargs=-1, metavar="MODEL...", shell_complete=complete_model)
@click.option("--all", "everything", is_flag=True, help="Every model that has checksums.")
@_json
def verify(names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Compare MODELs with their checksums.

    Reads the files again, whole, and names what differs.
    """
    if bool(names) == everything:
        raise click.UsageError("give the names of models, or --all")
    from sus_local import checksums
    from sus_local.cli.output import emit_json
    from sus_local.models import list_models

    every = [model for model in list_models() if checksums.state(model) != "none"]
    chosen = every if everything else [stored_model(name) for name in names]
    results, failures = [], []
    for model in chosen:
        try:
            with _progress(model) as on_bytes:
                checked = checksums.verify(model, on_bytes=on_bytes)
        except SusLocalError as error:
            failures.append(error)
            _tell_failure(model, error, quiet=as_json or len(chosen) == 1)
            continue
        results.append({"name": model.name, "files": checked.num_files, "bytes": checked.num_bytes})
        if not as_json:
            print(t("{name}: as recorded", name=model.name))
    _raise(failures, len(chosen))
    if as_json:
        emit_json({"verified": results})


def _tell_failure(model: StoredModel, error: SusLocalError, *, quiet: bool) -> None:
    from sus_local.cli.output import note
    from sus_local.cli.told import told

    if not quiet:
        note(f"{model.name}: {told(error.message)}")


def _raise(failures: Sequence[SusLocalError], count: int) -> None:
    """The only failure as it is; several models' as one."""
    if not failures:
        return
    if count == 1:
        raise failures[0]
    messages = "; ".join(error.message for error in failures)
    raise VerificationError(
        f"{len(failures)} of {count} models are not as recorded: {messages}",
        hint=failures[0].hint,
        num_failures=len(failures),
    )


def _progress(model: StoredModel) -> Any:
    from sus_local.cli.progress import byte_progress

    return byte_progress(t("verifying {name}", name=model.name), model.num_bytes)


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="MODEL...", shell_complete=complete_model)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_json
def rm(names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove MODELs, after asking."""
    from sus_local.cli.ask import confirm
    from sus_local.cli.output import emit_json, note
    from sus_local.cli.sizes import size
    from sus_local.models import StoredModel, remove

    # Nothing twice.
    chosen = list({model.files: model for model in map(_removable, names)}.values())
    if not yes:
        for model in chosen:
            files = _told_files(model.files)
            confirm(t("Remove {files} ({size})?", files=files, size=size(model.num_bytes)))
    for model in chosen:
        remove(model) if isinstance(model, StoredModel) else model.remove()
    if as_json:
        emit_json({"removed": [model.name for model in chosen]})
    else:
        note(t("Removed: {count}", count=len(chosen)))


def _told_files(files: Sequence[Path]) -> str:
    first, *others = files
    return t("{file} and {count} more", file=first, count=len(others)) if others else str(first)


def _removable(name: str) -> StoredModel | Unfinished:
    """What a user means by ``name``, without a guess: what is left of a model, or else a model.

    In this order, since a new attempt at a model has the name of the one that is there.
    """
    from sus_local.models import find
    from sus_local.unfinished import list_unfinished

    wanted = name.lower().removesuffix(".gguf")
    rests = (rest for rest in list_unfinished() if rest.name.lower() == wanted)
    return next(rests, None) or find(name, guess=False)
