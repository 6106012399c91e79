"""Record ``sus-local demo`` for the README: ``python tools/record_demo.py``.

Runs the real program in a terminal of 88 columns (of Unix), and puts what it printed between the
README's ``<!-- demo -->`` marks. Only the home folder's path is shortened.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MARKS = re.compile(r"(<!-- demo -->\n).*?(<!-- /demo -->)", re.DOTALL)


def main() -> None:
    """Replace the recording."""
    block = f"```console\n$ make demo\n{record()}\n```\n"
    text = README.read_text(encoding="utf-8")
    README.write_text(MARKS.sub(lambda m: m[1] + block + m[2], text), encoding="utf-8")


def record() -> str:
    """What a newcomer sees: a first run, with nothing converted yet."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "SUS_LOCAL_HOME": home, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        screen, status = pexpect.run(
            f"{sys.executable} -m sus_local demo",
            env=environment,
            encoding="utf-8",
            timeout=120,
            dimensions=(50, 88),
            withexitstatus=True,
        )
    if status:
        sys.exit(f"the demo ended with {status}:\n{screen}")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).replace("\r\n", "\n")
    return plain.replace(home, "~/.cache/sus-local").replace(f"{ROOT}/", "").rstrip()


if __name__ == "__main__":
    main()
