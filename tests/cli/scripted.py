"""The program with a scripted model in place of llama.cpp: ``python scripted.py ARGS...``.

The model answers by what the last question contains; the environment sets its pace and its
context: ``SCRIPT_DELAY`` seconds a token (one byte), ``SCRIPT_N_CTX`` tokens; and how long it
loads, ``SCRIPT_LOAD_SECONDS``, or ``FIRST,LATER`` of them; and how long a chat that ends waits for
what still runs, ``SCRIPT_LAST_SECONDS``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sus_local
from sus_local.backend.fake import Fake
from sus_local.cli.chat import pump
from sus_local.cli.main import main
from sus_local.llm import LLM
from sus_local.offload import gguf_facts

MARKDOWN = """# Capitals

Some **bold** text,
and a second line.

- Beijing 北京
- Paris

| country | capital |
|---|---|
| 中国 | 北京 |
| France | Paris |

```python
def f(x):
    return x + 1
```

The end.
"""

ANSWERS = {
    "markdown": MARKDOWN,
    "long": "".join(f"word{number} " for number in range(2000)),
    "paragraph": "**Words:** " + "".join(f"word{number} " for number in range(2000)),
    "lines": "".join(f"- line {number}\n" for number in range(60)),
    "steer": "a\x1b[2J\x1b]0;title\x07b",
    "title of at most": "Two Capitals",
}


def answer(prompt: list[int]) -> bytes:
    """What the model says to the last question of ``prompt``."""
    text = bytes(token - 3 for token in prompt if token >= 3).decode("utf-8", "replace")
    question = re.split(r"### Human: ", text)[-1].removesuffix("\n\n### Assistant: ")
    found = next((each for key, each in ANSWERS.items() if key in question), None)
    return (found or f"You said: {question}").encode()


def load(
    model: str | Path,
    *,
    n_ctx: int | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
    **_: Any,
) -> LLM:
    """As ``sus_local.load``, whatever the model."""
    on_progress(0.4)
    n_ctx = n_ctx or int(os.environ.get("SCRIPT_N_CTX", "4096"))
    first, *later = os.environ.get("SCRIPT_LOAD_SECONDS", "0").split(",")
    time.sleep(float(first))
    os.environ["SCRIPT_LOAD_SECONDS"] = ",".join(later or [first])
    delay = float(os.environ.get("SCRIPT_DELAY", "0"))
    return LLM(Fake(script=answer, n_ctx=n_ctx, n_batch=512, delay_s=delay), path=Path(model))


def read_facts(path: Path | str) -> Any:
    """Nothing: the model's file may hold anything."""


if __name__ == "__main__":
    sus_local.load = load
    gguf_facts.read_facts = read_facts
    pump._LAST_SECONDS = float(os.environ.get("SCRIPT_LAST_SECONDS", pump._LAST_SECONDS))
    main()
