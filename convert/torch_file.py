"""``pytorch_model*.bin``, through the optional extra ``torch``.

Only weights are unpickled (``weights_only``), and the file is mapped into memory, not read.
"""

from __future__ import annotations

import errno
import hashlib
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus_local.errors import ConvertError, ShardError, TensorError

from .source import Shard, ShardReader, TensorInfo

if TYPE_CHECKING:
    import torch

_HINT = "give a Hugging Face checkpoint: config.json and *.safetensors"
_OLD_FORMAT = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How a file begins that torch before 1.6 wrote: its magic number, pickled."""

_READ_BYTES = 1 << 18
_DTYPES = {"torch.bfloat16": "BF16", "torch.float16": "F16", "torch.float32": "F32"}


def read_header(path: Path) -> list[TensorInfo]:
    """The tensors of a file, with places as if they lay one after another.

    Raises:
        ConvertError: torch is not installed.
        ShardError: The file is damaged, or holds more than tensors.
        TensorError: A tensor is sparse.
    """
    infos, place = [], 0
    for name, tensor in _load(path).items():
        info = _info(name, tensor, path.name, place)
        infos.append(info)
        place = info.end
    return infos


def open_shard(path: Path, shard: Shard) -> AbstractContextManager[ShardReader]:
    """A reader of one file. Errors: as :func:`read_header`."""
    return _opened(TorchShard(path, shard))


@contextmanager
def _opened(reader: TorchShard) -> Iterator[ShardReader]:
    try:
        yield reader
    finally:
        reader.close()


class TorchShard:
    """A :class:`~sus_local.convert.source.ShardReader` over torch's own memory map.

    The file, whose tensors lie in a zip archive, is hashed by a thread beside the reading.
    """

    def __init__(self, path: Path, shard: Shard) -> None:
        self.path = path
        self._tensors: dict[str, torch.Tensor] = _load(path)
        size = path.stat().st_size
        if size != shard.size:
            raise ShardError(
                f"{shard.name} changed while it was in use: {size} bytes, before {shard.size}",
                hint="run the same command again",
                shard=shard.name,
            )
        self._closed = False
        hashing = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._digest = hashing.submit(file_sha256, path, stopped=lambda: self._closed)
        hashing.shutdown(wait=False)

    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the whole file."""
        return self._digest.result()

    def read(self, tensor: TensorInfo, start: int = 0, end: int | None = None) -> memoryview:
        """Bytes ``start`` to ``end`` of a tensor; copied only if it is not contiguous."""
        import torch

        flat = self._tensors[tensor.name].contiguous().reshape(-1)
        view = memoryview(flat.view(torch.uint8).numpy())
        return view[start : tensor.num_bytes if end is None else end]

    def drop(self, tensor: TensorInfo, start: int = 0, end: int | None = None) -> None:
        """Nothing to do: the system drops the pages of torch's own map under pressure."""

    def close(self) -> None:
        """Let the map go."""
        self._closed = True
        self._tensors.clear()


def file_sha256(path: Path, *, stopped: Callable[[], bool]) -> str:
    """The hexadecimal SHA-256 of a file, read in small pieces.

    Args:
        stopped: Asked before each piece; Ctrl-C must not wait for the rest of a large shard.

    Raises:
        ValueError: It was stopped.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            if stopped():
                raise ValueError(f"{path.name} was closed while it was read")
            digest.update(piece)
    return digest.hexdigest()


def _load(path: Path) -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        raise ConvertError(
            f"{path.name} needs torch, which is not installed",
            hint='pip install "sus-local[torch]", or use a checkpoint in safetensors',
            extra="torch",
        ) from None
    try:
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        # A seek to before the beginning of a truncated file is an OSError too.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise _unreadable(path, error) from error
    return _only_tensors(content, path.name)


def _unreadable(path: Path, error: Exception) -> ShardError:
    name = path.name
    with path.open("rb") as file:
        if file.read(len(_OLD_FORMAT)) == _OLD_FORMAT:
            return ShardError(
                f"{name} is in torch's old format, which cannot be mapped into memory",
                hint=f"write it anew: torch.save(torch.load({name!r}), {name!r})",
                shard=name,
            )
    why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return ShardError(f"{name} is damaged: {why}", hint="download the file again", shard=name)


def _only_tensors(content: Any, shard: str) -> dict[str, Any]:
    import torch

    if not isinstance(content, dict):
        raise ShardError(f"{shard} does not hold tensors by name", hint=_HINT, shard=shard)
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            told = str(name)[:80]
            raise ShardError(f"{shard} holds more than tensors: {told!r}", hint=_HINT, shard=shard)
    return dict(content)


def _info(name: str, tensor: torch.Tensor, shard: str, place: int) -> TensorInfo:
    if str(tensor.layout) != "torch.strided":
        raise TensorError(
            f"tensor {name!r} in {shard} is stored as {tensor.layout}, not densely",
            hint=_HINT,
            tensor=name,
            shard=shard,
        )
    dtype = _DTYPES.get(str(tensor.dtype), str(tensor.dtype))
    end = place + tensor.numel() * tensor.element_size()
    return TensorInfo(name, dtype, tuple(tensor.shape), shard, place, end)
