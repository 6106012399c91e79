"""The demo model made as heavy as a real one, with the same answers: for the speed of sense.

Zeros make every matrix wider and add layers: they change no answer, and no kernel skips them. The
first rows and columns are the demo model's own; its norms are scaled to the greater width.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter, ReaderTensor
from random_model import SHAPES, Shape, describe

from sus_local.convert import convert
from sus_local.demo.model import checkpoint

_KEPT = "general.", "tokenizer."
_NEW = {"general.architecture", "general.file_type"}  # which the writer adds
_Array = np.ndarray[Any, Any]


def write_padded_model(path: Path) -> Path:
    """Write it as Q4_K_M: the answers of seven million parameters at the price of a billion."""
    small = path.with_suffix(".small.gguf")
    convert(str(checkpoint()), types=["Q4_K_M"], output=small)
    reader = GGUFReader(small)
    partial = path.with_suffix(".partial")
    writer = GGUFWriter(partial, "llama")
    shape = _widened(reader)
    _describe_padded(writer, reader, shape)
    for name, tensor, extents in _tensors(reader, shape):
        padded = _padded(tensor, extents, shape)
        writer.add_tensor(name, padded, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(path)
    small.unlink()
    return path


def _number(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(f"llama.{key}")
    if field is None:
        raise SystemExit(f"the demo model has no llama.{key}")
    return field.contents()


def _widened(reader: GGUFReader) -> Shape:
    """The random model's shape, its heads as wide and as grouped as the demo model's."""
    wide = SHAPES["1.2b"]
    heads = _number(reader, "attention.head_count")
    n_head = wide.n_embd * heads // _number(reader, "embedding_length")
    grouped = heads // _number(reader, "attention.head_count_kv")
    vocabulary = next(tensor for tensor in reader.tensors if tensor.name == "output.weight")
    return Shape(
        wide.n_layer, wide.n_embd, wide.n_ff, n_head, n_head // grouped, int(vocabulary.shape[1])
    )


def _describe_padded(writer: GGUFWriter, reader: GGUFReader, shape: Shape) -> None:
    for name, field in reader.fields.items():
        if name.startswith(_KEPT) and name not in _NEW:
            kinds = field.types
            sub_type = kinds[-1] if kinds[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kinds[0], sub_type=sub_type)
    # The mean square over more numbers, of which the new ones are zero, is less by this share.
    share = _number(reader, "embedding_length") / shape.n_embd
    describe(writer, shape, rms_eps=_number(reader, "attention.layer_norm_rms_epsilon") * share)


def _tensors(
    reader: GGUFReader, shape: Shape
) -> Iterator[tuple[str, ReaderTensor, tuple[int, ...]]]:
    """Name, the demo model's tensor and its new extents; new layers have none of its numbers."""
    known = {tensor.name: tensor for tensor in reader.tensors}
    num_layers = _number(reader, "block_count")
    kv = shape.n_embd // shape.n_head * shape.n_head_kv
    rows = {
        "attn_k": kv, "attn_v": kv, "ffn_gate": shape.n_ff, "ffn_up": shape.n_ff,
        "token_embd": shape.n_vocab, "output": shape.n_vocab,
    }  # fmt: skip
    for name in sorted(known):
        part, tensor = name.split(".")[-2], known[name]
        width = shape.n_ff if part == "ffn_down" else shape.n_embd
        extents = (width,) if "norm" in part else (rows.get(part, shape.n_embd), width)
        if not name.startswith("blk."):
            yield name, tensor, extents
            continue
        layer = int(name.split(".")[1])
        for copy in range(layer, shape.n_layer, num_layers):
            yield f"blk.{copy}.{part}.weight", tensor if copy == layer else _empty(tensor), extents


def _empty(tensor: ReaderTensor) -> ReaderTensor:
    return tensor._replace(data=np.zeros_like(tensor.data))


def _padded(tensor: ReaderTensor, extents: tuple[int, ...], shape: Shape) -> _Array:
    """The bytes of a tensor with zeros around them; a block of zero bytes holds zero weights."""
    old = tensor.data
    if old.ndim == 1:
        made = np.zeros(extents, dtype=old.dtype)
        made[: len(old)] = old * np.sqrt(len(old) / shape.n_embd)
        return made
    width = old.shape[1] * extents[1] // int(tensor.shape[0])
    made = np.zeros((extents[0], width), dtype=old.dtype)
    made[: old.shape[0], : old.shape[1]] = old
    return made
