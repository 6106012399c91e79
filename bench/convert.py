"""Conversion against llama.cpp's two steps: time, memory, disk, and whether the bytes agree.

    python bench/convert.py --peer-python PYTHON [--llama-cpp DIR] [--sizes 0.3,1.2,2.4]

It makes a random checkpoint, converts it to Q4_K_M with ``sus-local convert``, and does the same in
llama.cpp's two steps: ``convert_hf_to_gguf.py --outtype bf16``, run by ``--peer-python``, which
needs torch and transformers, and ``llama_model_quantize``, which is all that ``llama-quantize``
calls. Both are warmed up, take turns, round after round, and the median round of each counts. Linux
or macOS.

How much of the time is the quantizers', in four figures. ``kernels_share``: the time that they take
alone, on all cores, right after each conversion; it moves with the machine's speed between the two.
``kernels_of_cpu``: the processor time of their calls inside the conversion, of all that it took.
``kernels_of_cores``: of that and the time in which a core had nothing to do; other programs, and
other guests of the machine, do not count there, as they do in ``kernels_of_wall``.

llama.cpp's sources are those that come with llama-cpp-python; ``pip download`` fetches them where
``--llama-cpp`` names none.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import random_checkpoint
from llama_cpp_tools import download
from random_model import Shape

T = TypeVar("T")
TYPE = "Q4_K_M"
SIZES = {
    "0.3": Shape(n_layer=12, n_embd=1024, n_ff=2816, n_head=16, n_head_kv=2),
    "1.2": Shape(),
    "2.4": Shape(n_layer=48),
}
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
# As it is installed: modules are compiled once, not at every start.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
_QUANTIZE = """
import ctypes, sys, llama_cpp
p = llama_cpp.llama_model_quantize_default_params()
p.ftype = 15
source, target = sys.argv[1].encode(), sys.argv[2].encode()
sys.exit(llama_cpp.llama_model_quantize(source, target, ctypes.byref(p)))
"""

# The program itself, with a clock on every call of a quantizer: a microsecond of milliseconds.
_CONVERT = """
import importlib, json, sys, time
from pathlib import Path
from sus_local.cli.main import main

load, spent = importlib.import_module, []

def clocked(kernel):
    def timed(*arguments):
        started = time.thread_time()
        made = kernel(*arguments)
        spent.append(time.thread_time() - started)
        return made
    return timed

def load_clocked(name):
    # Not before: the program prepares the process before it imports anything large.
    importlib.import_module = load
    module = load(name)
    library = load("sus_local.convert.quantize")._library()
    library.ggml_quantize_chunk = clocked(library.ggml_quantize_chunk)
    return module

importlib.import_module = load_clocked
try:
    main(sys.argv[2:])
finally:
    Path(sys.argv[1]).write_text(json.dumps(sum(spent)))
"""


@dataclass(frozen=True)
class Run:
    """One process.

    Attributes:
        seconds: Wall clock.
        cpu_s: Of all its threads; it counts the same on a machine that does other things, too.
        peak_bytes: The most resident memory, pages of mapped files included.
        written_bytes: Of the files that it left.
        idle_s: Of all cores, meanwhile; 0 where the system does not tell.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    written_bytes: int
    idle_s: float


@dataclass(frozen=True)
class Peer:
    """llama.cpp's two steps.

    Attributes:
        python: An interpreter with torch and transformers.
        script: ``convert_hf_to_gguf.py``.
    """

    python: Path
    script: Path

    def warm_up(self) -> None:
        """Compile its modules and read them from the disk."""
        _timed([str(self.python), str(self.script), "--help"], [])

    def convert(self, checkpoint: Path, target: Path) -> list[Run]:
        """A run for each of the steps."""
        middle = target.with_name("middle.gguf")
        first = [str(self.python), str(self.script), str(checkpoint), "--outtype", "bf16"]
        second = [sys.executable, "-c", _QUANTIZE, str(middle), str(target)]
        steps = [_timed([*first, "--outfile", str(middle)], [middle]), _timed(second, [target])]
        middle.unlink()
        return steps


def main() -> int:
    """Run the benchmark; 0 unless the bytes differ."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-convert-") as name:
        folder = Path(name)
        peer = _peer(options, folder)
        reports = [_measure(folder, size, peer, options) for size in options.sizes.split(",")]
    for report in reports:
        print(json.dumps(report))
    return 0 if all(report.get("identical", True) for report in reports) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", default="1.2", help=f"billions, of {', '.join(SIZES)}")
    parser.add_argument(
        "--rounds", type=int, default=1, help="conversions of each; the median counts"
    )
    parser.add_argument("--peer-python", type=Path, help="an interpreter with torch, transformers")
    parser.add_argument("--llama-cpp", type=Path, help="llama.cpp's sources")
    parser.add_argument("--folder", type=Path, help="where the files go; 5 GB a billion")
    return parser.parse_args()


def _peer(options: argparse.Namespace, folder: Path) -> Peer | None:
    if options.peer_python is None:
        return None
    sources = options.llama_cpp or download(folder)
    return Peer(options.peer_python, sources / "convert_hf_to_gguf.py")


def _measure(
    folder: Path, size: str, peer: Peer | None, options: argparse.Namespace
) -> dict[str, Any]:
    checkpoint = folder / f"random-{size}b"
    ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
    parameters = random_checkpoint.write(checkpoint, SIZES[size])
    _warm_up(checkpoint, ours, peer)
    runs, their_runs = [], []
    for _ in range(options.rounds):
        runs.append(_round(checkpoint, ours))
        if peer is not None:
            their_runs.append(peer.convert(checkpoint, theirs))
    report: dict[str, Any] = {"billions": parameters / 1e9, "cores": os.cpu_count()}
    report |= _told(runs)
    if peer is not None:
        report |= _compared(_median_round([[run] for run, _ in runs]), _median_round(their_runs))
        report["identical"] = _apart(_same, ours, theirs)
    shutil.rmtree(checkpoint)
    return report


def _warm_up(checkpoint: Path, target: Path, peer: Peer | None) -> None:
    dry_run = [*_arguments(checkpoint, target), "--dry-run"]
    _timed([sys.executable, "-m", "sus_local", *dry_run], [])
    if peer is not None:
        peer.warm_up()


def _told(runs: Sequence[tuple[Run, dict[str, float]]]) -> dict[str, Any]:
    """Our part of the report."""
    rounds = [told for _, told in runs]
    shares = [name for name in rounds[0] if name.startswith("kernels_")]
    [ours] = _median_round([[run] for run, _ in runs])
    told: dict[str, Any] = {"ours": asdict(ours), "rounds": rounds}
    return told | {name: statistics.median(each[name] for each in rounds) for name in shares}


def _compared(ours: Sequence[Run], theirs: Sequence[Run]) -> dict[str, Any]:
    return {
        "theirs": [asdict(step) for step in theirs],
        "time_ratio": _seconds(ours) / _seconds(theirs),
        "cpu_ratio": sum(step.cpu_s for step in ours) / sum(step.cpu_s for step in theirs),
    }


def _median_round(rounds: Sequence[Sequence[Run]]) -> Sequence[Run]:
    """The steps of the round in the middle, by the time that all its steps took."""
    return sorted(rounds, key=_seconds)[len(rounds) // 2]


def _seconds(steps: Sequence[Run]) -> float:
    return sum(step.seconds for step in steps)


def _round(checkpoint: Path, target: Path) -> tuple[Run, dict[str, float]]:
    """One conversion, and right after it the quantizers alone: machines change their speed."""
    ours, inside = _ours(checkpoint, target)
    wall, cpu = _apart(_kernel_seconds, target)
    told = {"seconds": ours.seconds, "kernels_s": wall, "kernels_share": wall / ours.seconds}
    told |= {"kernels_cpu_s": cpu, "kernels_cpu_share": cpu / ours.cpu_s}
    told |= {"kernels_inside_cpu_s": inside, "kernels_of_cpu": inside / ours.cpu_s}
    told["kernels_of_cores"] = inside / (ours.cpu_s + ours.idle_s)
    return ours, told | {"kernels_of_wall": inside / (ours.seconds * (os.cpu_count() or 1))}


def _ours(checkpoint: Path, target: Path) -> tuple[Run, float]:
    """A conversion, and the processor time of the quantizers in it."""
    # Its manifest would tell that it is made already.
    target.with_name(target.name + ".json").unlink(missing_ok=True)
    spent = target.with_name("spent.json")
    command = [sys.executable, "-c", _CONVERT, str(spent)]
    run = _timed([*command, *_arguments(checkpoint, target), "--json"], [target])
    return run, float(json.loads(spent.read_text()))


def _arguments(checkpoint: Path, target: Path) -> list[str]:
    return ["convert", str(checkpoint), "-q", TYPE, "-o", str(target)]


def _timed(command: Sequence[str], made: Sequence[Path]) -> Run:
    for path in made:
        path.unlink(missing_ok=True)
    started, idle = time.monotonic(), _idle_seconds()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=_ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(log.read().decode(errors="replace")[-3000:])
    seconds = time.monotonic() - started
    cpu, idle = usage.ru_utime + usage.ru_stime, _idle_seconds() - idle
    written = sum(path.stat().st_size for path in made)
    return Run(seconds, cpu, usage.ru_maxrss * _MAXRSS_BYTES, written, idle)


def _idle_seconds() -> float:
    """How long all cores together had nothing to do since the start, waiting for disks included."""
    try:
        counts = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return 0.0
    return (int(counts[4]) + int(counts[5])) / os.sysconf("SC_CLK_TCK")


def _apart(measure: Callable[..., T], *arguments: Path) -> T:
    """In a process of its own: what this one holds counts as peak memory of those it starts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def _kernel_seconds(target: Path) -> tuple[float, float]:
    """How long the quantizers alone take for the tensors of a file, on all cores; wall, cpu."""
    from gguf import GGUFReader

    elements: dict[int, int] = {}
    for tensor in GGUFReader(target).tensors:
        kind = int(tensor.tensor_type)
        elements[kind] = elements.get(kind, 0) + int(tensor.n_elements)
    costs = [(count, _cost(kind)) for kind, count in elements.items() if kind > 1]
    return sum(n * wall for n, (wall, _) in costs), sum(n * cpu for n, (_, cpu) in costs)


def _cost(kind: int, *, seconds: float = 3.0) -> tuple[float, float]:
    """Seconds an element of one quantizer, on all cores, in the converter's blocks; wall, cpu."""
    from sus_local.convert import Options
    from sus_local.convert.estimates import BLOCK_BYTES
    from sus_local.convert.quantize import prepare, quantize_block
    from sus_local.convert.types import TENSOR_TYPES, row_bytes

    name = next(name for name, entry in TENSOR_TYPES.items() if entry.id == kind)
    shape = (BLOCK_BYTES // (4 * 2048), 2048)
    rows = np.random.default_rng(0).standard_normal(shape, np.float32) * np.float32(0.02)
    prepare(name)
    counts: list[int] = []
    end = time.monotonic() + seconds

    def run() -> None:
        made = np.empty((shape[0], row_bytes(name, shape[1])), np.uint8)
        while time.monotonic() < end:
            quantize_block(rows, "F32", {name: made}, None)
            counts.append(rows.size)

    cores = Options(types=[name]).num_threads()
    threads = [threading.Thread(target=run) for _ in range(cores)]
    started, busy = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.monotonic() - started, time.process_time() - busy
    return wall / sum(counts), cpu / sum(counts)


def _same(ours: Path, theirs: Path) -> bool:
    from gguf import GGUFReader

    def tensors(path: Path) -> dict[str, tuple[int, Any]]:
        return {each.name: (int(each.tensor_type), each.data) for each in GGUFReader(path).tensors}

    one, other = tensors(ours), tensors(theirs)
    return one.keys() == other.keys() and all(
        one[name][0] == other[name][0] and np.array_equal(one[name][1], other[name][1])
        for name in one
    )


if __name__ == "__main__":
    sys.exit(main())
