"""Muon, with the matrices of one shape orthogonalized together.

Keller Jordan's optimizer (https://kellerjordan.github.io/posts/muon/): momentum whose singular
values are all brought close to one. Small matrices one by one keep a processor waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalize(stack: Tensor) -> Tensor:
    """Each matrix of ``stack`` (count, rows, columns) with singular values close to one."""
    a, b, c = _QUINTIC
    x = stack.bfloat16()
    upright = x.size(-2) > x.size(-1)
    if upright:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if upright else x).float()


class Muon:
    """Moves matrices; ``step`` takes the learning rate."""

    def __init__(self, matrices: Iterable[nn.Parameter], *, momentum: float) -> None:
        self.momentum = momentum
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in matrices:
            shapes.setdefault(matrix.shape, []).append(matrix)
        self._groups = list(shapes.values())
        self._momenta = [torch.zeros_like(torch.stack(group)) for group in self._groups]
        self._orthogonalize = torch.compile(orthogonalize)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every matrix against its gradient, and forget the gradients."""
        for group, momentum in zip(self._groups, self._momenta, strict=True):
            gradients = torch.stack([_gradient(matrix) for matrix in group])
            momentum.lerp_(gradients, 1 - self.momentum)
            update = self._orthogonalize(gradients.lerp(momentum, self.momentum))
            rows, columns = group[0].shape
            scale = rate * max(1.0, rows / columns) ** 0.5
            torch._foreach_sub_(group, update.unbind(), alpha=scale)
            for matrix in group:
                matrix.grad = None

    def state_dict(self) -> dict[str, Sequence[Tensor]]:
        """What :meth:`load_state_dict` takes."""
        return {"momenta": self._momenta}

    def load_state_dict(self, state: dict[str, Sequence[Tensor]]) -> None:
        """Go on as another one was."""
        for mine, saved in zip(self._momenta, state["momenta"], strict=True):
            mine.copy_(saved)


def _gradient(matrix: nn.Parameter) -> Tensor:
    if matrix.grad is None:
        raise ValueError(f"a matrix of shape {tuple(matrix.shape)} has no gradient")
    return matrix.grad
