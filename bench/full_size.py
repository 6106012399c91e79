"""The conversion of SUS-Chat-34B at its full size, from a hub that makes up the weights.

    python bench/full_size.py --folder DIR [--type Q4_K_M] [--layers 60] [--kill-at 0.4] [--keep]

A server on the loopback interface has a model of the shape of SUS-Chat-34B: bf16 noise in seven
shards, 69 GB that are made as they are sent. ``sus-local convert org/name`` streams them as it does
from the hub; what it takes of time, memory and disk is told, and at the end ``models verify`` reads
the file again. ``--kill-at`` kills it when so much of the output is written, and starts it again.
Linux or macOS; memory is told on Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from noise_hub import REPOSITORY, Hub
from random_model import SUS_CHAT_34B

_SAMPLE_S = 0.2


class Watch(threading.Thread):
    """Measures a process's memory and what lies on the disk; kills it when the output is so large.

    Not by ``ru_maxrss``, which begins at what this process held when it started the other one.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], kill_bytes: float) -> None:
        super().__init__(daemon=True)
        self._folder, self._process, self._kill_bytes = folder, process, kill_bytes
        self.peak_disk_bytes = 0
        self.peak_memory_bytes = 0

    def run(self) -> None:
        while self._process.returncode is None:
            sizes = dict(_sizes(self._folder))
            self.peak_disk_bytes = max(self.peak_disk_bytes, sum(sizes.values()))
            self.peak_memory_bytes = max(self.peak_memory_bytes, _peak_resident(self._process.pid))
            written = sum(size for path, size in sizes.items() if ".gguf" in path.name)
            if self._kill_bytes and written > self._kill_bytes:
                self._process.kill()
                return
            time.sleep(_SAMPLE_S)


def _peak_resident(pid: int) -> int:
    """The most memory that a process had so far; 0 where there is no ``/proc``."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _sizes(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every file, with the bytes that it takes on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                yield path, path.lstat().st_blocks * 512
            except OSError:  # it was deleted meanwhile
                continue


def convert(folder: Path, hub: Hub, kind: str, kill_bytes: float = 0.0) -> dict[str, Any]:
    """One run of the program: what it took, whether or not it came to its end."""
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HOME": str(folder / "hf"), "SUS_LOCAL_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "sus_local", "convert", REPOSITORY, "-q", kind, "--json"]
    before, started = hub.num_sent, time.monotonic()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        watch = Watch(folder, process, kill_bytes)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    watch.join()
    return {
        "status": process.returncode,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_mb": round(watch.peak_memory_bytes / 1e6) or None,
        "peak_disk_gb": round(watch.peak_disk_bytes / 1e9, 2),
        "fetched_gb": round((hub.num_sent - before) / 1e9, 2),
    }


def _verify(folder: Path, name: str) -> dict[str, Any]:
    environment = {**os.environ, "SUS_LOCAL_HOME": str(folder / "home")}
    started = time.monotonic()
    command = [sys.executable, "-m", "sus_local", "models", "verify", name]
    status = subprocess.run(command, env=environment, check=False).returncode
    return {"status": status, "seconds": round(time.monotonic() - started, 1)}


def main() -> int:
    """Run it; 0 if the file was made and is what its manifest says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="a disk with 45 GB free")
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--layers", type=int, default=60, help="fewer: a smaller model, sooner")
    parser.add_argument("--kill-at", type=float, default=0.0, help="share of the output")
    parser.add_argument("--keep", action="store_true", help="leave the model in the folder")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="full-size-"))
    hub = Hub(replace(SUS_CHAT_34B, n_layer=options.layers))
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    source = sum(shard.size for shard in hub.shards.values())
    print(json.dumps({"source_gb": round(source / 1e9, 2), "shards": len(hub.shards)}), flush=True)
    if options.kill_at:
        # As Q4_K_M, which takes 4.8 of sixteen bits; to be killed somewhere is all that matters.
        run = convert(folder, hub, options.type, options.kill_at * source * 4.8 / 16)
        print(json.dumps({"killed": run}), flush=True)
    run = convert(folder, hub, options.type)
    print(json.dumps({"converted": run}), flush=True)
    made = sorted((folder / "home").rglob("*.gguf"))
    for path in made:
        print(json.dumps({"file": str(path), "gb": round(path.stat().st_size / 1e9, 2)}))
    verified = _verify(folder, made[0].stem) if made else {"status": 1}
    print(json.dumps({"verified": verified}), flush=True)
    for path in () if options.keep else made:
        path.unlink()
    return int(run["status"] != 0 or verified["status"] != 0)


if __name__ == "__main__":
    sys.exit(main())
