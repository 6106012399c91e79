"""What in a GGUF makes llama.cpp end the process; refused before it is loaded.

llama.cpp answers most of what is wrong in a file with an error, some of it with an assertion or a
C++ exception that nobody can catch: the Python program is gone then, whatever else it does. These
are the ones that a damaged or hostile header reaches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from sus_local.errors import InvalidModelError
from sus_local.header import TENSOR_TYPES, Header, TensorEntry, Value, read_header, split_parts

ARCHITECTURE = "llama"
"""What ``general.architecture`` has to name."""

MOST_LAYERS = 512
_MOST_EXPERTS = 1024
_TOKENIZERS = ("llama", "gpt2")
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
_NO_WEIGHTS = ("Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64")
"""Element types of activations and indices, for which there is no matrix product."""


def check_header(path: Path) -> Header:
    """The header of a model file; one that llama.cpp would not survive is refused, or split ones.

    Raises:
        InvalidModelError: With what is wrong.
        ModelNotFoundError: A part is not there.
        StorageError: It cannot be read.
    """
    first, *others = split_parts(path)
    header = read_header(first, texts="tokenizer.ggml.tokens")
    check_architecture(header.architecture, first)
    tables = [header.tensors, *(read_header(part).tensors for part in others)]
    for why in _wrong(header, [tensor for table in tables for tensor in table]):
        raise InvalidModelError(
            f"{path} cannot be used: {why}", hint="download or convert it again", path=str(path)
        )
    return header


def check_architecture(architecture: str, path: Path) -> None:
    """Refuse another architecture by its name.

    Raises:
        InvalidModelError: It is not a LLaMA.
    """
    if architecture != ARCHITECTURE:
        raise InvalidModelError(
            f"{path} has the architecture {architecture!r}, this program runs 'llama'",
            hint="SUS-Chat-34B: sus-local convert SUSTech/SUS-Chat-34B -q Q4_K_M",
            architecture=architecture,
        )


def _wrong(header: Header, tensors: Sequence[TensorEntry]) -> Iterable[str]:
    yield from _wrong_numbers(header)
    yield from _wrong_experts(header)
    yield from _wrong_vocabulary(header)
    for tensor in tensors:
        name = TENSOR_TYPES.get(tensor.ggml_type, "")
        if name in _NO_WEIGHTS:
            yield f"tensor {tensor.name} is of type {name}, which holds no weights"


def _wrong_numbers(header: Header) -> Iterable[str]:
    layers = _number(header, "block_count")
    if layers > MOST_LAYERS:
        yield f"it has {layers} layers, llama.cpp takes {MOST_LAYERS}"
    if _number(header, "nextn_predict_layers") > layers:
        yield "it predicts more layers than it has"
    epsilon = _value(header, "attention.layer_norm_rms_epsilon", 0.0)
    if isinstance(epsilon, float) and not (math.isfinite(epsilon) and epsilon >= 0):
        yield f"its norms have the epsilon {epsilon}"
    scaling = _value(header, "rope.scaling.type", "linear")
    if scaling not in _ROPE_SCALINGS:
        yield f"its positions are scaled by {scaling!r}, which llama.cpp does not know"


def _wrong_experts(header: Header) -> Iterable[str]:
    """The rules of a mixture of experts; a dense model has none."""
    experts, used = _number(header, "expert_count"), _number(header, "expert_used_count")
    groups = _number(header, "expert_group_count")
    chosen = _number(header, "expert_group_used_count")
    arrays = f"{ARCHITECTURE}.expert_used_count" in header.arrays
    if arrays or experts > _MOST_EXPERTS or used > experts or (experts and not used):
        yield f"it uses {used} of {experts} experts"
    if groups and (groups >= experts or (groups > 1 and experts % groups)):
        yield f"its {experts} experts are in {groups} groups"
    if groups > 1 and not 0 < chosen < groups:
        yield f"it uses {chosen} of {groups} groups of experts"


def _wrong_vocabulary(header: Header) -> Iterable[str]:
    kind = header.metadata.get("tokenizer.ggml.model", "")
    if kind not in _TOKENIZERS:
        yield f"its tokenizer is {kind!r}, this program knows {' and '.join(_TOKENIZERS)}"
    # As llama.cpp reads them: a text ends at its first NUL, an empty one gets a name.
    words = [text.partition(b"\0")[0] or b"[EMPTY_%d]" % i for i, text in enumerate(header.texts)]
    known = set(words)
    if len(known) < len(words):
        yield f"it has {len(words) - len(known)} tokens twice, of {len(words)}"
    if kind == "llama":
        lacks = [b for b in range(256) if not known & {b"<0x%02X>" % b, bytes([b])}]
        if lacks:
            yield f"its vocabulary lacks {len(lacks)} of 256 bytes, <0x{lacks[0]:02X}> first"


def _value(header: Header, key: str, default: Value) -> Value:
    return header.metadata.get(f"{ARCHITECTURE}.{key}", default)


def _number(header: Header, key: str) -> int:
    value = _value(header, key, 0)
    return value if isinstance(value, int) else 0
