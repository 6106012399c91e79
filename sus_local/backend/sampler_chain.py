"""A llama.cpp sampler chain for one answer, in the order that llama.cpp's own programs use.

Logit bias, penalties, DRY, top-k, typical, top-p, min-p, XTC, temperature, then the draw. Where
only the most likely token is asked for, no chain. Grammars and schemas come before all that, see
:mod:`sus_local.backend.rules`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_cpp import llama_cpp as c

from sus_local.backend.rules import Logits
from sus_local.errors import SamplingError
from sus_local.sampling import SamplingParams

_MOST_BIAS = 1e6
"""Forbids as well as infinity does, but leaves a grammar a token where it allows no other one."""


class SamplerChain:
    """Implements :class:`sus_local.backend.base.Sampler`.

    Args:
        context: The ``llama_context``.
        vocab: The ``llama_vocab`` of its model.
        n_ctx: What a penalty over "the whole context" looks at.
        params: With every default filled in.
        seed: For the draw.
        past_token_ids: What penalties have seen already.
    """

    def __init__(
        self,
        context: Any,
        vocab: Any,
        *,
        n_ctx: int,
        params: SamplingParams,
        seed: int,
        past_token_ids: Sequence[int],
    ) -> None:
        self._context = context
        chain_params = c.llama_sampler_chain_default_params()
        chain_params.no_perf = True
        self._chain = c.llama_sampler_chain_init(chain_params)
        try:
            self._fill(vocab, n_ctx, params, seed)
            self._look_back(vocab, n_ctx, params, past_token_ids)
        except BaseException:
            self.close()
            raise

    def sample(self, row: int) -> int:
        """The next token from the logits of batch row ``row``."""
        return int(c.llama_sampler_sample(self._chain, self._context, row))

    def accept(self, token_id: int) -> None:
        """Let the penalties see a token that was not sampled."""
        c.llama_sampler_accept(self._chain, token_id)

    def forced(self) -> Sequence[int]:
        """Nothing has to follow."""
        return ()

    def close(self) -> None:
        """Free the chain."""
        if self._chain is not None:
            c.llama_sampler_free(self._chain)
            self._chain = None

    def _fill(self, vocab: Any, n_ctx: int, params: SamplingParams, seed: int) -> None:
        num_vocab = c.llama_vocab_n_tokens(vocab)
        self._add_logit_bias(num_vocab, params.logit_bias)
        self._add_penalties(num_vocab, n_ctx, params)
        self._add_dry(vocab, n_ctx, params)
        top_k = min(params.top_k or 0, num_vocab)
        temperature = params.temperature or 0.0
        if params.greedy:
            self._add(c.llama_sampler_init_greedy())
        elif params.mirostat:
            self._add(c.llama_sampler_init_temp(temperature))
            self._add_mirostat(num_vocab, params, seed)
        else:
            self._add_truncation(params, top_k, seed)
            self._add(c.llama_sampler_init_temp(temperature))
            self._add(c.llama_sampler_init_dist(seed))

    def _add(self, sampler: Any) -> None:
        c.llama_sampler_chain_add(self._chain, sampler)

    def _add_logit_bias(self, num_vocab: int, bias: Mapping[int, float]) -> None:
        check_logit_bias(num_vocab, bias)
        if bias:
            entries = [
                c.llama_logit_bias(token_id, max(-_MOST_BIAS, min(amount, _MOST_BIAS)))
                for token_id, amount in bias.items()
            ]
            pairs = (c.llama_logit_bias * len(bias))(*entries)
            self._add(c.llama_sampler_init_logit_bias(num_vocab, len(bias), pairs))

    def _add_penalties(self, num_vocab: int, n_ctx: int, params: SamplingParams) -> None:
        if _has_penalties(params):
            last_n = _within(params.penalty_last_n, n_ctx)
            repeat = params.repetition_penalty or 1.0
            amounts = (repeat, params.frequency_penalty, params.presence_penalty)
            self._add(c.llama_sampler_init_penalties(num_vocab, last_n, *amounts))

    def _add_dry(self, vocab: Any, n_ctx: int, params: SamplingParams) -> None:
        if params.dry_multiplier:
            last_n = _within(params.dry_penalty_last_n, n_ctx)
            texts = [text.encode() for text in params.dry_sequence_breakers]
            breakers = (ctypes.c_char_p * len(texts))(*texts)
            allowed = min(params.dry_allowed_length, n_ctx)
            shape = (params.dry_multiplier, params.dry_base, allowed)
            self._add(c.llama_sampler_init_dry(vocab, *shape, last_n, breakers, len(texts)))

    def _add_truncation(self, params: SamplingParams, top_k: int, seed: int) -> None:
        if top_k:
            self._add(c.llama_sampler_init_top_k(top_k))
        if (typical := params.typical_p) is not None and typical < 1:
            self._add(c.llama_sampler_init_typical(typical, 1))
        if (top_p := params.top_p) is not None and top_p < 1:
            self._add(c.llama_sampler_init_top_p(top_p, 1))
        if params.min_p:
            self._add(c.llama_sampler_init_min_p(params.min_p, 1))
        if params.xtc_probability:
            shape = (params.xtc_probability, params.xtc_threshold)
            self._add(c.llama_sampler_init_xtc(*shape, 1, seed))

    def _add_mirostat(self, num_vocab: int, params: SamplingParams, seed: int) -> None:
        shape = (params.mirostat_tau, params.mirostat_eta)
        if params.mirostat == 1:
            self._add(c.llama_sampler_init_mirostat(num_vocab, seed, *shape, 100))
        else:
            self._add(c.llama_sampler_init_mirostat_v2(seed, *shape))

    def _look_back(
        self, vocab: Any, n_ctx: int, params: SamplingParams, past_token_ids: Sequence[int]
    ) -> None:
        """Let the penalties see the prompt, as llama.cpp's server does."""
        if _has_penalties(params) or params.dry_multiplier:
            for token_id in past_token_ids[-n_ctx:]:
                c.llama_sampler_accept(self._chain, token_id)


class MostLikely:
    """Takes the most likely token, straight from llama.cpp's row of logits.

    A chain would first make a table of the whole vocabulary: 0.1 ms for 64000 tokens.

    Args:
        logits: The row of a batch row.
    """

    def __init__(self, logits: Callable[[int], Logits]) -> None:
        self._logits = logits

    @staticmethod
    def suits(params: SamplingParams) -> bool:
        """Whether nothing changes the logits."""
        changed = params.logit_bias or params.dry_multiplier or _has_penalties(params)
        return params.greedy and not changed

    def sample(self, row: int) -> int:
        """The next token from the logits of batch row ``row``."""
        return int(self._logits(row).argmax())

    def accept(self, token_id: int) -> None:
        """It sees no past."""

    def forced(self) -> Sequence[int]:
        """Nothing has to follow."""
        return ()

    def close(self) -> None:
        """Nothing to free."""


def check_logit_bias(num_vocab: int, bias: Mapping[int, float]) -> None:
    """Refuse a bias for tokens that there are not, or one that forbids all there are.

    Raises:
        SamplingError: With the number of tokens.
    """
    wrong = [token_id for token_id in bias if not 0 <= token_id < num_vocab]
    if wrong:
        raise SamplingError(
            f"logit_bias names token {wrong[0]}, the vocabulary has {num_vocab}",
            token_id=wrong[0],
            n_vocab=num_vocab,
        )
    if sum(amount <= -_MOST_BIAS for amount in bias.values()) >= num_vocab:
        raise SamplingError(
            f"logit_bias forbids all {num_vocab} tokens of the vocabulary",
            hint="leave at least one",
            n_vocab=num_vocab,
        )


def _within(last_n: int, n_ctx: int) -> int:
    """How many past tokens to look at: llama.cpp allocates them, and counts in 32 bits.

    >>> _within(-1, 8192), _within(64, 8192), _within(2**40, 8192)
    (8192, 64, 8192)
    """
    return n_ctx if last_n < 0 else min(last_n, n_ctx)


def _has_penalties(params: SamplingParams) -> bool:
    amounts = (params.frequency_penalty, params.presence_penalty)
    return params.repetition_penalty not in (None, 1.0) or any(amounts)
