"""The bytes that a context of llama.cpp takes: its KV cache, its graph, its outputs.

The formulas follow what llama.cpp reserves in ``llama_context::sched_reserve`` for the largest
batch; tests hold them against real contexts. A graph's buffer is reused from layer to layer, so
its size is the largest of three moments, in floats a token of the batch (``n_ubatch`` of them):

===========  =======================================  =======================================
moment       with flash attention                     without
===========  =======================================  =======================================
attention    less than the feed-forward's             5 E + 2 K + H · n_ctx (the scores);
                                                      2 E + 2 K + H · n_ctx on a GPU
feed-forward 3 F + 4 E (3 E where the KV is           3 F + 3 E + 2 K; 3 F + 2 E + 2 K on a GPU
             quantized); 3 F + 2 E on a GPU
output       2 E, and the vocabulary for each token   as with flash attention
             that has logits
===========  =======================================  =======================================

E is the embedding's width, F the feed-forward's, K the keys', H the number of heads. The mask
comes on top: ``n_ctx`` a token, as f16 with flash attention and f32 without. On a GPU less is
needed because main memory keeps the inputs of the graph: 2 E and the mask.

Where only a part of the layers is on a GPU, it computes large batches for the others too:
llama.cpp copies their matrices over, about one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sus_local.backend.options import KV_TYPES, KvType
from sus_local.offload.gguf_facts import ModelFacts

_PADDING = 256
_FLOAT = 4


@dataclass(frozen=True)
class ContextShape:
    """The settings of a context that decide its memory, under llama.cpp's names.

    ``n_outputs_max`` bounds the tokens of a batch that have logits; None: all of them may.
    ``kv_ram_bytes`` is the budget of the prompt cache in main memory.
    """

    n_ctx: int
    kv_type: KvType = "f16"
    n_batch: int = 512
    n_ubatch: int = 512
    max_sequences: int = 1
    flash_attn: bool = True
    n_outputs_max: int | None = None
    kv_ram_bytes: int = 0

    @property
    def num_cells(self) -> int:
        """Tokens that the KV cache holds: ``n_ctx`` as llama.cpp rounds it up.

        >>> ContextShape(n_ctx=1000).num_cells
        1024
        """
        return -(-self.n_ctx // _PADDING) * _PADDING

    @property
    def num_batch_tokens(self) -> int:
        """Tokens of the largest batch that is computed at once."""
        return min(self.n_ubatch, self.n_batch, self.num_cells)

    def smaller(self, n_ctx: int, kv_type: KvType) -> ContextShape:
        """This with another context length and KV type."""
        return replace(self, n_ctx=n_ctx, kv_type=kv_type)


def kv_layer_bytes(facts: ModelFacts, shape: ContextShape) -> int:
    """Bytes of one layer's keys and values.

    >>> from sus_local.offload.shapes import SUS_CHAT_34B, hypothetical_facts
    >>> facts = hypothetical_facts(SUS_CHAT_34B, "Q4_K_M")
    >>> kv_layer_bytes(facts, ContextShape(n_ctx=8192)) * facts.n_layer / 2**30
    1.875
    """
    return int(2 * shape.num_cells * facts.n_embd_kv * KV_TYPES[shape.kv_type][1])


def graph_bytes(facts: ModelFacts, shape: ContextShape, *, outputs: bool = True) -> int:
    """Bytes of the compute buffer of a CPU that computes layers.

    Args:
        facts: The model.
        shape: The context.
        outputs: Whether it computes the output matrix too.
    """
    flash, n_embd, n_embd_kv = shape.flash_attn, facts.n_embd, facts.n_embd_kv
    forward = 3 * facts.n_ff + (4 if flash and shape.kv_type == "f16" else 3) * n_embd
    forward += 0 if flash else 2 * n_embd_kv
    attention = 0 if flash else 5 * n_embd + 2 * n_embd_kv + facts.n_head * shape.num_cells
    return _moments_bytes(facts, shape, forward, attention, outputs=outputs)


def gpu_graph_bytes(facts: ModelFacts, shape: ContextShape, *, outputs: bool, partial: bool) -> int:
    """Bytes of the compute buffer of a GPU that computes layers.

    Args:
        facts: The model.
        shape: The context.
        outputs: Whether the GPU computes the output matrix too.
        partial: Whether there are layers in main memory.
    """
    keys = 0 if shape.flash_attn else 2 * facts.n_embd_kv
    forward = 3 * facts.n_ff + 2 * facts.n_embd + keys
    scores = 0 if shape.flash_attn else facts.n_head * shape.num_cells
    attention = 2 * facts.n_embd + keys + scores
    layers = _moments_bytes(facts, shape, forward, attention, outputs=False)
    if partial:
        layers += facts.largest_matrix_bytes + 2 * shape.num_batch_tokens * _mask_bytes(shape)
    return max(layers, _output_moment_bytes(facts, shape) if outputs else 0)


def input_bytes(facts: ModelFacts, shape: ContextShape) -> int:
    """Bytes that main memory keeps of the graph when every layer is on a GPU."""
    floats = 2 * facts.n_embd + (0 if shape.flash_attn else 2 * facts.n_embd_kv)
    return shape.num_batch_tokens * (_FLOAT * floats + _mask_bytes(shape))


def output_bytes(facts: ModelFacts, shape: ContextShape) -> int:
    """Bytes of the logits that the CPU reads: a row a sequence."""
    return _FLOAT * facts.n_vocab * shape.max_sequences


def scratch_bytes(facts: ModelFacts, shape: ContextShape) -> int:
    """Bytes in which the CPU keeps a batch's activations in 8 bits, for quantized matrices."""
    return shape.num_batch_tokens * max(facts.n_ff, facts.n_embd) * 9 // 8


def _mask_bytes(shape: ContextShape) -> int:
    return shape.num_cells * (2 if shape.flash_attn else 4)


def _moments_bytes(facts: ModelFacts, shape: ContextShape, *moments: int, outputs: bool) -> int:
    """The largest of moments, given in floats a token, and of the output's."""
    num_tokens = shape.num_batch_tokens
    sizes = [num_tokens * (_FLOAT * floats + _mask_bytes(shape)) for floats in moments]
    if outputs:
        sizes.append(_output_moment_bytes(facts, shape))
    return max(sizes)


def _output_moment_bytes(facts: ModelFacts, shape: ContextShape) -> int:
    num_tokens = shape.num_batch_tokens
    most = num_tokens if shape.n_outputs_max is None else shape.n_outputs_max
    num_outputs = min(num_tokens, max(most, shape.max_sequences))
    return _FLOAT * (num_outputs * facts.n_vocab + num_tokens * 2 * facts.n_embd)
