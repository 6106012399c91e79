"""The tensors of a LLaMA checkpoint: which there must be, their GGUF names and row orders.

A shape is (rows, columns) as in the checkpoint; GGUF's ``ne`` is the reverse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sus_local.convert.config import LlamaConfig, rope_factors
from sus_local.convert.source import TensorInfo
from sus_local.errors import TensorError

DTYPES = ("BF16", "F16", "F32")
"""The source types that are read."""

_IGNORED = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of the output and where it comes from.

    Attributes:
        name: The name in GGUF.
        source: The name in the checkpoint; empty for one that is computed.
        shape: ``(rows, columns)`` or ``(length,)``.
        heads: How many heads' rows are interleaved anew for llama.cpp's rotary order; 0 for none.
        values: The values of a computed tensor.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    heads: int = 0
    values: tuple[float, ...] = ()

    @property
    def rows(self) -> int:
        """Rows; 1 for a vector."""
        return self.shape[0] if len(self.shape) == 2 else 1

    @property
    def columns(self) -> int:
        """Elements of a row."""
        return self.shape[-1]

    @property
    def size(self) -> int:
        """Elements."""
        return self.rows * self.columns


def match_tensors(config: LlamaConfig, tensors: Mapping[str, TensorInfo]) -> list[TensorSpec]:
    """The output's tensors in order, each checked against what the checkpoint holds.

    Raises:
        TensorError: One is missing, extra, or of another shape or type.
    """
    specs = list(expected_tensors(config))
    for spec in specs:
        if spec.source:
            _check(spec, tensors.get(spec.source))
    known = {spec.source for spec in specs}
    ignored = _IGNORED + (("lm_head.weight",) if config.tie_word_embeddings else ())
    for name in tensors:
        if name not in known and not name.endswith(ignored):
            raise TensorError(
                f"the checkpoint has a tensor {name} that a {config.architecture} of this "
                "configuration has not",
                hint="is config.json the one that belongs to these weights?",
                tensor=name,
            )
    return specs


def expected_tensors(config: LlamaConfig) -> Iterator[TensorSpec]:
    """Every tensor that a model of this configuration has, in the order of the output."""
    vocab, hidden = config.vocab_size, config.hidden_size
    yield TensorSpec("token_embd.weight", "model.embed_tokens.weight", (vocab, hidden))
    factors = rope_factors(config)
    if factors is not None:
        yield TensorSpec("rope_freqs.weight", "", (len(factors),), values=tuple(factors))
    for layer in range(config.num_layers):
        yield from _layer(config, layer)
    yield TensorSpec("output_norm.weight", "model.norm.weight", (hidden,))
    if not config.tie_word_embeddings:
        yield TensorSpec("output.weight", "lm_head.weight", (vocab, hidden))


def _layer(config: LlamaConfig, layer: int) -> Iterator[TensorSpec]:
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    linear = (
        ("attn_q", "self_attn.q_proj", (queries, hidden), config.num_heads, config.attention_bias),
        ("attn_k", "self_attn.k_proj", (keys, hidden), config.num_kv_heads, config.attention_bias),
        ("attn_v", "self_attn.v_proj", (keys, hidden), 0, config.attention_bias),
        ("attn_output", "self_attn.o_proj", (hidden, queries), 0, config.attention_bias),
        ("ffn_gate", "mlp.gate_proj", (inner, hidden), 0, config.mlp_bias),
        ("ffn_up", "mlp.up_proj", (inner, hidden), 0, config.mlp_bias),
        ("ffn_down", "mlp.down_proj", (hidden, inner), 0, config.mlp_bias),
    )
    to, of = f"blk.{layer}", f"model.layers.{layer}"
    yield TensorSpec(f"{to}.attn_norm.weight", f"{of}.input_layernorm.weight", (hidden,))
    yield TensorSpec(f"{to}.ffn_norm.weight", f"{of}.post_attention_layernorm.weight", (hidden,))
    for name, source, shape, heads, bias in linear:
        yield TensorSpec(f"{to}.{name}.weight", f"{of}.{source}.weight", shape, heads)
        if bias:
            yield TensorSpec(f"{to}.{name}.bias", f"{of}.{source}.bias", shape[:1], heads)


def _check(spec: TensorSpec, found: TensorInfo | None) -> None:
    if found is None:
        raise TensorError(
            f"the checkpoint has no tensor {spec.source}",
            hint="is the download complete?",
            tensor=spec.source,
        )
    if tuple(found.shape) != spec.shape:
        raise TensorError(
            f"{spec.source} has the shape {list(found.shape)}, expected {list(spec.shape)}",
            hint="is config.json the one that belongs to these weights?",
            tensor=spec.source,
            shape=tuple(found.shape),
            expected=spec.shape,
        )
    if found.dtype not in DTYPES:
        raise TensorError(
            f"{spec.source} has the type {found.dtype}, expected one of {', '.join(DTYPES)}",
            hint="convert the original bf16, f16 or f32 checkpoint",
            tensor=spec.source,
            dtype=found.dtype,
        )
