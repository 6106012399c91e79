"""``sus-local pull``: a ready GGUF from the hub."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.text import t

if TYPE_CHECKING:
    from sus_local.candidates import Candidate
    from sus_local.models import StoredModel
    from sus_local.pull import PullPlan

_HEADROOM = 1.1
"""What a model needs in memory at least, as a multiple of its file."""


@click.command(
    epilog="""\b
Examples:
  sus-local pull TheBloke/SUS-Chat-34B-GGUF --list      what there is, and what fits
  sus-local pull TheBloke/SUS-Chat-34B-GGUF:Q4_K_M      this one
"""
)
@click.argument("reference", metavar="REPO[:QUANT]")
@click.option("--revision", help="Branch, tag or commit.")
@click.option("--list", "only_list", is_flag=True, help="Only list the repository's models.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def pull(reference: str, revision: str | None, only_list: bool, as_json: bool) -> None:
    """Download a ready GGUF from the hub into the local store.

    A download that was cut off goes on where it was; size and SHA-256 are verified. Without QUANT,
    Q4_K_M is taken if there is one. Where several files could be meant, they are listed with their
    sizes and with what fits this machine.
    """
    from sus_local.cli.output import emit_json

    if only_list:
        _print_candidates(_candidates(reference, revision), as_json=as_json)
        return
    model = _model(reference, revision, as_json=as_json)
    if as_json:
        emit_json(_facts(model))
    else:
        print(model.path)


def _model(reference: str, revision: str | None, *, as_json: bool) -> StoredModel:
    """The model, fetched as far as it is not here; offline, one that is here as a whole."""
    from sus_local.errors import ModelNotFoundError, OfflineError
    from sus_local.hub import is_offline
    from sus_local.pull import find_stored, plan

    try:
        planned = plan(reference, revision=revision)
    except ModelNotFoundError as error:
        if error.numbers.get("names") and not as_json:
            _print_candidates(_candidates(reference, revision), to_stderr=True)
        raise
    except OfflineError:
        stored = find_stored(reference, revision=revision) if is_offline() else None
        if stored is None:
            raise
        return stored
    return _fetch(planned, quiet=as_json)


def _candidates(reference: str, revision: str | None) -> list[Candidate]:
    from sus_local import hub
    from sus_local.candidates import candidates, choose, parse_reference

    repository = hub.resolve(parse_reference(reference)[0], revision=revision)
    found = candidates(repository)
    if not found:
        choose(repository)  # raises, with the next step
    return found


def _fetch(planned: PullPlan, *, quiet: bool) -> StoredModel:
    from sus_local.cli.progress import byte_progress
    from sus_local.pull import pull as fetch

    total = planned.candidate.num_bytes
    done = total - planned.missing_bytes
    progress = nullcontext(lambda count: None)
    shown: Any = progress if quiet else byte_progress(planned.candidate.name, total, done=done)
    with shown as on_bytes:
        return fetch(planned, on_bytes=on_bytes)


def _facts(model: StoredModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "path": str(model.path),
        "files": [str(path) for path in model.files],
        "bytes": model.num_bytes,
        "repository": model.repository,
        "revision": model.manifest["source"]["revision"],
    }


def _print_candidates(
    found: Sequence[Candidate], *, as_json: bool = False, to_stderr: bool = False
) -> None:
    from sus_local.cli.output import emit_json, note
    from sus_local.cli.sizes import size
    from sus_local.cli.table import table_lines
    from sus_local.machine import system_memory

    memory = system_memory().total_bytes
    fits = [each.num_bytes * _HEADROOM <= memory for each in found]
    if as_json:
        values = [
            {
                "name": each.name,
                "type": each.quant,
                "bytes": each.num_bytes,
                "fits": fit,
                "complete": each.is_complete,
            }
            for each, fit in zip(found, fits, strict=True)
        ]
        emit_json(values)
        return
    rows = [
        (each.quant, each.name, size(each.num_bytes), _state(each, fits=fit))
        for each, fit in zip(found, fits, strict=True)
    ]
    head = (t("type"), t("name"), t("size"), t("this machine"))
    for line in table_lines(head, rows, right={2}):
        if to_stderr:
            note(line)
        else:
            print(line)


def _state(candidate: Candidate, *, fits: bool) -> str:
    if not candidate.is_complete:
        return t("parts are missing")
    return t("fits") if fits else t("too large")
