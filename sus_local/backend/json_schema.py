"""JSON schemas, followed by llguidance: :class:`SchemaVocabulary`, :class:`SchemaRules`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sus_local.backend.rules import FORBIDDEN, Logits
from sus_local.errors import GrammarError

_SPACES: Any = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""Lines and indents are a third of the tokens of a JSON text, and a model that may write any white
space may come to write nothing else."""
_LONGEST_REASON = 200
_DEFINITIONS = ("$defs", "definitions")
_NAMED = ("properties", "patternProperties")
_VALUES = ("items", "prefixItems", "additionalProperties", "contains")
_CHOICES = ("anyOf", "oneOf")
_BESIDE = ("allOf", "not", "if", "then", "else")
_OF_OBJECTS = {"properties", "required", "additionalProperties", "patternProperties"}
_OPEN = {
    "additionalProperties", "unevaluatedProperties", "patternProperties", "allOf", "anyOf", "oneOf",
    "if", "$ref",
}  # fmt: skip


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
        self._tokenize = tokenize

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenize(text.decode("utf-8", errors="replace"))


class SchemaRules:
    """Implements :class:`sus_local.backend.rules.Rules` for a JSON schema.

    Args:
        vocabulary: The model's.
        schema: ``{}`` stands for any object. See :func:`as_meant`.

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


def as_meant(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what people leave out: the type of objects, and that they have no more members.

    The standard lets ``{"properties": …}`` be a number too, and an object have whatever else: a
    model would go on inventing members. An object that several parts of the schema describe stays
    open, and so do definitions that may be such parts.

    >>> as_meant({"properties": {"n": {"type": "integer"}}})
    {'properties': {'n': {'type': 'integer'}}, 'type': 'object', 'additionalProperties': False}
    >>> as_meant({"allOf": [{"required": ["n"]}]})
    {'allOf': [{'required': ['n'], 'type': 'object'}]}
    """
    meant: dict[str, Any] = _as_meant(schema, whole=True)
    for name in meant.keys() & _DEFINITIONS:
        meant[name] = _each_as_meant(meant[name], whole=not _has_sides(schema))
    return meant


def _as_meant(part: Any, *, whole: bool) -> Any:
    """A part, or some; ``whole`` where all that is said of a value is said there."""
    if isinstance(part, list):
        return [_as_meant(each, whole=whole) for each in part]
    if not isinstance(part, Mapping):
        return part
    found = dict(part)
    of_object = bool(found.keys() & _OF_OBJECTS)
    for name in found.keys() & _NAMED:
        found[name] = _each_as_meant(found[name], whole=True)
    chosen = whole and not of_object
    for names, inner_whole in ((_VALUES, True), (_CHOICES, chosen), (_BESIDE, False)):
        for name in found.keys() & names:
            found[name] = _as_meant(found[name], whole=inner_whole)
    if of_object and not found.keys() & {"type", "enum", "const"}:
        found["type"] = "object"
    if whole and "properties" in found and not found.keys() & _OPEN:
        found["additionalProperties"] = False
    return found


def _each_as_meant(parts: Any, *, whole: bool) -> Any:
    if not isinstance(parts, Mapping):
        return parts
    return {name: _as_meant(part, whole=whole) for name, part in parts.items()}


def _has_sides(part: Any) -> bool:
    """Whether somewhere in it a value is described by several parts beside each other."""
    if isinstance(part, list):
        return any(map(_has_sides, part))
    if not isinstance(part, Mapping):
        return False
    sides = sum(name in part for name in ("$ref", *_CHOICES)) + bool(part.keys() & _OF_OBJECTS)
    together = part.get("allOf")
    sides += len(together) if isinstance(together, list) else 0
    return sides > 1 or any(map(_has_sides, part.values()))


def _refused(why: str) -> GrammarError:
    reason = " ".join(why.split())[:_LONGEST_REASON] or "it allows nothing"
    return GrammarError(
        f"the JSON schema cannot be followed: {reason}",
        hint="leave out what is named, or give its rules in the prompt",
    )
