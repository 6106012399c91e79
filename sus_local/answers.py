"""Which tokens an answer had that comes back as text.

An HTTP client sends the whole conversation as text each time. Encoded anew, an answer may come out
as other tokens than the model wrote, and its KV would not be found; so its own tokens are kept.

>>> memory = AnswerMemory()
>>> memory.remember((5, 6), "Hello", (7, 8))
>>> memory.recall((5, 6), Text("Hello")), memory.recall((5,), Text("Hello"))
((7, 8), None)
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from sus_local.kv.blocks import digest, token_bytes
from sus_local.template import Segment, Text


class AnswerMemory:
    """Answers by the prompt before them and their text; the oldest are forgotten."""

    _CAPACITY = 4096

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, prompt: Sequence[int], text: str, token_ids: tuple[int, ...]) -> None:
        """Keep an answer."""
        with self._lock:
            self._answers[self._key(prompt, text)] = token_ids
            while len(self._answers) > self._CAPACITY:
                self._answers.popitem(last=False)

    def recall(self, prompt: Sequence[int], part: Segment) -> tuple[int, ...] | None:
        """The tokens of an answer, or None."""
        if not prompt or not isinstance(part, Text):
            return None
        key = self._key(prompt, part.text)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    @staticmethod
    def _key(prompt: Sequence[int], text: str) -> bytes:
        return digest(token_bytes(prompt), text.encode("utf-8", errors="surrogatepass"))
