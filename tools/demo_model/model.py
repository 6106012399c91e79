"""The demo model: a small Llama whose parameters are named as transformers names them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """SUS-Chat-34B's architecture with smaller numbers; rows stay multiples of 256."""

    vocabulary: int = 2560
    hidden: int = 256
    ffn: int = 768
    layers: int = 7
    heads: int = 4
    kv_heads: int = 2
    rope_theta: float = 5_000_000.0
    rms_eps: float = 1e-5
    context: int = 8192

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


def rotary(shape: Shape, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, head_dim) of the positions 0 to ``length - 1``."""
    exponents = torch.arange(0, shape.head_dim, 2, device=device) / shape.head_dim
    angles = torch.arange(length, device=device)[:, None].float() * shape.rope_theta**-exponents
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        kv_size = shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.k_proj = nn.Linear(shape.hidden, kv_size, bias=False)
        self.v_proj = nn.Linear(shape.hidden, kv_size, bias=False)
        self.o_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q = _rotate(self._split(self.q_proj(x), self.heads), cos, sin).to(x.dtype)
        k = _rotate(self._split(self.k_proj(x), self.kv_heads), cos, sin).to(x.dtype)
        v = self._split(self.v_proj(x), self.kv_heads).to(x.dtype)
        groups = self.heads // self.kv_heads
        out = functional.scaled_dot_product_attention(
            q,
            k.repeat_interleave(groups, dim=1),
            v.repeat_interleave(groups, dim=1),
            is_causal=True,
        )
        return cast("Tensor", self.o_proj(out.transpose(1, 2).flatten(2)))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:-1], heads, self.head_dim).transpose(1, 2)


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.down_proj = nn.Linear(shape.ffn, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x)))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = MLP(shape)
        self.input_layernorm = RMSNorm(shape.hidden, shape.rms_eps)
        self.post_attention_layernorm = RMSNorm(shape.hidden, shape.rms_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return cast("Tensor", x + self.mlp(self.post_attention_layernorm(x)))


class Body(nn.Module):
    """Everything but the output matrix; its name in a checkpoint is ``model``."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, shape.rms_eps)


class DemoModel(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        self.lm_head = nn.Linear(shape.hidden, shape.vocabulary, bias=False)
        self._initialize()

    def _initialize(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                outputs = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = 0.02 / math.sqrt(2 * self.shape.layers) if outputs else 0.02
                nn.init.normal_(parameter, std=std)
        self._let_attention_copy()

    @torch.no_grad()
    def _let_attention_copy(self) -> None:
        """Begin with heads that pass on what they look at, and with an output that can name it.

        Exact copying of any token is what a small model learns last. So values are taken through
        orthonormal rows and put back through the same ones, and the output matrix begins as the
        embedding: whatever a head attends to becomes a little more likely from the first step.
        """
        embedding = self.model.embed_tokens.weight
        nn.init.normal_(embedding, std=0.1)
        self.lm_head.weight.copy_(embedding * 0.2)
        groups = self.shape.heads // self.shape.kv_heads
        for layer in self.model.layers:
            attention = cast("Layer", layer).self_attn
            values = attention.v_proj.weight
            nn.init.orthogonal_(values)
            per_head = values.view(self.shape.kv_heads, self.shape.head_dim, -1)
            back = per_head.repeat_interleave(groups, dim=0).flatten(0, 1)
            attention.o_proj.weight.copy_(0.15 * back.T)

    def forward(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (positions, vocabulary) of whole rows of tokens (rows, length) from position 0 on.

        The positions of all rows, one row after the other, or those that ``rows`` numbers.
        """
        cos, sin = rotary(self.shape, tokens.shape[1], tokens.device)
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        x = self.model.norm(x).flatten(0, 1)
        return cast("Tensor", self.lm_head(x if rows is None else x[rows]))


def deeper(model: DemoModel, layers: int) -> DemoModel:
    """A model of more layers that computes what ``model`` does: the new ones add nothing at first.

    One stands before each of the last layers of ``model``, so that these can use what it learns.
    """
    old, shape = model.shape.layers, replace(model.shape, layers=layers)
    grown = DemoModel(shape)
    state = grown.state_dict()
    for name in state:
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            state[name] = torch.zeros_like(state[name])
    for name, tensor in model.state_dict().items():
        state[_moved(name, before=old, new=layers - old)] = tensor
    grown.load_state_dict(state)
    return grown


def _moved(name: str, *, before: int, new: int) -> str:
    """A parameter's name once ``new`` layers stand among the last of those that were there."""
    parts = name.split(".")
    if parts[1] == "layers":
        number = int(parts[2])
        parts[2] = str(number + max(0, number - (before - new) + 1))
    return ".".join(parts)
