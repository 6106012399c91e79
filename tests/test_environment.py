"""What the developer's machine has set, holds or keeps changes no test, and no test changes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sus_local import paths

ROOT = Path(__file__).resolve().parent.parent

TESTS = (
    "test_environment.py::test_the_environment_is_the_tests_own",
    "backend/test_rules.py::test_a_grammar_is_followed",
    "cli/test_presets_command.py::test_a_preset_is_saved_shown_listed_and_removed",
    "cli/test_run.py::test_the_answer_and_nothing_else",
    "convert/test_hub.py::test_small_files_come_into_the_clients_cache",
)
"""Such as load a model for several tests, read English, look at stderr, speak with a server."""


@pytest.fixture(scope="module")
def home_of_fixtures() -> Path:
    return paths.cache_dir()


def test_the_environment_is_the_tests_own(home_of_fixtures: Path, isolated_home: Path) -> None:
    from prompt_toolkit.enums import EditingMode

    from sus_local.cli.chat.keys import editing_mode
    from sus_local.cli.text import choose

    assert isolated_home == paths.cache_dir() != home_of_fixtures
    assert Path.home() not in home_of_fixtures.parents
    assert (editing_mode(), choose([])) == (EditingMode.EMACS, "en")


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a program of /bin/sh")
def test_the_tests_hold_on_another_machine(tmp_path: Path) -> None:
    home, program = tmp_path / "home", tmp_path / "bin" / "nvidia-smi"
    for folder in (home, program.parent):
        folder.mkdir()
    (home / ".inputrc").write_text("set editing-mode vi\n")
    program.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 4090'\n")
    program.chmod(0o755)
    theirs = {"HOME": str(home), "LANG": "zh_CN.UTF-8", "LC_ALL": "zh_CN.UTF-8"}
    theirs |= dict.fromkeys(("all_proxy", "https_proxy", "http_proxy"), "http://127.0.0.1:9")
    theirs["PATH"] = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    ours = ("HF_", "INPUTRC", "NO_PROXY", "SUS_LOCAL_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"tests/{test}" for test in TESTS)],
        env={**kept, **theirs}, cwd=ROOT, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert os.listdir(home) == [".inputrc"]
