"""Which tokens an answer had that comes back as text.

An HTTP client sends the whole conversation as text each time. Encoded anew, an answer may come out
as other tokens than the model wrote, and its KV would not be found; so its own tokens are kept.

>>> memory = AnswerMemory()
>>> memory.remember((5, 6), "Hello", (7, 8))
>>> memory.recall((5, 6), "Hello"), memory.recall((5,), "Hello")
((7, 8), None)
"""

from __future__ import annotations

import codecs
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from sus_local.kv.blocks import digest, packed_ids


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

    def recall(self, prompt: Sequence[int], text: str) -> tuple[int, ...] | None:
        """The tokens of an answer, or None."""
        key = self._key(prompt, text)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    @staticmethod
    def find(
        text: str,
        futures: Iterable[tuple[int, ...]],
        token_bytes_of: Callable[[int], bytes],
    ) -> tuple[int, ...] | None:
        """The beginning of one of ``futures`` that stands for exactly ``text``, or None.

        Not beyond a control token, which ends an answer and stands for no text.

        >>> AnswerMemory.find("ab", [(97, 98, 2)], lambda token_id: bytes([token_id]))
        (97, 98)
        """
        wanted = text.encode("utf-8", errors="surrogatepass")
        for future in futures if wanted else ():
            said = b""
            for index, token_id in enumerate(future):
                piece = token_bytes_of(token_id)
                said += piece
                if said == wanted:
                    return future[: index + 1]
                if not piece or not wanted.startswith(said):
                    break
        return None

    @staticmethod
    def _key(prompt: Sequence[int], text: str) -> bytes:
        return digest(packed_ids(prompt), text.encode("utf-8", errors="surrogatepass"))


def standing_for(
    text: str, token_ids: tuple[int, ...], token_bytes_of: Callable[[int], bytes]
) -> tuple[int, ...] | None:
    """The tokens of an answer that stand for its text, or None where they stand for another one.

    A stop text may have cut the text within a token.

    >>> pieces = {5: b"of", 6: b" China", 7: bytes([195])}.__getitem__
    >>> standing_for("of China", (5, 6, 7), pieces), standing_for("of C", (5,), pieces)
    ((5, 6), None)
    """
    whole = whole_characters(token_ids, token_bytes_of)
    said = b"".join(map(token_bytes_of, whole)).decode("utf-8", errors="replace")
    return whole if said == text else None


def whole_characters(
    token_ids: tuple[int, ...], token_bytes_of: Callable[[int], bytes]
) -> tuple[int, ...]:
    """Tokens without those at the end that begin a character and do not end it.

    >>> whole_characters((97, 0xE4, 0xB8), lambda token_id: bytes([token_id]))
    (97,)
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    num_whole = 0
    for index, token_id in enumerate(token_ids):
        decoder.decode(token_bytes_of(token_id))
        if not decoder.getstate()[0]:
            num_whole = index + 1
    return token_ids[:num_whole]
