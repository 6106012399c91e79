"""Whether attention on the CPU keeps its matrix of scores instead of being "flash" attention.

llama.cpp's flash attention on the CPU works in tiles from 64 tokens on, and below that row by row:
a message of some words waits longer for attention over the history than for the weights. With the
matrix of scores it does not, and single tokens are decoded faster too once some hundred lie behind
them. The price is the matrix, and that attention covers its padding: in the first 256 tokens of a
conversation a token costs some percent more, the fewer the larger the model.
"""

from __future__ import annotations

from dataclasses import replace

from sus_local.backend.options import default_n_ubatch
from sus_local.offload.gguf_facts import ModelFacts
from sus_local.offload.ledger import ContextShape

MOST_SCORE_BYTES = 256 << 20
"""What the matrix may take."""

_PADDING = 256
_MOST_PADDING_WORK = 1 / 30


def with_scores(
    facts: ModelFacts, shape: ContextShape, *, n_ubatch: int | None
) -> ContextShape | None:
    """The context without flash attention, or None where that is not the better one.

    Args:
        facts: The model; all of it is to be computed on the CPU.
        shape: The context with flash attention.
        n_ubatch: As asked for; None takes a small one, which keeps the matrix small.

    >>> from sus_local.offload.shapes import SUS_CHAT_34B, hypothetical_facts
    >>> facts = hypothetical_facts(SUS_CHAT_34B, "Q4_K_M")
    >>> found = with_scores(facts, ContextShape(n_ctx=8192), n_ubatch=None)
    >>> found.flash_attn, found.n_ubatch, score_bytes(facts, found) >> 20
    (False, 128, 224)
    """
    without = replace(shape, flash_attn=False, n_ubatch=n_ubatch or default_n_ubatch(flash=False))
    small = score_bytes(facts, without) <= MOST_SCORE_BYTES
    light = _padding_work(facts) <= _MOST_PADDING_WORK
    return without if small and light and shape.kv_type == "f16" else None


def score_bytes(facts: ModelFacts, shape: ContextShape) -> int:
    """Bytes of the matrix of scores: every head's, of a whole batch over the whole context."""
    return 4 * facts.n_head * shape.num_cells * shape.num_batch_tokens


def _padding_work(facts: ModelFacts) -> float:
    """What attention over the padding costs a token, as a share of the matrices' cost."""
    heads = 2 * facts.head_dim * (facts.n_head + facts.n_head_kv)
    layer = facts.n_embd * (heads + 3 * facts.n_ff)
    matrices = facts.n_layer * layer + facts.n_embd * facts.n_vocab
    return facts.n_layer * 2 * _PADDING * facts.n_head * facts.head_dim / matrices
