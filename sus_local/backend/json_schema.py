"""JSON schemas, followed by llguidance: :class:`SchemaVocabulary`, :class:`SchemaRules`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sus_local.backend.rules import FORBIDDEN, Logits
from sus_local.backend.schema_intent import as_meant
from sus_local.errors import GrammarError

_SPACES: Any = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""Lines and indents are a third of the tokens of a JSON text, and a model that may write any white
space may come to write nothing else."""
_LONGEST_REASON = 200


class SchemaVocabulary:
    """A model's tokens as llguidance wants them; made once a model, 0.1 s for 64000 tokens.

    Args:
        n_vocab: How many tokens there are.
        token_bytes: What a token stands for; nothing for a control token.
        tokenize: Plain text → token ids.
        eos: What ends an answer.
    """

    def __init__(
        self,
        n_vocab: int,
        token_bytes: Callable[[int], bytes],
        tokenize: Callable[[str], list[int]],
        eos: int,
    ) -> None:
        from llguidance import LLTokenizer, TokenizerWrapper

        tokens = [token_bytes(token_id) for token_id in range(n_vocab)]
        self.n_vocab = n_vocab
        self.eos = eos
        self.tokenizer = LLTokenizer(
            TokenizerWrapper(_Tokens(tokens, tokenize, eos)),
            n_vocab=n_vocab,
            slices=LLTokenizer.json_slices(),
        )


class _Tokens:
    """What ``TokenizerWrapper`` looks at."""

    bos_token_id = None

    def __init__(self, tokens: list[bytes], tokenize: Callable[[str], list[int]], end: int) -> None:
        self.eos_token_id = end
        self.special_token_ids = [index for index, token in enumerate(tokens) if not token]
        # Special tokens are told by a byte that no UTF-8 has, and by their own names.
        self.tokens = [token or b"\xff<%d>" % index for index, token in enumerate(tokens)]
        self._single = {token: index for index, token in enumerate(tokens) if len(token) == 1}
        self._tokenize = tokenize

    def __call__(self, text: bytes) -> list[int]:
        """The tokens of a text that stands in the middle of another one.

        Where the tokenizer puts a space before every text, those after a line's end; they are not
        joined with it.
        """
        plain = text.decode("utf-8", errors="replace")
        for before in ("", "\n"):
            token_ids = self._tokenize(before + plain)[len(self._tokenize(before)) :]
            if b"".join(self.tokens[token_id] for token_id in token_ids) == text:
                return token_ids
        return [self._single[bytes([byte])] for byte in text]


class SchemaRules:
    """Implements :class:`sus_local.backend.rules.Rules` for a JSON schema.

    Args:
        vocabulary: The model's.
        schema: ``{}`` stands for any object. See :mod:`sus_local.backend.schema_intent`.

    Raises:
        GrammarError: It is no schema, nothing satisfies it, or a part of it is not supported; see
            https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
    """

    def __init__(self, vocabulary: SchemaVocabulary, schema: Mapping[str, Any]) -> None:
        from llguidance import LLMatcher

        self._num_tokens = vocabulary.n_vocab
        self._eos = vocabulary.eos
        self._mask = np.zeros(-(-vocabulary.n_vocab // 32), np.uint32)
        try:
            text = json.dumps(as_meant(schema) or {"type": "object"})
            grammar = LLMatcher.grammar_from_json_schema(text, overrides=_SPACES)
        except (TypeError, ValueError, RecursionError) as error:
            raise _refused(str(error)) from error
        self._matcher = LLMatcher(vocabulary.tokenizer, grammar, log_level=0)
        self._check()

    def forbid(self, logits: Logits) -> None:
        """See the protocol."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()
        bits = np.unpackbits(self._mask.view(np.uint8), count=self._num_tokens, bitorder="little")
        logits[bits == 0] = FORBIDDEN

    def allows(self, token_id: int) -> bool:
        """See the protocol."""
        return self._matcher.validate_tokens([token_id]) == 1 and not self._matcher.is_error()

    def accept(self, token_id: int) -> None:
        """See the protocol."""
        self._matcher.consume_token(token_id)

    def forced(self) -> Sequence[int]:
        """See the protocol; in the tokens that the model's own tokenizer makes of the text."""
        if self._matcher.is_error():
            return ()
        if self._matcher.is_stopped():
            return (self._eos,)
        token_ids = self._matcher.compute_ff_tokens()
        return token_ids[: self._matcher.try_consume_tokens(token_ids)]

    def close(self) -> None:
        """Nothing to free."""

    def _check(self) -> None:
        if self._matcher.is_error():
            error = self._matcher.get_error()
            raise _refused("" if error.startswith("NoExtension") else error)


def _refused(why: str) -> GrammarError:
    reason = " ".join(why.split())[:_LONGEST_REASON] or "it allows nothing"
    return GrammarError(
        f"the JSON schema cannot be followed: {reason}",
        hint="leave out what is named, or give its rules in the prompt",
    )
