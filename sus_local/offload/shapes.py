"""Models that are not there yet: their facts from a shape and a quantization.

``doctor`` tells with these which quantizations of SUS-Chat-34B would fit before any is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sus_local.offload.gguf_facts import ModelFacts


@dataclass(frozen=True)
class Hyperparameters:
    """The shape of a LLaMA model, under llama.cpp's names."""

    name: str
    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_vocab: int
    n_ctx_train: int

    @property
    def num_layer_parameters(self) -> int:
        """Parameters of one layer's matrices and norms."""
        attention = 2 * self.n_embd * (self.n_head + self.n_head_kv) * self.head_dim
        return attention + 3 * self.n_embd * self.n_ff + 2 * self.n_embd

    @property
    def num_parameters(self) -> int:
        """All parameters, with untied embeddings.

        >>> SUS_CHAT_34B.num_parameters
        34388917248
        """
        ends = 2 * self.n_embd * self.n_vocab + self.n_embd
        return self.n_layer * self.num_layer_parameters + ends


SUS_CHAT_34B = Hyperparameters(
    name="SUS-Chat-34B",
    n_layer=60,
    n_embd=7168,
    n_ff=20480,
    n_head=56,
    n_head_kv=8,
    head_dim=128,
    n_vocab=64000,
    n_ctx_train=8192,
)


@dataclass(frozen=True)
class _Density:
    """Bits a parameter: over the layers of a mixture, and of its embedding and output matrices."""

    layers: float
    embedding: float
    output: float


# What llama-quantize makes of SUS-Chat-34B's tensors: of its size in all, each matrix's share.
# A mixture gives single layers more than others, so for another shape this is an estimate.
_DENSITIES: Mapping[str, _Density] = {
    "IQ2_XXS": _Density(2.1126, 2.625, 5.5),
    "IQ2_M": _Density(2.6962, 3.4375, 5.5),
    "Q2_K": _Density(2.9391, 2.625, 6.5625),
    "IQ3_XXS": _Density(3.1954, 3.4375, 5.5),
    "Q3_K_S": _Density(3.4382, 3.4375, 6.5625),
    "Q3_K_M": _Density(3.8433, 3.4375, 6.5625),
    "Q3_K_L": _Density(4.1981, 3.4375, 6.5625),
    "IQ4_XS": _Density(4.3055, 4.25, 6.5625),
    "Q4_0": _Density(4.5007, 4.5, 6.5625),
    "Q4_K_S": _Density(4.5323, 4.5, 6.5625),
    "Q4_K_M": _Density(4.7856, 4.5, 6.5625),
    "Q5_K_S": _Density(5.5007, 5.5, 6.5625),
    "Q5_K_M": _Density(5.6475, 5.5, 6.5625),
    "Q6_K": _Density(6.5632, 6.5625, 6.5625),
    "Q8_0": _Density(8.5006, 8.5, 8.5),
    "F16": _Density(16.0, 16.0, 16.0),
}

QUANTIZATIONS: tuple[str, ...] = tuple(_DENSITIES)
"""The quantizations with a known size, the smallest first."""


def hypothetical_facts(shape: Hyperparameters, file_type: str) -> ModelFacts:
    """The facts that a model of ``shape`` will have as ``file_type``.

    Exact to 0.01 % for SUS-Chat-34B, an estimate for other shapes.

    Raises:
        KeyError: ``file_type`` is none of :data:`QUANTIZATIONS`.

    >>> round(hypothetical_facts(SUS_CHAT_34B, "Q4_K_M").weight_bytes / 1e9, 2)
    20.66
    """
    density = _DENSITIES[file_type]
    table = shape.n_embd * shape.n_vocab
    output = int(table * density.output / 8)
    return ModelFacts(
        name=shape.name,
        architecture="llama",
        file_type=file_type,
        n_layer=shape.n_layer,
        n_embd=shape.n_embd,
        n_head=shape.n_head,
        n_head_kv=shape.n_head_kv,
        head_dim=shape.head_dim,
        n_ff=shape.n_ff,
        n_vocab=shape.n_vocab,
        n_ctx_train=shape.n_ctx_train,
        layer_bytes=(int(shape.num_layer_parameters * density.layers / 8),) * shape.n_layer,
        embedding_bytes=int(table * density.embedding / 8),
        output_bytes=output + 4 * shape.n_embd,
        largest_matrix_bytes=int(shape.n_embd * shape.n_ff * density.output / 8),
    )


def smaller_quantizations(facts: ModelFacts) -> tuple[ModelFacts, ...]:
    """The same model in every quantization smaller than it is, the largest first."""
    shape = Hyperparameters(
        name=facts.name,
        n_layer=facts.n_layer,
        n_embd=facts.n_embd,
        n_ff=facts.n_ff,
        n_head=facts.n_head,
        n_head_kv=facts.n_head_kv,
        head_dim=facts.head_dim,
        n_vocab=facts.n_vocab,
        n_ctx_train=facts.n_ctx_train,
    )
    every = (hypothetical_facts(shape, name) for name in reversed(QUANTIZATIONS))
    return tuple(other for other in every if other.weight_bytes < 0.97 * facts.weight_bytes)
