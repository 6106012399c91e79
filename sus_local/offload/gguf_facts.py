"""What the memory plan needs to know of a model, read from the header of its GGUF alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sus_local.backend.native_limits import MOST_LAYERS, check_architecture
from sus_local.errors import InvalidModelError
from sus_local.header import Header, TensorEntry, read_header, split_parts

_LAYER = re.compile(r"blk\.(\d+)\.")
_MOST = 2**32 - 1
"""llama.cpp keeps such numbers in 32 bits."""


@dataclass(frozen=True)
class ModelFacts:
    """A model's shape and the bytes of its parts.

    ``layer_bytes`` holds one size a layer; ``output_bytes`` the output matrix and its norm (the
    norm alone where the embedding is ``tied`` to it), ``largest_matrix_bytes`` the largest matrix
    of a layer. ``paths`` is empty for a model that does not exist yet, as
    :func:`sus_local.offload.shapes.hypothetical_facts` makes it.
    """

    name: str
    architecture: str
    file_type: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_ff: int
    n_vocab: int
    n_ctx_train: int
    layer_bytes: tuple[int, ...]
    embedding_bytes: int
    output_bytes: int
    largest_matrix_bytes: int
    tied: bool = False
    embedding_type: str = ""
    paths: tuple[Path, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """The bytes of all tensors."""
        return sum(self.layer_bytes) + self.embedding_bytes + self.output_bytes

    @property
    def n_embd_kv(self) -> int:
        """The width of one token's keys (and of its values) in one layer."""
        return self.n_head_kv * self.head_dim


def read_facts(path: Path | str) -> ModelFacts:
    """The facts of the GGUF at ``path``; of a split one, given any of its parts, the whole.

    Only headers are read, so a file of 20 GB takes some milliseconds.

    Raises:
        ModelNotFoundError: The file, or a part of a split one, is not there.
        InvalidModelError: It is not a GGUF, is truncated, or lacks what describes a LLaMA model.
        StorageError: It cannot be read.
    """
    paths = split_parts(Path(path))
    headers = [read_header(part) for part in paths]
    sizes: dict[str, int] = {}
    for part, header in zip(paths, headers, strict=True):
        sizes.update(_tensor_sizes(part, header))
    return _facts(paths, headers, sizes)


def _tensor_sizes(path: Path, header: Header) -> dict[str, int]:
    """Bytes by tensor; a file that is shorter than its table says is an error."""
    sizes = {tensor.name: _num_bytes(path, tensor) for tensor in header.tensors}
    ends = (tensor.offset + sizes[tensor.name] for tensor in header.tensors)
    expected, actual = header.tensors_offset + max(ends, default=0), path.stat().st_size
    if actual < expected:
        raise InvalidModelError(
            f"{path.name} is truncated: {actual} bytes of {expected}",
            hint="download or convert it again",
            path=str(path),
            num_bytes=actual,
            expected_bytes=expected,
        )
    return sizes


def _num_bytes(path: Path, tensor: TensorEntry) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.ggml_type)]
    except (KeyError, ValueError) as error:
        message = f"{path.name}: tensor {tensor.name} is of unknown type {tensor.ggml_type}"
        raise InvalidModelError(message, path=str(path), type=tensor.ggml_type) from error
    return math.prod(tensor.shape) // block * block_bytes


def _facts(
    paths: tuple[Path, ...], headers: Sequence[Header], sizes: Mapping[str, int]
) -> ModelFacts:
    header = headers[0]
    check_architecture(header.architecture, paths[0])
    shape = _Shape(header, paths[0])
    n_layer = shape.count("block_count", most=MOST_LAYERS)
    n_embd, n_head = shape.count("embedding_length"), shape.count("attention.head_count")
    return ModelFacts(
        name=str(header.metadata.get("general.name", paths[0].stem)),
        architecture=header.architecture,
        file_type=header.file_type,
        n_layer=n_layer,
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=shape.count("attention.head_count_kv", n_head),
        head_dim=shape.count("attention.key_length", n_embd // n_head),
        n_ff=shape.count("feed_forward_length"),
        n_vocab=_embedding(headers, paths[0]).shape[-1],
        n_ctx_train=shape.count("context_length"),
        layer_bytes=_layer_bytes(sizes, n_layer),
        embedding_bytes=sizes.get("token_embd.weight", 0),
        output_bytes=sum(size for name, size in sizes.items() if name.startswith("output")),
        largest_matrix_bytes=max((sizes[name] for name in sizes if _LAYER.match(name)), default=0),
        tied="output.weight" not in sizes,
        embedding_type=_type_name(_embedding(headers, paths[0])),
        paths=paths,
    )


def _layer_bytes(sizes: Mapping[str, int], n_layer: int) -> tuple[int, ...]:
    layers = [0] * n_layer
    for name, size in sizes.items():
        match = _LAYER.match(name)
        if match and int(match[1]) < n_layer:
            layers[int(match[1])] += size
    return tuple(layers)


def _embedding(headers: Sequence[Header], path: Path) -> TensorEntry:
    tables = (tensor for header in headers for tensor in header.tensors)
    found = next((tensor for tensor in tables if tensor.name == "token_embd.weight"), None)
    if found is None or len(found.shape) < 2:
        raise InvalidModelError(f"{path.name} has no token_embd.weight", path=str(path))
    return found


def _type_name(tensor: TensorEntry) -> str:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType(tensor.ggml_type).name


class _Shape:
    """The architecture's numbers in the metadata, by their names without its prefix."""

    def __init__(self, header: Header, path: Path) -> None:
        self._header = header
        self._path = path

    def count(self, key: str, default: int | None = None, *, most: int = _MOST) -> int:
        name = f"{self._header.architecture}.{key}"
        value = self._header.metadata.get(name, default)
        if isinstance(value, int) and value > most:
            raise InvalidModelError(
                f"{self._path.name}: {name} is {value}, more than {most}",
                hint="download or convert the model again",
                path=str(self._path),
                key=name,
            )
        if isinstance(value, int) and value > 0:
            return value
        raise InvalidModelError(
            f"{self._path.name}: {name} is {value!r}, not a positive number",
            hint="download or convert the model again",
            path=str(self._path),
            key=name,
        )
