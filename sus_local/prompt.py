"""From what a caller sends to token ids: :class:`PromptEncoder`.

>>> from sus_local.backend.fake import Fake
>>> encoder = PromptEncoder(Fake(), lambda prompt: ())
>>> encoder.encode("hi").token_ids == tuple(encoder.tokenize("hi"))
True
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sus_local import template
from sus_local.answers import AnswerMemory, standing_for
from sus_local.backend.base import Backend
from sus_local.errors import RequestError, prompt_too_long
from sus_local.results import Result

logger = logging.getLogger(__name__)

Prompt = str | Sequence[template.Message] | Sequence[int]
"""Plain text (encoded as it is), messages (in the chat format), or token ids."""

Continuations = Callable[[Sequence[int]], Iterable[tuple[int, ...]]]
"""What was said after a prompt in the time that the prompt cache reaches back."""

_LONG_TOKEN = 16
"""Bytes; there are longer ones, but no text is made of them."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt as the engine takes it.

    Attributes:
        token_ids: All of it.
        remember: What to do with the answer, so that it is known when it comes back as text; None
            where it will not.
    """

    token_ids: tuple[int, ...]
    remember: Callable[[Result], None] | None = None


class PromptEncoder:
    """Encodes prompts; an answer that comes back as text takes its own tokens again.

    Args:
        backend: The model.
        continuations: Where answers are looked for that this process did not give.
    """

    def __init__(self, backend: Backend, continuations: Continuations) -> None:
        self._backend = backend
        self._info = backend.info
        self._answers = AnswerMemory()
        self._continuations = continuations

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text; control tokens in it stay text.

        Raises:
            RequestError: It is no text.
        """
        if not isinstance(text, str):
            raise RequestError(f"the text is {type(text).__name__}, expected a string")
        return self._backend.tokenize(text)

    def answer_tokens(self, result: Result) -> tuple[int, ...]:
        """The tokens that stand for an answer's text: its own, or others where a stop text cut it
        within one of those."""
        own = standing_for(result.text, result.token_ids, self._backend.token_bytes)
        return tuple(self.tokenize(result.text)) if own is None else own

    def encode(self, prompt: Prompt, history: template.History = "exact") -> EncodedPrompt:
        """Token ids of any prompt.

        Raises:
            RequestError: It is none, or an id is out of the vocabulary.
            MessagesError: The messages are no conversation.
            ContextOverflowError: It is so long that it cannot fit.
        """
        _check_history(history)
        if isinstance(prompt, str):
            self.check_length(prompt)
            return EncodedPrompt(tuple(self.tokenize(prompt)))
        items = _listed(prompt)
        if items is None:
            kind = type(prompt).__name__
            raise RequestError(f"the prompt is {kind}, expected text, messages or token ids")
        if not items or hasattr(items[0], "__index__") or isinstance(items[0], float):
            return EncodedPrompt(tuple(self.check_ids(items)))
        return self._encode_messages(items, history)

    def messages(
        self, messages: Iterable[template.Message], history: template.History
    ) -> list[int]:
        """Token ids of a conversation, whatever its length."""
        _check_history(history)
        parts = template.segments(messages)
        if history == "retokenize":
            return template.encode(template.join_text(parts), self.tokenize, self._info.eos)
        return [token_id for run in self._runs(parts) for token_id in run]

    def tell_other_format(self) -> None:
        """Log a warning where the model was trained on another chat format than messages take."""
        chat_template = self._info.metadata.get("tokenizer.chat_template", template.HUMAN)
        if template.HUMAN.strip() not in chat_template:
            _tell_other_format(self._info.name)

    def check_length(self, text: str) -> None:
        """Refuse a text that cannot fit before it is tokenized, which takes seconds a megabyte.

        Raises:
            ContextOverflowError: With the fewest tokens that it can have.
        """
        n_ctx = self._info.n_ctx
        if len(text) <= _LONG_TOKEN * n_ctx:
            return
        longest = max(map(len, map(self._backend.token_bytes, range(self._info.n_vocab))))
        fewest = -(-len(text.encode(errors="surrogatepass")) // max(1, longest))
        if fewest >= n_ctx:
            raise prompt_too_long(fewest, n_ctx, at_least=True)

    def check_ids(self, token_ids: Iterable[Any]) -> list[int]:
        """The same ids as numbers of Python.

        Raises:
            RequestError: One is no number, or out of the vocabulary.
        """
        items = _listed(token_ids)
        if items is None:
            raise RequestError(f"the text is {type(token_ids).__name__}, expected token ids")
        found: list[int] = []
        for index, given in enumerate(items):
            token_id = _index(given)
            if token_id is None or not 0 <= token_id < self._info.n_vocab:
                raise RequestError(
                    f"token {index} is {given!r}, ids go from 0 to {self._info.n_vocab - 1}",
                    index=index,
                    n_vocab=self._info.n_vocab,
                )
            found.append(token_id)
        return found

    def _encode_messages(
        self, messages: Sequence[template.Message], history: template.History
    ) -> EncodedPrompt:
        parts = template.segments(messages)
        self.tell_other_format()
        self.check_length("".join(part.text for part in parts if isinstance(part, template.Text)))
        if history == "retokenize":
            return EncodedPrompt(tuple(self.messages(messages, history)))
        runs = self._runs(parts)
        token_ids = tuple(token_id for run in runs for token_id in run)
        continues = messages[-1]["role"] == "assistant"
        begun = messages[-1]["content"] if continues else ""
        start = len(token_ids) - (len(runs[-1]) if continues else 0)

        def remember(result: Result) -> None:
            said = without_end(result.token_ids, self._info.end_token_ids)
            own = standing_for(result.text, said, self._backend.token_bytes)
            if own is not None:  # else whoever sends the text gets it encoded anew
                answer = (*token_ids[start:], *own)
                self._answers.remember(token_ids[:start], begun + result.text, answer)

        return EncodedPrompt(token_ids, remember)

    def _runs(self, parts: Sequence[template.Segment]) -> list[list[int]]:
        """Token ids of each segment; those that follow a user's text may be known answers."""
        runs: list[list[int]] = []
        so_far: list[int] = []
        for before, part in zip([None, *parts], parts, strict=False):
            known = None
            if isinstance(before, template.Text) and isinstance(part, template.Text):
                known = self._known_answer(so_far, part.text)
            runs.append(list(known or template.encode([part], self.tokenize, self._info.eos)))
            so_far += runs[-1]
        return runs

    def _known_answer(self, token_ids: list[int], text: str) -> tuple[int, ...] | None:
        """The tokens of an answer that this process, or one before it, generated."""
        known = self._answers.recall(token_ids, text)
        if known is None and text:
            futures = self._continuations(token_ids)
            known = self._answers.find(text, futures, self._backend.token_bytes)
            if known is not None:
                self._answers.remember(token_ids, text, known)
        return known


@cache
def _tell_other_format(name: str) -> None:
    """Once a model: it may be loaded again and again."""
    logger.warning(
        "%s has a chat format of its own; messages are put in SUS-Chat's, which it was not "
        "trained on; text in its own format: sus-local run --template raw",
        name,
    )


def _check_history(history: object) -> None:
    if history not in ("exact", "retokenize"):
        raise RequestError(f"history is {history!r}", hint="exact or retokenize", history=history)


def _listed(items: Any) -> list[Any] | None:
    """What a caller gave, as a list; None if it is none."""
    if isinstance(items, (str, bytes, Mapping)):
        return None
    try:
        found = iter(items)
    except TypeError:  # also of an array without dimensions, which has __iter__
        return None
    return list(found)


def _index(token_id: Any) -> int | None:
    """A whole number, of numpy for instance, as Python's own; None if it is none."""
    try:
        return operator.index(token_id)
    except TypeError:
        return None


def without_end(token_ids: tuple[int, ...], ends: frozenset[int]) -> tuple[int, ...]:
    """An answer's tokens without the token that ended it.

    >>> without_end((5, 6, 2), frozenset({2}))
    (5, 6)
    """
    return token_ids[:-1] if token_ids and token_ids[-1] in ends else token_ids
