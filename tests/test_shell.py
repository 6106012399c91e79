"""Commands that are to be pasted."""

from __future__ import annotations

import shlex
import sys

import pytest

from sus_local.shell import quoted


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_a_command_names_the_model_as_the_shell_takes_it() -> None:
    name = "we'ird $x `y`.gguf"
    assert shlex.split(quoted(name)) == [name]
    assert quoted("plain-Q8_0.gguf") == "plain-Q8_0.gguf"
