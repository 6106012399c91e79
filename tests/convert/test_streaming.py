"""The whole way, as a user goes it: ``sus-local convert org/name`` in a process of its own."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from .checkpoints import write_checkpoint
from .hub_client import environment
from .hub_server import HubServer

pytestmark = pytest.mark.model

NAME = "tiny/llama"
SHARDS = [f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4)]
TYPES = ("Q4_K_M", "Q8_0")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_checkpoint(folder, num_layers=4, hidden=256, ffn=768, num_shards=4)


@pytest.fixture
def server(checkpoint: Path) -> Iterator[HubServer]:
    with HubServer(checkpoint) as server:
        yield server


class User:
    """Runs the command with a home and an output folder of its own."""

    def __init__(self, server: HubServer, place: Path) -> None:
        self.server, self.home, self.out = server, place / "home", place / "out"

    def start(self, source: str = NAME, *options: str, **variables: str) -> subprocess.Popen[str]:
        types = [word for name in TYPES for word in ("-q", name)]
        command = [sys.executable, "-m", "sus_local", "convert", source, *types, "--json"]
        return subprocess.Popen(
            [*command, "-o", str(self.out), *options],
            env=environment(self.server.endpoint, self.home, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def convert(self, source: str = NAME, *options: str, **variables: str) -> dict[str, Any]:
        status, told = self.attempt(source, *options, **variables)
        assert status == 0, told
        return told

    def attempt(
        self, source: str = NAME, *options: str, **variables: str
    ) -> tuple[int, dict[str, Any]]:
        process = self.start(source, *options, **variables)
        told, complaints = process.communicate(timeout=120)
        assert told, complaints
        return process.returncode, json.loads(told)

    def be_killed_at_third_shard(self) -> None:
        """It is fetched only when the first is done with, and the second is here."""
        hold = self.server.faults.holds[SHARDS[2]] = threading.Event()
        process = self.start()
        assert killed_once(lambda: len(self.server.fetched(SHARDS[2])) == 2, process)
        hold.set()

    def made_bytes(self) -> int:
        """Of outputs that are under way."""
        return sum(_size(path) for path in self.out.glob("*.partial"))

    def held_bytes(self) -> int:
        folders = (self.home, self.out)
        files = [p for folder in folders if folder.exists() for p in folder.rglob("*")]
        return sum(_size(p) for p in files)


def killed_once(reached: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    """Kill a process as soon as something is reached; False if it ended before."""
    latest = time.monotonic() + 60
    while process.poll() is None and not reached():
        assert time.monotonic() < latest
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
    running = process.poll() is None
    process.kill()
    process.communicate()
    return running


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    except OSError:
        return 0


@pytest.fixture
def user(server: HubServer, tmp_path: Path) -> User:
    return User(server, tmp_path)


def largest_pair(server: HubServer) -> int:
    """Bytes of the two neighbouring shards that are largest together."""
    sizes = [len(server.files[name]) for name in SHARDS]
    return max(a + b for a, b in itertools.pairwise(sizes))


def hashes(told: dict[str, Any]) -> list[str]:
    return [output["sha256"] for output in told["outputs"]]


def tensors(told: dict[str, Any]) -> list[list[tuple[str, str, str]]]:
    manifests = [json.loads(Path(o["path"] + ".json").read_text()) for o in told["outputs"]]
    return [[(t["name"], t["type"], t["sha256"]) for t in m["tensors"]] for m in manifests]


@pytest.fixture(scope="module")
def uninterrupted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    with HubServer(checkpoint) as server:
        return hashes(User(server, tmp_path_factory.mktemp("calm")).convert())


def test_stream_makes_the_tensors_that_a_folder_makes(
    server: HubServer, user: User, checkpoint: Path, tmp_path: Path
) -> None:
    streamed = user.convert()
    local = User(server, tmp_path / "local").convert(str(checkpoint))
    assert tensors(streamed) == tensors(local)
    assert streamed["revision"] == server.commit
    assert local["revision"] is None


def test_source_is_read_once_for_all_types(server: HubServer, user: User) -> None:
    user.convert()
    for name in SHARDS:
        size = len(server.files[name])
        assert server.fetched(name) == [(0, 1 << 16), (0, size)]


def test_disk_holds_the_outputs_and_two_shards_at_most(server: HubServer, user: User) -> None:
    peak = 0

    def measure(name: str) -> None:
        nonlocal peak
        peak = max(peak, user.held_bytes())

    server.on_sent = measure
    told = user.convert()
    small = sum(len(c) for name, c in server.files.items() if name not in SHARDS)
    outputs = sum(output["bytes"] for output in told["outputs"])
    slack = small + (1 << 16)
    assert peak <= outputs + largest_pair(server) + slack
    assert user.held_bytes() <= outputs + slack + 2 * (1 << 16)


@pytest.fixture
def disk_for_two_shards(server: HubServer, tmp_path: Path) -> Iterator[Path]:
    """A file system with room for two shards, and for nothing that would be hidden elsewhere."""
    place = tmp_path / "disk"
    place.mkdir()
    size = largest_pair(server) + (1 << 16)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_with_room_for_two_shards_is_enough(
    user: User, disk_for_two_shards: Path, uninterrupted: list[str]
) -> None:
    assert hashes(user.convert(SUS_LOCAL_HOME=str(disk_for_two_shards))) == uninterrupted
    assert sum(_size(path) for path in disk_for_two_shards.rglob("*")) == 0


def test_dry_run_reads_headers_alone(server: HubServer, user: User) -> None:
    told = user.convert(NAME, "--dry-run")
    outputs = sum(output["bytes"] for output in told["outputs"])
    assert told["peak_disk_bytes"] == outputs + largest_pair(server)
    assert told["fits"] is True
    for name in SHARDS:
        assert server.fetched(name) == [(0, 1 << 16)]
    assert not user.out.exists()
    kept = user.convert(NAME, "--dry-run", "--keep-source")
    assert kept["peak_disk_bytes"] == outputs + sum(len(server.files[name]) for name in SHARDS)


def test_kept_source_serves_the_next_conversion_offline(
    server: HubServer, user: User, uninterrupted: list[str], tmp_path: Path
) -> None:
    assert hashes(user.convert(NAME, "--keep-source")) == uninterrupted
    server.faults.refusal = (500, "")
    user.out = tmp_path / "again"
    assert hashes(user.convert(NAME, HF_HUB_OFFLINE="1")) == uninterrupted


def test_connection_that_breaks_again_and_again(
    server: HubServer, user: User, uninterrupted: list[str]
) -> None:
    for name in SHARDS:
        server.faults.drops[name] = [1 << 20, 1 << 17]
    assert hashes(user.convert()) == uninterrupted


def test_refusals_are_one_line_for_programs(server: HubServer, user: User) -> None:
    server.faults.refusal = (403, "GatedRepo")
    status, told = user.attempt()
    assert status == 1
    assert told["error"]["type"] == "GatedRepositoryError"
    assert "hf auth login" in told["error"]["hint"]
    assert not user.out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is of POSIX")
def test_ctrl_c_does_not_wait_as_long_as_a_busy_hub_asks(server: HubServer, user: User) -> None:
    server.faults.statuses[SHARDS[1]] = [429] * 9
    server.faults.headers = {"Retry-After": "300"}
    process = user.start()
    assert process.stderr is not None
    assert "next attempt in 300 s" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=60)
        assert process.returncode == 130
    finally:
        process.kill()


def test_offline_without_a_copy(user: User) -> None:
    status, told = user.attempt(HF_HUB_OFFLINE="1")
    assert (status, told["error"]["type"]) == (1, "OfflineError")


def test_killed_conversion_does_not_fetch_finished_shards_again(
    server: HubServer, user: User, uninterrupted: list[str]
) -> None:
    user.be_killed_at_third_shard()
    asked = len(server.requests)
    assert hashes(user.convert()) == uninterrupted
    later = [r.file for r in server.requests[asked:] if r.range and r.range != (0, 1 << 16)]
    assert later == [SHARDS[2], SHARDS[3]]


def test_killed_conversion_goes_on_in_the_middle_of_a_shard(
    server: HubServer, user: User, uninterrupted: list[str]
) -> None:
    hold = threading.Event()

    def stall(name: str) -> None:
        if name == SHARDS[0] and server.num_sent[name] >= 1 << 19:
            hold.wait(timeout=60)

    server.on_sent = stall
    process = user.start()
    spool = user.home / "sus" / "convert" / "tiny--llama" / server.sha256(SHARDS[0])[:16]
    partial = spool / f"{SHARDS[0]}.part"
    assert killed_once(lambda: _size(partial) >= 1 << 17, process)
    kept = partial.stat().st_size
    hold.set()
    asked = len(server.requests)
    assert hashes(user.convert()) == uninterrupted
    starts = [r.range[0] for r in server.requests[asked:] if r.file == SHARDS[0] and r.range]
    assert kept in starts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments_change_nothing(
    server: HubServer, user: User, uninterrupted: list[str], seed: int
) -> None:
    moments, kills = random.Random(seed), 0
    for _ in range(6):
        enough = user.made_bytes() + moments.randint(1, 1_000_000)
        kills += killed_once(lambda enough=enough: user.made_bytes() >= enough, user.start())
    assert kills > 1
    told = user.convert()
    assert hashes(told) == uninterrupted
    assert sorted(p.suffix for p in user.out.iterdir()) == [".gguf", ".gguf", ".json", ".json"]


def test_checkpoint_that_changes_between_attempts_starts_anew(
    server: HubServer, user: User, checkpoint: Path, tmp_path: Path
) -> None:
    user.be_killed_at_third_shard()
    other = write_checkpoint(
        tmp_path / "other", num_layers=4, hidden=256, ffn=768, num_shards=4, seed=1
    )
    with HubServer(other) as changed:
        changed.commit = "f" * 40
        user.server = changed
        after = user.convert()
        fresh = User(changed, tmp_path / "fresh").convert()
    assert hashes(after) == hashes(fresh)
