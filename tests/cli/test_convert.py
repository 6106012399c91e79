"""The command ``convert``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from sus_local.cli import main as cli
from sus_local.cli.convert_progress import Lines, duration, told
from sus_local.convert.progress import Progress, Resumed

pytestmark = pytest.mark.model

SIZES = ("0G", "²G", "0.5", "9" * 400 + "G", "1e3", "-1", "nan", "G", "1GG")
"""None of them is a size."""


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run the program in this process: status, standard output, standard error."""
    status = cli.run(["convert", *map(str, args)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def failure(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    status, out, err = run(capsys, *args, "--json")
    assert (status, err) == (1, "")
    error: dict[str, Any] = json.loads(out)["error"]
    return error


def test_prints_the_files_on_standard_output_and_the_rest_on_standard_error(
    capsys: pytest.CaptureFixture[str], demo_checkpoint: Path, tmp_path: Path
) -> None:
    status, out, err = run(
        capsys, demo_checkpoint, "-q", "q4_k_m", "-q", "Q8_0", "-o", tmp_path / "out"
    )
    assert status == 0
    paths = [Path(line) for line in out.splitlines()]
    assert [path.name for path in paths] == ["checkpoint-q4_k_m.gguf", "checkpoint-q8_0.gguf"]
    assert all(path.read_bytes()[:4] == b"GGUF" for path in paths)
    assert "parameters" in err
    assert "quantizing 100 %" in err
    assert "verifying 100 %" in err


def test_json_gives_one_object_and_nothing_else(
    capsys: pytest.CaptureFixture[str], demo_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a.gguf"
    status, out, err = run(capsys, demo_checkpoint, "-q", "Q4_0", "-o", target, "--json")
    report = json.loads(out)
    assert (status, err) == (0, "")
    assert report.keys() >= {"outputs", "source", "revision", "seconds", "peak_rss_bytes"}
    (made,) = report["outputs"]
    assert made.keys() >= {"path", "type", "bytes", "sha256", "tensors"}
    tensors = 3 + 9 * _num_layers(demo_checkpoint)
    assert (made["path"], made["type"], made["tensors"]) == (str(target), "Q4_0", tensors)
    assert made["bytes"] == target.stat().st_size
    assert report["peak_rss_bytes"] > 10_000_000


def test_a_dry_run_writes_nothing(
    capsys: pytest.CaptureFixture[str], demo_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = (demo_checkpoint, "-q", "Q4_K_M", "-o", tmp_path / "out", "--dry-run")
    status, out, err = run(capsys, *arguments, "--json")
    plan = json.loads(out)
    assert (status, err) == (0, "")
    assert plan["fits"] is True
    assert plan["peak_memory_bytes"] > 0
    assert plan["peak_disk_bytes"] == plan["outputs"][0]["bytes"]
    status, out, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    assert "Q4_K_M" in out
    assert not (tmp_path / "out").exists()


def test_options_reach_the_converter(
    capsys: pytest.CaptureFixture[str], demo_checkpoint: Path, tmp_path: Path
) -> None:
    options = ("--tensor-type", "ffn_up=F16", "--pure", "--split-size", "1.5M", "-t", "1")
    status, out, _ = run(
        capsys, demo_checkpoint, "-q", "Q8_0", "-o", tmp_path, *options, "--dry-run", "--json"
    )
    assert status == 0
    plan = json.loads(out)
    (made,) = plan["outputs"]
    assert plan["threads"] == 1
    assert made["files"] > 2
    layers = _num_layers(demo_checkpoint)
    assert made["tensors"] == {"Q8_0": 2 + 6 * layers, "F16": layers, "F32": 1 + 2 * layers}


def _num_layers(checkpoint: Path) -> int:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    return int(config["num_hidden_layers"])


def test_failures_are_one_line_with_a_next_step(
    capsys: pytest.CaptureFixture[str], demo_checkpoint: Path, tmp_path: Path
) -> None:
    status, out, err = run(capsys, tmp_path / "nowhere", "-q", "Q8_0")
    assert (status, out) == (1, "")
    assert err.splitlines()[0].startswith("error: no such folder")
    assert len(err.splitlines()) == 2
    error = failure(capsys, demo_checkpoint, "-q", "IQ1_S", "-o", tmp_path)
    assert error["type"] == "ImatrixError"
    assert "--imatrix" in error["hint"]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-q", "Q9"),
        ("-q", "Q8_0", "--split-size", "big"),
        *(("-q", "Q8_0", "--split-size", size) for size in SIZES),
        ("-q", "Q8_0", "-t", "0"),
        ("-q", "Q8_0", "--imatrix", "nowhere.dat"),
    ],
)
def test_wrong_usage_has_its_own_exit_status(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    status, out, err = run(capsys, "somewhere", *options)
    assert (status, out) == (2, "")
    assert "error" in err


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    capsys: pytest.CaptureFixture[str],
    demo_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Lines.__call__

    def interrupt(self: Lines, event: Any) -> None:
        if isinstance(event, Progress) and event.tensors > 20:
            raise KeyboardInterrupt
        call(self, event)

    arguments = (demo_checkpoint, "-q", "Q8_0", "-o", tmp_path / "a.gguf")
    with monkeypatch.context() as patch:
        patch.setattr(Lines, "__call__", interrupt)
        status, out, _ = run(capsys, *arguments)
    assert (status, out) == (130, "")
    assert not (tmp_path / "a.gguf").exists()
    status, _, err = run(capsys, *arguments)
    assert status == 0
    assert "are done already" in err


def test_lines_come_every_few_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(seconds_between=3600)
    for done in range(0, 101, 10):
        lines(Progress("convert", "blk.0", done // 10, 10, done, 100, 2.0))
    assert capsys.readouterr().err.count("\n") == 1
    lines = Lines(seconds_between=0)
    for done in range(0, 101, 10):
        lines(Progress("convert", "blk.0", done // 10, 10, done, 100, 2.0))
    assert capsys.readouterr().err.count("\n") == 11


def test_an_event_in_words() -> None:
    step = Progress("convert", "blk.7.ffn_up", 3, 9, 500_000_000, 2_000_000_000, 10.0)
    assert told(step) == "quantizing  25 %  500.0 MB / 2.00 GB  50.0 MB/s  30 s left  blk.7.ffn_up"
    assert told(Resumed(7)) == "7 tensors are done already"
    assert duration(3661) == "1:01 h"


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of POSIX")
def test_a_terminal_gets_a_bar(demo_checkpoint: Path, tmp_path: Path) -> None:
    import pexpect

    arguments = ["-m", "sus_local", "convert", str(demo_checkpoint), "-q", "Q8_0"]
    child = pexpect.spawn(
        sys.executable, [*arguments, "-o", str(tmp_path / "a.gguf")], timeout=60, encoding="utf-8"
    )
    child.expect("verifying")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_every_option_is_explained() -> None:
    from sus_local.cli.convert import convert

    for parameter in convert.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
