"""The conversion: plan, gates, one pass over the shards, verification.

>>> report = convert("path/to/checkpoint", types=["Q4_K_M"])  # doctest: +SKIP
>>> report.outputs[0].path, report.outputs[0].bytes  # doctest: +SKIP
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from sus_local.convert.estimates import Plan
from sus_local.convert.manifest import describe
from sus_local.convert.meters import Conversion, Reading
from sus_local.convert.options import Choices, Options
from sus_local.convert.output import Output
from sus_local.convert.prepare import Prepared, prepare
from sus_local.convert.progress import Listener, Planned, Resumed
from sus_local.convert.quantize import prepare as prepare_type
from sus_local.convert.quantize import to_bytes
from sus_local.convert.source import Shard, Source, open_source
from sus_local.convert.stream import TensorTask, stream_tensors
from sus_local.convert.verify import check_gates
from sus_local.errors import (
    ConvertError,
    DiskFullError,
    StorageError,
    SusLocalError,
    from_os_error,
)
from sus_local.machine import peak_resident

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, slots=True)
class ConvertedOutput:
    """One finished output.

    Attributes:
        path: Its file; of several, the first.
        type: The mixture.
        bytes: Of all its files.
        sha256: Of ``path``.
        tensors: How many it holds.
        files: All of them.
    """

    path: Path
    type: str
    bytes: int
    sha256: str
    tensors: int
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A finished conversion.

    Attributes:
        source: As the user called it.
        revision: The commit, from the hub.
        seconds: From the first look at the source to the last rename.
        peak_rss_bytes: The most memory that this process had so far.
    """

    outputs: tuple[ConvertedOutput, ...]
    source: str
    revision: str | None
    seconds: float
    peak_rss_bytes: int


def plan(source: str, **choices: Unpack[Choices]) -> Plan:
    """What :func:`convert` with the same arguments would make and need. Nothing is written.

    Raises:
        SusLocalError: As :func:`convert`, as far as it can be known before weights are read.
    """
    options = Options(**choices)
    with _told("reading or writing"), _opened(source, options) as opened:
        prepared = prepare(opened, options)
        check_gates(opened, prepared.vocabulary, prepared.vocabulary_fields())
        return prepared.plan


def convert(source: str, *, progress: Listener | None = None, **choices: Unpack[Choices]) -> Report:
    """Convert a checkpoint to GGUF, in one pass over its weights.

    A conversion that was stopped at any moment goes on where it was when it is called again.

    Args:
        source: A folder, or ``org/name`` on the hub.
        progress: Told what happens.
        **choices: ``types`` (needed), ``output``, ``revision``, ``imatrix``, ``tensor_types``,
            ``pure``, ``split_size``, ``threads``, ``keep_source``: the attributes of
            :class:`~sus_local.convert.Options`, which tells what each means.

    Raises:
        CheckpointError: The checkpoint cannot be converted.
        ConvertError: The conversion cannot be done, or went wrong.
        HubError: The hub said no, or cannot be reached.
        StorageError: The file system said no.
    """
    started = time.monotonic()
    options = Options(**choices)
    with _told("reading or writing"), _opened(source, options) as opened:
        finished = _convert(prepare(opened, options), progress or _ignore)
        seconds = time.monotonic() - started
        return Report(finished, opened.label, opened.revision, seconds, peak_resident())


def _opened(source: str, options: Options) -> closing[Source]:
    return closing(open_source(source, revision=options.revision, keep_source=options.keep_source))


def _convert(prepared: Prepared, tell: Listener) -> tuple[ConvertedOutput, ...]:
    tell(Planned(prepared.plan))
    _check_plan(prepared.plan)
    check_gates(prepared.source, prepared.vocabulary, prepared.vocabulary_fields())
    with _told("writing", prepared.outputs[0].path):
        return _run(prepared, tell)


@contextmanager
def _told(doing: str, path: Path | None = None) -> Iterator[None]:
    """Tell the file system's errors as this project's own."""
    try:
        yield
    except OSError as error:
        raise _storage_error(error, doing, path) from error


def _storage_error(error: OSError, doing: str, path: Path | None) -> SusLocalError:
    """As everywhere, but that a conversion can be made of smaller files."""
    told = from_os_error(error, doing=doing, path=path)
    if error.errno != errno.EFBIG:
        return told
    hint = "choose another disk, or convert with --split-size 4G: this one takes no larger file"
    return StorageError(told.message, hint=hint, **told.numbers)


def _ignore(event: object) -> None:
    pass


def _check_plan(plan: Plan) -> None:
    if plan.fits:
        return
    problem = plan.problems[0]
    kind = DiskFullError if problem.resource == "disk" else ConvertError
    raise kind(
        f"the conversion {problem.message}",
        hint="free some space, choose a smaller type, or another place with -o and SUS_LOCAL_HOME",
        peak_disk_bytes=plan.peak_disk_bytes,
        peak_memory_bytes=plan.peak_memory_bytes,
    )


def _run(prepared: Prepared, tell: Listener) -> tuple[ConvertedOutput, ...]:
    """Make what is not there yet."""
    made = {output.path: output.finished() for output in prepared.outputs}
    missing = [output for output in prepared.outputs if made[output.path] is None]
    with ExitStack() as stack:
        for output in prepared.outputs:
            if output in missing:
                stack.enter_context(output)
            else:
                output.clear()
        for output in missing:
            output.claim()
        reading = Reading(missing, sum(output.resumable_bytes for output in missing), tell)
        for output in missing:
            output.begin(reading.of(output))
        there = (
            len(output.done if output in missing else output.layout.places)
            for output in prepared.outputs
        )
        if resumed := sum(there):
            tell(Resumed(resumed))
        rest = replace(prepared, outputs=missing)
        _write_computed(rest)
        _write_streamed(rest, tell)
        made.update(_finish(rest, tell))
    return tuple(_converted(output, made[output.path] or []) for output in prepared.outputs)


def _write_computed(prepared: Prepared) -> None:
    """Write the tensors that come from the configuration instead of the weights."""
    for spec in prepared.specs:
        for output in prepared.outputs:
            if not spec.source and spec.name not in output.done:
                output.write(output.layout.places[spec.name], 0, to_bytes(spec.values))


def _write_streamed(prepared: Prepared, tell: Listener) -> None:
    """One pass over the shards, in order."""
    tasks = {shard.name: _tasks(prepared, shard) for shard in prepared.source.shards}
    needed = [shard for shard in prepared.source.shards if _is_needed(prepared, shard, tasks)]
    for shard in prepared.source.shards:
        if shard not in needed:
            prepared.source.skip(shard)
    for kind in {kind for group in tasks.values() for task in group for kind in task.types()}:
        prepare_type(kind)
    threads = prepared.plan.threads
    meter = Conversion(chain.from_iterable(tasks.values()), tell)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="quantize")
    try:
        for shard in needed:
            _stream_shard(prepared, shard, tasks[shard.name], pool, meter)
    finally:
        pool.shutdown(cancel_futures=True)


def _is_needed(prepared: Prepared, shard: Shard, tasks: Mapping[str, Sequence[TensorTask]]) -> bool:
    """Whether a shard has tensors that are not written, or a hash that nobody knows."""
    unhashed = any(shard.name not in output.journal.shards for output in prepared.outputs)
    return bool(tasks[shard.name]) or (unhashed and shard.sha256 is None)


def _stream_shard(
    prepared: Prepared,
    shard: Shard,
    tasks: Sequence[TensorTask],
    pool: ThreadPoolExecutor,
    meter: Conversion,
) -> None:
    with prepared.source.open(shard, waiting=meter.waiting(shard)) as reader:
        in_flight = 2 * prepared.plan.threads + 2
        stream_tensors(reader, tasks, pool, in_flight=in_flight, written=meter.written)
        digest = reader.sha256()
        for output in prepared.outputs:
            output.finish_shard(shard.name, digest)


def _tasks(prepared: Prepared, shard: Shard) -> list[TensorTask]:
    """What a shard's tensors still have to be written to, in the order of the shard's bytes."""
    tasks: list[TensorTask] = []
    for spec in prepared.specs:
        info = prepared.source.tensors.get(spec.source) if spec.source else None
        if info is None or info.shard != shard.name:
            continue
        outputs = tuple(output for output in prepared.outputs if spec.name not in output.done)
        if outputs:
            tasks.append(
                TensorTask(
                    spec=spec,
                    info=info,
                    outputs=outputs,
                    importance=prepared.importance(spec),
                    head_dim=prepared.config.head_dim if spec.heads else 0,
                )
            )
    return sorted(tasks, key=lambda task: task.info.start)


def _finish(prepared: Prepared, tell: Listener) -> dict[Path, list[str] | None]:
    """Read every output back, then give it its name; the SHA-256 of the files of each."""
    total = sum(output.layout.tensor_bytes for output in prepared.outputs)
    reading = Reading(prepared.outputs, total, tell)
    digests: dict[Path, list[str] | None] = {}
    for output in prepared.outputs:
        found = output.verify(reading.of(output))
        output.commit(describe(output, prepared.source, found, prepared.options_told()))
        digests[output.path] = found
    return digests


def _converted(output: Output, digests: Sequence[str]) -> ConvertedOutput:
    return ConvertedOutput(
        path=output.paths[0],
        type=output.mixture,
        bytes=output.layout.size,
        sha256=digests[0],
        tensors=len(output.layout.places),
        files=tuple(output.paths),
    )
