"""Which files of a checkpoint hold its weights, and whether they agree with the index.

>>> layout = choose_layout(["config.json", "model.safetensors"], label="here")
>>> layout.kind, layout.index, layout.shards
('safetensors', None, ('model.safetensors',))
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sus_local.errors import CheckpointError, ShardError, TensorError

from .source import TensorInfo

_STEMS: dict[Literal["safetensors", "torch"], tuple[str, str]] = {
    "safetensors": ("model", ".safetensors"),
    "torch": ("pytorch_model", ".bin"),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The files that hold the weights.

    Attributes:
        kind: The format of the shards.
        index: The index file; None for a single shard.
        shards: The shard's name if there is no index; otherwise the index tells.
    """

    kind: Literal["safetensors", "torch"]
    index: str | None
    shards: tuple[str, ...] = ()


def choose_layout(names: Collection[str], *, label: str) -> Layout:
    """Find the weights among a checkpoint's file names; safetensors come first.

    Raises:
        CheckpointError: There are none.
        ShardError: There are shards, but no index.
    """
    for kind, (stem, suffix) in _STEMS.items():
        index = f"{stem}{suffix}.index.json"
        if index in names:
            return Layout(kind, index)
        if stem + suffix in names:
            return Layout(kind, None, (stem + suffix,))
    for stem, suffix in _STEMS.values():
        shards = sorted(n for n in names if n.startswith(f"{stem}-") and n.endswith(suffix))
        if shards:
            raise ShardError(
                f"{label} has {len(shards)} shards such as {shards[0]}, but no "
                f"{stem}{suffix}.index.json",
                hint="fetch the index file too",
                num_shards=len(shards),
            )
    raise lacks("weights (model*.safetensors)", names, label=label)


def lacks(what: str, names: Collection[str], *, label: str) -> CheckpointError:
    """The error for a source that is no checkpoint; the hint knows GGUF files.

    >>> lacks("config.json", ["a.gguf"], label="org/name").hint
    'its GGUF files are ready to use: sus-local pull org/name'
    """
    models = sorted(name for name in names if name.endswith(".gguf"))
    hint = "give a Hugging Face checkpoint: config.json and *.safetensors"
    if models and Path(label).is_dir():
        hint = f"its GGUF files are ready to use: sus-local chat {Path(label) / models[0]}"
    elif models:
        hint = f"its GGUF files are ready to use: sus-local pull {label}"
    return CheckpointError(f"{label} has no {what}", hint=hint)


def parse_index(text: bytes, *, name: str) -> dict[str, str]:
    """The index's map from a tensor's name to its shard.

    Raises:
        ShardError: It is no index, or names a shard outside the checkpoint.
    """
    entries = parse_json(text, name=name).get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise ShardError(f"{name} has no weight_map", hint="fetch the file again", index=name)
    for shard in entries.values():
        if not isinstance(shard, str) or not is_plain_name(shard):
            raise ShardError(
                f"{name} names a shard {str(shard)[:80]!r}, which is no file name",
                hint="fetch the file again",
                index=name,
            )
    return entries


def shard_names(
    layout: Layout, index: Mapping[str, str] | None, *, present: Collection[str], label: str
) -> list[str]:
    """The shards in the order to be read.

    Raises:
        ShardError: Some are not among the files that are ``present``.
    """
    names = sorted(set(index.values())) if index else list(layout.shards)
    missing = [name for name in names if name not in present]
    if missing:
        raise ShardError(
            f"{len(missing)} of {len(names)} shards are missing from {label}; "
            f"the first is {missing[0]}",
            hint="fetch the missing files",
            shard=missing[0],
            num_missing=len(missing),
            num_shards=len(names),
        )
    return names


def is_plain_name(name: str) -> bool:
    """Whether a name stays inside its folder on every platform.

    >>> is_plain_name("model.safetensors"), is_plain_name("../model.safetensors")
    (True, False)
    """
    return bool(name) and name not in {".", ".."} and not any(c in name for c in "/\\:\0")


def parse_json(text: bytes, *, name: str) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: It does not.
    """
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        why = str(error).splitlines()[0]
        raise CheckpointError(f"{name} is not JSON: {why}", hint="fetch the file again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} is not a JSON object", hint="fetch the file again")
    return value


def merge(
    headers: Iterable[Iterable[TensorInfo]], index: Mapping[str, str] | None
) -> dict[str, TensorInfo]:
    """All tensors by name, as the shards' headers and the index agree.

    Raises:
        TensorError: A tensor is in two shards, only in the index, only in a shard, or elsewhere
            than the index says.
    """
    tensors: dict[str, TensorInfo] = {}
    for header in headers:
        for tensor in header:
            _check_place(tensor, tensors, index)
            tensors[tensor.name] = tensor
    missing = sorted((index or {}).keys() - tensors.keys())
    if missing:
        shard = (index or {})[missing[0]]
        raise TensorError(
            f"{len(missing)} tensors of the index are in no shard; the first is {missing[0]!r}, "
            f"expected in {shard}",
            hint="fetch the shards again",
            tensor=missing[0],
            shard=shard,
            num_missing=len(missing),
        )
    return tensors


def _check_place(
    tensor: TensorInfo, seen: Mapping[str, TensorInfo], index: Mapping[str, str] | None
) -> None:
    if tensor.name in seen:
        other = seen[tensor.name].shard
        raise TensorError(
            f"tensor {tensor.name!r} is in two shards: {other} and {tensor.shard}",
            hint="fetch the shards again",
            tensor=tensor.name,
            shard=tensor.shard,
        )
    if index is None or index.get(tensor.name) == tensor.shard:
        return
    told = index.get(tensor.name)
    where = f"the index says {told}" if told else "the index does not name it"
    raise TensorError(
        f"tensor {tensor.name!r} is in {tensor.shard}, but {where}",
        hint="fetch the index and the shards from the same revision",
        tensor=tensor.name,
        shard=tensor.shard,
    )
