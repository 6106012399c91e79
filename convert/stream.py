"""Weights flow: rows of the source → float32 → the bytes of every type that is wanted.

Threads take chunks of rows; the calling thread takes their results in order and writes them. A
few chunks are in flight at once, so memory does not grow with the size of a tensor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from sus_local.convert.estimates import CHUNK_BYTES
from sus_local.convert.output import Output
from sus_local.convert.quantize import Floats, Rows, quantize
from sus_local.convert.source import ShardReader, TensorInfo
from sus_local.convert.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class TensorTask:
    """One tensor to be written.

    Attributes:
        info: Where it lies in the source.
        outputs: Those that still want it.
        importance: The importance of its columns, if known.
        head_dim: Rows of a head, where its rows are put in another order; 0 otherwise.
    """

    spec: TensorSpec
    info: TensorInfo
    outputs: tuple[Output, ...]
    importance: Floats | None
    head_dim: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the source."""
        return self.info.num_bytes // self.num_rows

    @property
    def num_rows(self) -> int:
        """Rows; a bias whose order changes counts as a column."""
        return self.spec.size if self.head_dim and len(self.spec.shape) == 1 else self.spec.rows

    def types(self) -> tuple[str, ...]:
        """The types that are wanted, each once."""
        places = (output.layout.places[self.spec.name] for output in self.outputs)
        return tuple(dict.fromkeys(place.type for place in places))


@dataclass(frozen=True, slots=True)
class _Chunk:
    task: TensorTask
    first: int
    last: int


_Quantized = Mapping[str, memoryview]
Written = Callable[[TensorTask, int], None]


def stream_tensors(
    reader: ShardReader,
    tasks: Sequence[TensorTask],
    pool: ThreadPoolExecutor,
    *,
    in_flight: int,
    written: Written,
) -> None:
    """Quantize and write tensors of one shard.

    Args:
        in_flight: Chunks that are read or waiting to be written at once.
        written: Told the task and the bytes of the source after every chunk.

    Raises:
        NonFiniteError: A weight is NaN or infinite.
    """
    waiting: deque[tuple[_Chunk, Future[_Quantized]]] = deque()
    writer = _Writer(written)
    try:
        for chunk in _chunks(tasks):
            waiting.append((chunk, pool.submit(_quantize_chunk, reader, chunk)))
            if len(waiting) >= in_flight:
                writer.take(*_next(waiting))
        while waiting:
            writer.take(*_next(waiting))
    finally:
        for _, future in waiting:
            future.cancel()


def _next(waiting: deque[tuple[_Chunk, Future[_Quantized]]]) -> tuple[_Chunk, _Quantized]:
    chunk, future = waiting.popleft()
    return chunk, future.result()


def _chunks(tasks: Sequence[TensorTask]) -> Iterator[_Chunk]:
    for task in tasks:
        columns = task.spec.size // task.num_rows
        rows = max(1, CHUNK_BYTES // (4 * columns))
        if task.head_dim:
            rows = max(task.head_dim, rows - rows % task.head_dim)
        for first in range(0, task.num_rows, rows):
            yield _Chunk(task, first, min(first + rows, task.num_rows))


def _quantize_chunk(reader: ShardReader, chunk: _Chunk) -> _Quantized:
    task, info = chunk.task, chunk.task.info
    start, end = chunk.first * task.row_bytes, chunk.last * task.row_bytes
    columns = task.spec.size // task.num_rows
    data = reader.read(info, start, end)
    rows = Rows.of(data, info.dtype, columns, tensor=task.spec.source, first=chunk.first)
    quantized = quantize(rows, task.types(), head_dim=task.head_dim, importance=task.importance)
    reader.drop(info, start, end)
    return quantized


class _Writer:
    """Takes quantized chunks in order, and knows where the next one goes."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._offsets: dict[str, int] = {}

    def take(self, chunk: _Chunk, quantized: _Quantized) -> None:
        task = chunk.task
        if chunk.first == 0:
            self._offsets = dict.fromkeys(quantized, 0)
        for output in task.outputs:
            place = output.layout.places[task.spec.name]
            output.write(place, self._offsets[place.type], quantized[place.type])
        for kind, data in quantized.items():
            self._offsets[kind] += len(data)
        self._written(task, (chunk.last - chunk.first) * task.row_bytes)
