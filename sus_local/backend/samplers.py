"""Which sampler an answer gets: :class:`Samplers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from sus_local.backend.base import ModelInfo, Sampler
from sus_local.backend.grammar import GrammarRules
from sus_local.backend.json_schema import SchemaRules, SchemaVocabulary
from sus_local.backend.rules import Logits, Picker, RuledSampler, Rules
from sus_local.backend.sampler_chain import MostLikely, SamplerChain
from sus_local.sampling import SamplingParams


class Samplers:
    """Makes the samplers of one model.

    Args:
        context: The ``llama_context``.
        vocab: The ``llama_vocab`` of its model.
        info: The model's facts.
        logits: The row of a batch row.
        tokenize: Plain text → token ids.
        token_bytes: What a token stands for.
    """

    def __init__(
        self,
        context: Any,
        vocab: Any,
        info: ModelInfo,
        logits: Callable[[int], Logits],
        *,
        tokenize: Callable[[str], list[int]],
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self._context = context
        self._vocab = vocab
        self._info = info
        self._logits = logits
        self._tokenize = tokenize
        self._token_bytes = token_bytes

    def make(self, params: SamplingParams, seed: int, past_token_ids: Sequence[int]) -> Sampler:
        """A sampler chain in C, or what is quicker and does the same; under rules if there are.

        Raises:
            GrammarError: The grammar or schema cannot be followed.
            SamplingError: A parameter names a token that there is not.
        """
        picker = self._picker(params, seed, past_token_ids)
        try:
            rules = self._rules(params)
        except BaseException:
            picker.close()
            raise
        if rules is None:
            return picker
        takes_best = isinstance(picker, MostLikely)
        return RuledSampler(picker, rules, self._logits, takes_best=takes_best)

    def _picker(self, params: SamplingParams, seed: int, past_token_ids: Sequence[int]) -> Picker:
        if MostLikely.suits(params):
            return MostLikely(self._logits)
        return SamplerChain(
            self._context,
            self._vocab,
            n_ctx=self._info.n_ctx,
            params=params,
            seed=seed,
            past_token_ids=past_token_ids,
        )

    def _rules(self, params: SamplingParams) -> Rules | None:
        if params.grammar is not None:
            return GrammarRules(self._vocab, params.grammar)
        if params.json_schema is not None:
            return SchemaRules(self._schema_vocabulary, params.json_schema)
        return None

    @cached_property
    def _schema_vocabulary(self) -> SchemaVocabulary:
        info = self._info
        return SchemaVocabulary(info.n_vocab, self._token_bytes, self._tokenize, info.eos)
