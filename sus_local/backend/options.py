"""llama.cpp's knobs for a model, and what they are where nobody turns them.

>>> LoadOptions().kv_type, default_threads(4 << 20)
('f16', 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from sus_local.cores import num_fast_cores
from sus_local.errors import RequestError

KvType = Literal["f16", "q8_0", "q4_0"]

KV_TYPES: Mapping[str, tuple[int, float]] = {
    "f16": (1, 2.0),
    "q8_0": (8, 34 / 32),
    "q4_0": (2, 18 / 32),
}
"""ggml's number of a KV type, and bytes a value; the most exact type first."""

DEFAULT_N_CTX = 8192
"""Cells of the KV cache where none are asked for, the model was trained for as many, and they
fit."""

_MIN_OUTPUTS = 32
_BYTES_WORTH_A_THREAD = 32 << 20
_BYTES_WORTH_A_GUESS = 256 << 20


_MOST_THREADS = 512
_MOST_SEQUENCES = 255
_MOST_TOKENS = 2**31 - 1
_MOST_ROPE = 1e30
MOST_BYTES = 2**63 - 1

_RANGES: Mapping[str, tuple[int, int]] = {
    "n_ctx": (1, _MOST_TOKENS),
    "n_threads": (1, _MOST_THREADS),
    "n_threads_batch": (1, _MOST_THREADS),
    "n_batch": (1, _MOST_TOKENS),
    "n_ubatch": (1, _MOST_TOKENS),
    "n_gpu_layers": (-1, _MOST_TOKENS),
    "max_sequences": (1, _MOST_SEQUENCES),
    "draft_max": (0, _MIN_OUTPUTS - 1),
}
"""What llama.cpp takes; more than it takes ends the process, or is cut to something else."""

_SWITCHES = ("offload_kqv", "flash_attn", "use_mmap", "use_mlock")
_MAY_BE_OPEN = {"n_ctx", "n_threads", "n_threads_batch", "n_ubatch", "flash_attn", "draft_max"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """llama.cpp's knobs, under its own names.

    What is out of range, or of a wrong kind, raises a :class:`sus_local.errors.RequestError`.

    Attributes:
        n_ctx: Cells of the KV cache; None takes the model's context, at most 8192.
        n_batch: The most tokens in one decode.
        n_ubatch: The most that the compute graph takes at once, and a decode of one prompt; None:
            see :func:`default_n_ubatch`.
        n_threads: None: see :func:`default_threads`.
        n_threads_batch: For prefill; None: as ``n_threads``.
        n_gpu_layers: Layers on GPUs.
        kv_type: Of both K and V.
        offload_kqv: Keep the KV cache on the GPU.
        flash_attn: Attention without its matrix of scores; None lets llama.cpp choose.
        use_mmap: Map the file instead of reading it.
        use_mlock: Keep it from being swapped out.
        max_sequences: Sequences in the context at once.
        draft_max: The most tokens of an answer that are guessed from the text before and computed
            in one decode; 0 guesses nothing; None: see :func:`default_draft_max`.
        rope_freq_base: 0 takes the model's.
        rope_freq_scale: 0 takes the model's.
        tensor_split: Shares of the GPUs.
    """

    n_ctx: int | None = None
    n_batch: int = 512
    n_ubatch: int | None = None
    n_threads: int | None = None
    n_threads_batch: int | None = None
    n_gpu_layers: int = 0
    kv_type: KvType = "f16"
    offload_kqv: bool = True
    flash_attn: bool | None = None
    use_mmap: bool = True
    use_mlock: bool = False
    max_sequences: int = 4
    draft_max: int | None = None
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    tensor_split: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not self._is_open(name):
                self._check_number(name, low, high)
        for name in _SWITCHES:
            value = getattr(self, name)
            if not self._is_open(name) and not isinstance(value, bool):
                raise RequestError(
                    f"{name} is {value!r}, it has to be True or False", name=name, value=value
                )
        for name in ("rope_freq_base", "rope_freq_scale"):
            self._check_number(name, 0, _MOST_ROPE, whole=False)
        for share in self.tensor_split:
            check_number("tensor_split", share, 0, _MOST_ROPE, whole=False)

    def _check_number(self, name: str, low: float, high: float, *, whole: bool = True) -> None:
        value = getattr(self, name)
        check_number(name, value, low, high, whole=whole)
        object.__setattr__(self, name, int(value) if whole else float(value))  # not of numpy

    def _is_open(self, name: str) -> bool:
        return name in _MAY_BE_OPEN and getattr(self, name) is None


def check_number(name: str, value: Any, low: float, high: float, *, whole: bool = True) -> None:
    """Refuse what is no number, or none from ``low`` to ``high``.

    Raises:
        RequestError: With the value.
    """
    numbers: Any = Integral if whole else Real
    if not isinstance(value, numbers):
        kind = "a whole number" if whole else "a number"
        raise RequestError(f"{name} is {value!r}, it has to be {kind}", name=name, value=value)
    if not low <= value <= high:
        raise RequestError(
            f"{name} is {value}, it has to be from {low} to {high}", name=name, value=value
        )


def check_gpu_layers(n_gpu_layers: object) -> None:
    """Refuse what is neither ``"auto"`` nor a number of layers, -1 for all of them.

    Raises:
        RequestError: With the value.
    """
    if n_gpu_layers != "auto" and not (isinstance(n_gpu_layers, int) and n_gpu_layers >= -1):
        raise RequestError(
            f"n_gpu_layers is {n_gpu_layers!r}",
            hint="give auto, -1 for all, or a number",
            n_gpu_layers=n_gpu_layers,
        )


def default_n_ubatch(*, flash: bool) -> int:
    """As many tokens as are faster together; the matrix of scores grows with them.

    On the CPU 128 are as fast as 512. GPUs, which always have flash attention, like more.
    """
    return 512 if flash else 128


def default_threads(num_weight_bytes: int) -> int:
    """Threads for a model: the fast cores, fewer for one so small that they would mostly wait.

    Threads meet after each of some hundred operations a token; with a few kilobytes of weights
    between two meetings they cost more than they bring, and on a busy machine very much more.
    """
    return max(1, min(num_fast_cores(), num_weight_bytes // _BYTES_WORTH_A_THREAD))


def default_draft_max(num_weight_bytes: int, *, slow_batches: bool) -> int:
    """15, a batch of 16 with the token before them, where reading weights is what a token costs.

    Not with flash attention on the CPU, which takes batches of 2 to 63 tokens row by row.
    """
    return 15 if num_weight_bytes >= _BYTES_WORTH_A_GUESS and not slow_batches else 0


def num_outputs(max_sequences: int) -> int:
    """The most tokens of a batch that may have logits."""
    return max(_MIN_OUTPUTS, max_sequences + 1)
