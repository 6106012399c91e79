"""The Hugging Face hub, as far as this program needs it, with its errors told in one line.

Everything goes through ``huggingface_hub``: its token, cache and session, ``HF_ENDPOINT``,
``HF_HOME``, ``HF_HUB_CACHE`` and ``HF_HUB_OFFLINE`` have their usual meaning.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sus_local.errors import HubError, OfflineError, RepositoryNotFoundError
from sus_local.hub_errors import not_a_hub, offline_error, translate_errors

T = TypeVar("T")

LONGEST_WAIT_S = 30.0
"""Before an attempt that follows failures; the first waits a second, each one twice as long."""

logger = logging.getLogger(__name__)
"""Tells what is waited for; without any configuration Python writes it to standard error."""

_ATTEMPTS = 4
_NOTICED_S = 5.0
_NAME = re.compile(
    r"(?:(?:https?://)?(?:hf\.co|huggingface\.co)/)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)/?"
)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository.

    Attributes:
        name: Its path in the repository.
        size: Bytes.
        sha256: Of its content, where the hub knows it (large files).
        blob_id: Git's hash of what git itself holds: the content of small files alone.
    """

    name: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository at one commit.

    Attributes:
        name: ``org/name``.
        revision: The branch, tag or commit that was asked for.
        commit: The full commit hash: what is read is one state, whatever is pushed meanwhile.
        files: Every file by name.
    """

    name: str
    revision: str
    commit: str
    files: Mapping[str, HubFile]

    def etag(self, name: str) -> str:
        """What names the content of a file; the commit, where the hub tells no hash of it."""
        file = self.files[name]
        return file.sha256 or file.blob_id or f"{self.commit}@{self.name}"


def repository_name(text: str) -> str:
    """``org/name`` of what a user calls a repository; empty if it is no such name.

    >>> repository_name("SUSTech/SUS-Chat-34B"), repository_name("https://hf.co/a/b/")
    ('SUSTech/SUS-Chat-34B', 'a/b')
    >>> repository_name("./SUS-Chat-34B")
    ''
    """
    match = _NAME.fullmatch(text)
    return match[1] if match else ""


def resolve(name: str, *, revision: str | None = None) -> Repository:
    """Ask the hub for a repository: its commit, and its files with sizes and hashes.

    Raises:
        HubError: It does not exist, is gated, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    if is_offline():
        raise offline_error(name)
    if revision is not None and not revision.strip():
        raise RepositoryNotFoundError("the revision is empty", hint="give a branch, tag or commit")

    def ask() -> Repository:
        options: dict[str, Any] = {"files_metadata": True, "timeout": timeout_s()}
        try:
            with translate_errors(name, revision=revision):
                info = HfApi().model_info(name, revision=revision, **options)
                return _repository(name, revision or "main", info)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # A page for people, or JSON of something else.
            raise not_a_hub() from error

    return patiently(ask, even_offline=False)


def _repository(name: str, revision: str, info: Any) -> Repository:
    files = [_hub_file(sibling) for sibling in info.siblings or []]
    if not isinstance(info.sha, str) or not info.sha:
        raise not_a_hub(f"it tells no commit of {name}")
    return Repository(name, revision, info.sha, {file.name: file for file in files})


def _hub_file(sibling: Any) -> HubFile:
    name, size, lfs = sibling.rfilename, sibling.size, sibling.lfs
    if not isinstance(size, int) or size < 0:
        raise not_a_hub(f"it tells no size of {name}")
    return HubFile(name, size, str(lfs.sha256) if lfs else None, sibling.blob_id)


def fetch(repository: Repository, name: str) -> Path:
    """A file in the client's own cache, fetched if it is not there yet. It stays there."""
    from huggingface_hub import hf_hub_download

    forced = False

    def ask() -> Path:
        nonlocal forced
        told = translate_errors(repository.name, revision=repository.commit, file=name)
        where: dict[str, Any] = {"revision": repository.commit, "force_download": forced}
        with told, _quietly():
            path = Path(hf_hub_download(repository.name, name, **where))
        # What is cut off, or another page, would be found in the cache for ever.
        forced = True
        return _whole(path, repository.files[name])

    return patiently(ask)


def _whole(path: Path, file: HubFile) -> Path:
    size = path.stat().st_size
    if size != file.size:
        raise HubError(
            f"the hub sent {size} of {file.size} bytes of {file.name}",
            hint="run the same command again",
            transient=True,
        )
    return path


def remember_revision(repository: Repository) -> None:
    """Let the client's cache know which commit a branch is at, so that it is found offline.

    Files that are fetched by their commit do not leave that trace.
    """
    from huggingface_hub import hf_hub_download

    with translate_errors(repository.name, revision=repository.revision), _quietly():
        hf_hub_download(repository.name, "config.json", revision=repository.revision)


def find_cached(repository: Repository, name: str) -> Path | None:
    """A file that is complete in the client's own cache; None if it is not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository.name, name, revision=repository.commit)
    if not isinstance(found, str):
        return None
    path = Path(found)
    return path if path.stat().st_size == repository.files[name].size else None


def find_snapshot(name: str, *, revision: str | None = None) -> Path | None:
    """The folder of a repository in the client's own cache, complete or not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def wait_s(failures: int, error: HubError | None = None) -> float:
    """Seconds to wait after so many failures in a row; at least as long as the hub asks.

    >>> wait_s(1), wait_s(3)
    (1.0, 4.0)
    >>> wait_s(1, HubError("the hub answered 429", retry_after_s=2.5))
    2.5
    """
    asked = error.numbers.get("retry_after_s") if error is not None else None
    return max(min(2.0 ** min(failures - 1, 10), LONGEST_WAIT_S), asked or 0.0)


def tell_wait(seconds: float, error: HubError | None) -> None:
    """Log a wait that a user would notice."""
    if seconds >= _NOTICED_S:
        why = error.message if error is not None else "the hub sends nothing"
        logger.warning("%s; next attempt in %.0f s", why, seconds)


def patiently(ask: Callable[[], T], *, even_offline: bool = True) -> T:
    """Ask again a few times where the hub, or the way there, is at fault.

    Args:
        even_offline: Also where there is no connection at all.
    """
    for failures in range(1, _ATTEMPTS):
        try:
            return ask()
        except HubError as error:
            lost = isinstance(error, OfflineError) and not even_offline
            if lost or not error.numbers.get("transient"):
                raise
            wait = wait_s(failures, error)
            tell_wait(wait, error)
        time.sleep(wait)
    return ask()


def timeout_s() -> float:
    """Seconds of silence after which an answer is given up."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


@contextmanager
def _quietly() -> Iterator[None]:
    """This program shows its own progress."""
    utils = client()
    if utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()


def client() -> Any:
    """The client's public functions that it loads by name, so that no type checker sees them."""
    from huggingface_hub import utils

    return utils


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids every request."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
