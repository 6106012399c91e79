"""Everything that can go wrong, as one tree.

    SusLocalError
    ├── CheckpointError              a source checkpoint cannot be used
    │   ├── SourceNotFoundError      no such folder, file or repository
    │   ├── UnsupportedModelError    not a LLaMA-family model that this project runs
    │   ├── ShardError               a shard is missing, truncated or corrupt
    │   ├── TensorError              a tensor is missing, extra, of a wrong shape or type
    │   ├── NonFiniteError           a weight is NaN or infinite
    │   └── TokenizerError           the tokenizer is missing, broken or of another size
    ├── ConvertError                 the conversion itself failed
    │   ├── OutputHeldError          another process writes the same output
    │   ├── VerificationError        what was written is not what it should be
    │   └── ImatrixError             an importance matrix is needed, unreadable or does not fit
    ├── HubError                     the hub said no, or cannot be reached
    │   ├── RepositoryNotFoundError
    │   ├── GatedRepositoryError
    │   └── OfflineError
    ├── StorageError                 the file system said no
    │   ├── DiskFullError
    │   └── PermissionDeniedError
    ├── ModelError                   a model file cannot be used
    │   ├── ModelNotFoundError
    │   ├── InvalidModelError        not a GGUF, damaged, or of another architecture
    │   ├── ModelLoadError           llama.cpp could not load it
    │   └── MemoryPlanError          it does not fit this machine
    ├── RequestError                 what the caller asked for cannot be done
    │   ├── MessagesError            the roles or contents of a conversation are wrong
    │   ├── ContextOverflowError     more tokens than the context holds
    │   ├── SamplingError            a sampling parameter is out of range
    │   ├── GrammarError             a grammar or JSON schema cannot be followed
    │   └── PresetError              no such preset, or one that is wrong
    ├── EngineError                  the engine cannot serve
    │   ├── EngineClosedError
    │   ├── QueueFullError
    │   └── BackendError             llama.cpp failed in the middle of a run
    └── HistoryError                 the conversation database cannot be used

A message is one line: what, and the numbers. ``hint`` is the next step. The numbers are attributes
of the error as well, so that a program need not read the message.

>>> error = ContextOverflowError("the prompt has 9000 tokens, the context 8192",
...                              hint="shorten it", num_tokens=9000, n_ctx=8192)
>>> error.num_tokens - error.n_ctx
808
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any


class SusLocalError(Exception):
    """The root of every error that this package raises on purpose.

    Args:
        message: One line: what happened, with the numbers.
        hint: The next step, one line; may be empty.
        numbers: Facts of the error, set as attributes under their names.
    """

    def __init__(self, message: str, *, hint: str = "", **numbers: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.numbers = numbers

    def __getattr__(self, name: str) -> Any:
        numbers = self.__dict__.get("numbers", {})
        if name in numbers:
            return numbers[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.numbers)

    def __str__(self) -> str:
        return self.message


def _rebuild(
    kind: type[SusLocalError], message: str, hint: str, numbers: dict[str, Any]
) -> SusLocalError:
    return kind(message, hint=hint, **numbers)


class CheckpointError(SusLocalError):
    """A source checkpoint cannot be used."""


class SourceNotFoundError(CheckpointError):
    """No such folder, file or repository."""


class UnsupportedModelError(CheckpointError):
    """Not a LLaMA-family model that this project runs."""


class ShardError(CheckpointError):
    """A shard is missing, truncated or corrupt."""


class TensorError(CheckpointError):
    """A tensor is missing, extra, or of a wrong shape or type."""


class NonFiniteError(CheckpointError):
    """A weight is NaN or infinite."""


class TokenizerError(CheckpointError):
    """The tokenizer is missing, broken, or of another size than the model."""


class ConvertError(SusLocalError):
    """The conversion itself failed."""


class OutputHeldError(ConvertError):
    """Another process writes the same output."""


class VerificationError(ConvertError):
    """What was written is not what it should be."""


class ImatrixError(ConvertError):
    """An importance matrix is needed, unreadable, or does not fit the model."""


class HubError(SusLocalError):
    """The hub said no, or cannot be reached."""


class RepositoryNotFoundError(HubError):
    """The repository, revision or file is not on the hub."""


class GatedRepositoryError(HubError):
    """The repository asks for a licence to be accepted, or for a token."""


class OfflineError(HubError):
    """The hub cannot be reached, and what is needed is not on this machine."""


class StorageError(SusLocalError):
    """The file system said no."""


class DiskFullError(StorageError):
    """No space is left for what has to be written."""


class PermissionDeniedError(StorageError):
    """A file or folder may not be read or written."""


class ModelError(SusLocalError):
    """A model file cannot be used."""


class ModelNotFoundError(ModelError):
    """No model file of that path or name."""


class InvalidModelError(ModelError):
    """Not a GGUF, a damaged one, or one of another architecture."""


class ModelLoadError(ModelError):
    """llama.cpp could not load the model."""


class MemoryPlanError(ModelError):
    """The model does not fit this machine's memory."""


class RequestError(SusLocalError):
    """What the caller asked for cannot be done."""


class MessagesError(RequestError):
    """The roles or contents of a conversation are wrong."""


class ContextOverflowError(RequestError):
    """More tokens than the context holds."""


def prompt_too_long(
    num_tokens: int,
    n_ctx: int,
    *,
    at_least: bool = False,
    hint: str = "shorten it, or load the model with a larger n_ctx",
) -> ContextOverflowError:
    """What is told of a prompt of so many tokens, or of more than can be known.

    >>> prompt_too_long(9, 8).message
    'the prompt has 9 tokens, the context holds 8 with the answer'
    """
    has = f"at least {num_tokens}" if at_least else f"{num_tokens}"
    return ContextOverflowError(
        f"the prompt has {has} tokens, the context holds {n_ctx} with the answer",
        hint=hint,
        num_tokens=num_tokens,
        n_ctx=n_ctx,
    )


class SamplingError(RequestError):
    """A sampling parameter is out of range."""


class GrammarError(RequestError):
    """A grammar or JSON schema cannot be compiled, or leads to where no token may come."""


class PresetError(RequestError):
    """There is no such preset, or it is wrong."""


class EngineError(SusLocalError):
    """The engine cannot serve."""


class EngineClosedError(EngineError):
    """The engine was closed."""


class QueueFullError(EngineError):
    """More requests wait than the queue holds."""


class BackendError(EngineError):
    """llama.cpp failed in the middle of a run."""


class HistoryError(SusLocalError):
    """The conversation database cannot be used."""


def from_os_error(error: OSError, *, doing: str, path: Path | str | None = None) -> SusLocalError:
    """The :class:`StorageError` that tells an ``OSError`` in one line.

    Args:
        error: What the operating system raised.
        doing: What was being done, as in ``"writing the model"``.
        path: The file or folder concerned, where ``error`` does not name it.

    >>> full = OSError(28, "No space left on device")
    >>> from_os_error(full, doing="writing", path="a.gguf").message
    'no space left on the device while writing a.gguf'
    """
    where = str(error.filename or path or "")
    winerror = getattr(error, "winerror", None)
    full = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
    if error.errno in full or winerror == 112:
        hint = "free some space, then run the same command again"
        return DiskFullError(
            f"no space left on the device while {doing} {where}".rstrip(), hint=hint, path=where
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        hint = "choose another place, or change its permissions"
        if winerror is not None:  # there, a file that somebody uses may not be replaced or deleted
            hint = "close the program that uses it, choose another place, or change its permissions"
        return PermissionDeniedError(
            f"no permission while {doing} {where}".rstrip(), hint=hint, path=where
        )
    reason = (error.strerror or str(error)).lower()
    hint = _next_step(error.errno)
    return StorageError(f"{reason} while {doing} {where}".rstrip(), hint=hint, path=where)


def _next_step(number: int | None) -> str:
    if number == errno.EFBIG:
        return "choose another disk: this one takes no larger file"
    if number in (errno.EMFILE, errno.ENFILE):
        return "close other programs, or raise the limit of open files (ulimit -n)"
    return "check the path, and the disk that it is on"
