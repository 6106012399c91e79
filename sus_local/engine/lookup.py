"""What probably follows, guessed from what was said before: prompt lookup decoding.

Answers repeat what is in their context: names, quoted lines, code that changes at one place. Where
the last tokens stood before, what followed them is guessed to follow again; the model computes the
guess in the same batch and keeps what it would have said itself. Reading the weights is what a
token costs, and a batch reads them once. See https://github.com/apoorvumang/prompt-lookup-decoding.

>>> Lookup(15).guess([1, 2, 3, 4, 5, 6, 7, 1, 2, 3], room=100)
(4, 5, 6)
"""

from __future__ import annotations

from collections.abc import Sequence

_NUM_ALIKE = 3
"""Tokens at the end that must have stood before: names and quotations come back after as many."""

_SHORT = 3
"""Tokens of a first guess: with the one before it they are four, which CPU kernels take at once."""

_NUM_SURE = 9
"""So many right ones in a row are a quotation, which probably goes on for long."""

_MOST_PAUSES = 15


class Lookup:
    """Guesses for one answer; what they are depends on its tokens only, never on the time.

    Guesses are short, and long within a quotation. After one of which nothing came true there is a
    pause, twice as long each time.

    Args:
        most: The most tokens of one guess.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._num_right = 0
        self._places: dict[tuple[int, ...], int] = {}
        self._num_read = _NUM_ALIKE
        self._num_misses = 0
        self._num_pauses = 0

    def guess(self, token_ids: Sequence[int], room: int) -> tuple[int, ...]:
        """At most ``room`` tokens that may follow; none where these are new.

        Args:
            token_ids: The prompt and the answer so far; the same ones at each call, and more.
        """
        self._read(token_ids)
        place = self._places.get(tuple(token_ids[-_NUM_ALIKE:]))
        if place is None:
            return ()
        if self._num_pauses:
            self._num_pauses -= 1
            return ()
        period = len(token_ids) - place
        length = self._most if self._num_right >= _NUM_SURE else _SHORT
        return tuple(token_ids[place + at % period] for at in range(min(length, self._most, room)))

    def learn(self, *, num_guessed: int, num_right: int) -> None:
        """How many of the tokens of the last guess the model said itself."""
        self._num_right = self._num_right + num_right if num_right == num_guessed else 0
        self._num_misses = 0 if num_right else self._num_misses + 1
        self._num_pauses = min(2**self._num_misses - 1, _MOST_PAUSES)

    def _read(self, token_ids: Sequence[int]) -> None:
        """Remember what follows where; the last tokens are followed by nothing yet."""
        for place in range(self._num_read, len(token_ids)):
            self._places[tuple(token_ids[place - _NUM_ALIKE : place])] = place
        self._num_read = max(self._num_read, len(token_ids))
