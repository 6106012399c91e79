"""What an answer has to obey, as masks over the logits: :class:`RuledSampler`.

The tokens that the rules forbid are taken out before anything else looks at the logits, so that
top-k, top-p and the temperature go by what may come. (llama.cpp's own programs draw first, and draw
again under the rules where they forbid what was drawn.) Where no token is left the answer fails
alone: llama.cpp's grammar sampler would end the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from sus_local.backend.base import Sampler
from sus_local.errors import GrammarError

Logits = np.ndarray[Any, np.dtype[np.float32]]
"""One row, a number for each token of the vocabulary."""

FORBIDDEN = np.float32(-np.inf)


class Rules(Protocol):
    """The state of one answer under a grammar or a schema."""

    def forbid(self, logits: Logits) -> None:
        """Set the logits of what must not come next to :data:`FORBIDDEN`.

        Raises:
            GrammarError: The rules are too complex to follow.
        """
        ...

    def allows(self, token_id: int) -> bool:
        """Whether one token may come next, told faster than for all of them."""
        ...

    def accept(self, token_id: int) -> None:
        """Go on behind a token that was not forbidden."""
        ...

    def forced(self) -> Sequence[int]:
        """Tokens that alone may come next; they are accepted."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Picker(Sampler, Protocol):
    """A sampler that can be told what was picked without it."""

    def accept(self, token_id: int) -> None:
        """Count a token as picked."""
        ...


class RuledSampler:
    """Implements :class:`sus_local.backend.base.Sampler` under rules.

    Args:
        inner: Picks among the tokens that are left.
        rules: Closed with the sampler.
        logits: The row of a batch row, as llama.cpp has it; what is changed there is put back.
        takes_best: ``inner`` picks the best token that is left, whatever was picked before: where
            the best of all is allowed, it need not be known what else is.
    """

    def __init__(
        self,
        inner: Picker,
        rules: Rules,
        logits: Callable[[int], Logits],
        *,
        takes_best: bool = False,
    ) -> None:
        self._inner = inner
        self._rules = rules
        self._logits = logits
        self._takes_best = takes_best
        self._num_picked = 0

    def sample(self, row: int) -> int:
        """The next token from the logits of batch row ``row``.

        Raises:
            GrammarError: The rules leave no token.
        """
        token_id = self._inner.sample(row) if self._takes_best else None
        if token_id is None or not self._rules.allows(token_id):
            token_id = self._sample_allowed(row)
        self._rules.accept(token_id)
        self._num_picked += 1
        return token_id

    def _sample_allowed(self, row: int) -> int:
        logits = self._logits(row)
        untouched = logits.copy()
        try:
            self._rules.forbid(logits)
            if not (logits > FORBIDDEN).any():
                raise GrammarError(
                    f"after {self._num_picked} tokens the rules of the answer allow no other one",
                    hint="the grammar or schema asks for what the vocabulary cannot say",
                    num_tokens=self._num_picked,
                )
            return self._inner.sample(row)
        finally:
            logits[:] = untouched

    def forced(self) -> Sequence[int]:
        """What the rules leave no choice of: it need not be sampled, so it is computed at once."""
        token_ids = self._rules.forced()
        for token_id in token_ids:
            self._inner.accept(token_id)
        self._num_picked += len(token_ids)
        return token_ids

    def close(self) -> None:
        """Free the sampler and the rules."""
        self._inner.close()
        self._rules.close()
