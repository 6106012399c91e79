"""``sus-local convert``: a checkpoint → GGUF."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.output import emit_json, note
from sus_local.cli.text import t
from sus_local.cli.told import told
from sus_local.convert.types import FILE_TYPES
from sus_local.shell import quoted

if TYPE_CHECKING:
    from sus_local.convert import Plan, Report

_SIZE = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>[KMGT]?)B?")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of bytes, as in ``2G`` or ``500M``."""
    if value is None:
        return None
    match = _SIZE.fullmatch(value.upper())
    size = float(match["number"]) * _UNITS[match["unit"]] if match else 0
    if not 1 <= size < 2**63:
        raise click.BadParameter(f"{value!r} is no size such as 2G or 500M", ctx, param)
    return int(size)


@click.command(epilog=f"Types: {', '.join(FILE_TYPES)}.")
@click.argument("source")
@click.option(
    "-q",
    "--type",
    "types",
    multiple=True,
    required=True,
    type=click.Choice(list(FILE_TYPES), case_sensitive=False),
    metavar="TYPE",
    help="Type to make, for instance Q4_K_M; may be repeated: the source is read once.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File (for one type) or folder; by default the local store.",
)
@click.option("--revision", help="Branch, tag or commit on the hub.")
@click.option(
    "--imatrix",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Importance matrix of llama.cpp; types below about 3 bits need one.",
)
@click.option(
    "--tensor-type",
    "tensor_types",
    multiple=True,
    metavar="NAME=TYPE",
    help="Type of the tensors whose name matches; may be repeated.",
)
@click.option("--pure", is_flag=True, help="One type for all tensors, no mixture.")
@click.option(
    "--split-size",
    callback=_size,
    metavar="SIZE",
    help="Split into files with at most so many bytes of tensors, for instance 2G.",
)
@click.option("-t", "--threads", type=click.IntRange(1), help="Threads; by default all cores.")
@click.option("--keep-source", is_flag=True, help="Keep what is fetched from the hub.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be made and needed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def convert(source: str, *, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Convert a checkpoint to GGUF, in one pass over its weights.

    SOURCE is a folder with config.json and *.safetensors, or org/name on the hub, which is read
    shard by shard: it never has to be on the disk as a whole. The same command goes on where it
    was, whatever stopped it.

    \b
    sus-local convert SUSTech/SUS-Chat-34B -q Q4_K_M
    sus-local convert ./checkpoint -q Q8_0 -q Q4_K_M -o models/
    """
    from sus_local import convert as converter

    options["threads"] = options["threads"] or 0
    if dry_run:
        plan = converter.plan(source, **options)
        emit_json(plan_object(plan)) if as_json else click.echo(told_plan(plan))
        return
    from sus_local.cli.convert_progress import listener

    with listener(quiet=as_json) as tell:
        report = converter.convert(source, progress=tell, **options)
    emit_json(report_object(report)) if as_json else _tell_report(report)


def plan_object(plan: Plan) -> dict[str, Any]:
    """The plan for programs."""
    outputs = [{**asdict(output), "path": str(output.path)} for output in plan.outputs]
    return {
        **asdict(plan),
        "outputs": outputs,
        "fits": plan.fits,
    }


def report_object(report: Report) -> dict[str, Any]:
    """The report for programs."""
    outputs = [
        {**asdict(made), "path": str(made.path), "files": [str(file) for file in made.files]}
        for made in report.outputs
    ]
    return {**asdict(report), "outputs": outputs}


def told_plan(plan: Plan) -> str:
    """The plan for people.

    A line for the model, one for each output, one for what is needed, one for each problem.
    """
    from sus_local.convert.estimates import gigabytes

    source = plan.source if plan.revision is None else f"{plan.source} @ {plan.revision[:12]}"
    parameters = (
        f"{plan.parameters / 1e9:.2f} B"
        if plan.parameters >= 1e9
        else (f"{plan.parameters / 1e6:.2f} M")
    )
    lines = [
        t(
            "{source}: {parameters} parameters, {size}",
            source=source,
            parameters=parameters,
            size=gigabytes(plan.source_bytes),
        )
    ]
    for output in plan.outputs:
        counts = sorted(output.tensors.items(), key=lambda item: -item[1])
        mixture = ", ".join(f"{count} {kind}" for kind, count in counts)
        where = str(output.path) if output.files == 1 else f"{output.path} (+{output.files - 1})"
        lines.append(f"  {output.type:<8} {gigabytes(output.bytes):>9}  {where}  ({mixture})")
        if output.replaces:
            lines.append(t("  replaces what was made of {source}", source=output.replaces))
    lines.append(
        t(
            "  needs up to {memory} of memory and {disk} of disk ({free} free); {threads} threads",
            memory=gigabytes(plan.peak_memory_bytes),
            disk=gigabytes(plan.peak_disk_bytes),
            free=gigabytes(plan.free_disk_bytes),
            threads=plan.threads,
        )
    )
    lines += [
        t("  does not fit: it {problem}", problem=told(problem.message))
        for problem in plan.problems
    ]
    return "\n".join(lines)


def _tell_report(report: Report) -> None:
    from sus_local.convert.estimates import gigabytes

    for made in report.outputs:
        for path in made.files:
            click.echo(str(path))
    total = gigabytes(sum(made.bytes for made in report.outputs))
    note(
        t(
            "{total} in {seconds:.1f} s, {memory} of memory at most",
            total=total,
            seconds=report.seconds,
            memory=gigabytes(report.peak_rss_bytes),
        )
    )
    if sys.stdout.isatty():
        note(t("Next: sus-local chat {path}", path=quoted(str(report.outputs[0].path))))
