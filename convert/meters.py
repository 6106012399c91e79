"""Counting what a conversion does, and telling it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from sus_local.convert.output import Output
from sus_local.convert.progress import Listener, Progress
from sus_local.convert.source import Shard, Waiting
from sus_local.convert.stream import TensorTask


class Conversion:
    """Counts what of the source is quantized and written.

    Args:
        todo: All that there is to do.
        tell: Told the progress.
    """

    def __init__(self, todo: Iterable[TensorTask], tell: Listener) -> None:
        sizes = [task.info.num_bytes for task in todo]
        self._tell, self._started = tell, time.monotonic()
        self._total_tensors, self._total_bytes = len(sizes), sum(sizes)
        self._tensors = self._bytes = self._of_tensor = 0

    def waiting(self, shard: Shard) -> Waiting:
        """What to tell how many bytes of a shard are here."""
        started = time.monotonic()
        before: int | None = None

        def tell(size: int) -> None:
            nonlocal before
            before = size if before is None else before
            tensors, seconds = (self._tensors, self._total_tensors), time.monotonic() - started
            self._tell(Progress("fetch", shard.name, *tensors, size, shard.size, seconds, before))

        return tell

    def written(self, task: TensorTask, size: int) -> None:
        """``size`` bytes of the source are done."""
        self._bytes += size
        self._of_tensor += size
        if self._of_tensor == task.info.num_bytes:
            self._tensors, self._of_tensor = self._tensors + 1, 0
        tensors, sizes = (self._tensors, self._total_tensors), (self._bytes, self._total_bytes)
        seconds = time.monotonic() - self._started
        self._tell(Progress("convert", task.spec.name, *tensors, *sizes, seconds))


class Reading:
    """Counts what of the outputs is read.

    Args:
        outputs: Those that are read, in order.
        total_bytes: What will be read of them.
        tell: Told the progress.
    """

    def __init__(self, outputs: Sequence[Output], total_bytes: int, tell: Listener) -> None:
        self._outputs, self._total, self._tell = outputs, total_bytes, tell
        self._bytes, self._started = 0, time.monotonic()

    def of(self, output: Output) -> Callable[[int], None]:
        """What to tell the bytes of each step of an output."""
        number, count = self._outputs.index(output), len(self._outputs)

        def read(size: int) -> None:
            self._bytes += size
            seconds = time.monotonic() - self._started
            sizes = (self._bytes, self._total)
            self._tell(Progress("verify", output.path.name, number, count, *sizes, seconds))

        return read
