"""GBNF grammars, followed by llama.cpp: :class:`GrammarRules`."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as c

from sus_local.backend import native_stderr
from sus_local.backend.llama_log import log
from sus_local.backend.rules import FORBIDDEN, Logits
from sus_local.errors import GrammarError

_DEEPEST = 256
"""Groups within groups; llama.cpp's parser calls itself for each, and some thousands of them end
the process."""

_LONGEST_REASON = 120
_OPAQUE = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*')
"""Literals, character classes and comments: what may have a bracket that opens no group."""

_ENTRY = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""``llama_token_data``."""


class GrammarRules:
    """Implements :class:`sus_local.backend.rules.Rules` for a grammar whose first rule is ``root``.

    Args:
        vocab: The ``llama_vocab``.
        grammar: GBNF, see ``grammars/README.md`` of llama.cpp.

    Raises:
        GrammarError: It cannot be compiled.
    """

    def __init__(self, vocab: Any, grammar: str) -> None:
        self._entries = np.zeros(c.llama_vocab_n_tokens(vocab), _ENTRY)
        self._entries["id"] = np.arange(len(self._entries))
        text = _checked(grammar)
        with log.collecting() as logged, native_stderr.captured() as told:
            self._sampler = c.llama_sampler_init_grammar(vocab, text, b"root")
        if not self._sampler:
            raise GrammarError(
                f"the grammar cannot be compiled: {_reason([*told, *logged])}",
                hint="see grammars/README.md of llama.cpp; the first rule is root",
            )

    def forbid(self, logits: Logits) -> None:
        """See the protocol."""
        self._entries["logit"] = logits
        self._apply(self._entries)
        logits[:] = self._entries["logit"]

    def allows(self, token_id: int) -> bool:
        """See the protocol."""
        entry = np.array([(token_id, 0.0, 0.0)], _ENTRY)
        self._apply(entry)
        return bool(entry["logit"][0] > FORBIDDEN)

    def accept(self, token_id: int) -> None:
        """See the protocol."""
        c.llama_sampler_accept(self._sampler, token_id)

    def forced(self) -> Sequence[int]:
        """llama.cpp does not tell."""
        return ()

    def _apply(self, entries: np.ndarray[Any, np.dtype[np.void]]) -> None:
        data = entries.ctypes.data_as(ctypes.POINTER(c.llama_token_data))
        array = c.llama_token_data_array(data, len(entries), -1, False)
        c.llama_sampler_apply(self._sampler, ctypes.byref(array))

    def close(self) -> None:
        """Free the grammar."""
        if self._sampler is not None:
            c.llama_sampler_free(self._sampler)
            self._sampler = None


def _checked(grammar: str) -> bytes:
    """The text for llama.cpp, unless that would not survive it."""
    depth = deepest_group(grammar)
    if depth > _DEEPEST:
        raise GrammarError(
            f"the grammar has groups {depth} deep, at most {_DEEPEST} can be compiled",
            hint="give the inner groups rules of their own",
            depth=depth,
        )
    try:
        return grammar.encode()
    except UnicodeEncodeError as error:
        raise GrammarError(
            f"the grammar has no character at {error.start}, but half of one",
            hint="write it as UTF-8",
        ) from error


def _reason(told: list[str]) -> str:
    """Why, of the lines that llama.cpp writes: before the grammar, if that has been parsed at all.

    >>> _reason(["parse: error parsing grammar: expecting ')' at", "", "root ::= ("])
    "expecting ')' at"
    """
    first = next(filter(None, told), "no rule named root")
    return first.split("error parsing grammar: ")[-1][:_LONGEST_REASON].rstrip()


def deepest_group(grammar: str) -> int:
    """How many groups stand within each other.

    >>> deepest_group('root ::= ("(" ([(] | "a"))*  # ((((')
    2
    """
    depth = deepest = 0
    for bracket in re.findall(r"[()]", _OPAQUE.sub("", grammar)):
        depth += 1 if bracket == "(" else -1
        deepest = max(deepest, depth)
    return deepest
