"""The smallest chat: ``python examples/chat.py MODEL``; Ctrl-C stops an answer, Ctrl-D leaves.

Without MODEL it talks to the bundled demo model.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import sus_local
from sus_local.demo.model import ensure_model


def main() -> None:
    """Read a line, stream an answer, again."""
    model: str | Path = sys.argv[1] if len(sys.argv) > 1 else ensure_model()
    with sus_local.load(model) as llm:
        chat = llm.conversation()
        for line in lines():
            answer = chat.send(line)
            try:
                for piece in answer:
                    print(piece.text, end="", flush=True)
            except KeyboardInterrupt:
                answer.close()  # what came stays in the conversation
            usage = answer.result.usage
            print(f"\n[{usage.cached_tokens} of {usage.prompt_tokens} prompt tokens were cached]")


def lines() -> Iterator[str]:
    """What is typed, until Ctrl-D, or Ctrl-C where nothing is answered."""
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            yield input(">>> ")


if __name__ == "__main__":
    main()
