"""What the hub's client raises, told as this project's own errors, each in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from sus_local.errors import (
    GatedRepositoryError,
    HubError,
    OfflineError,
    RepositoryNotFoundError,
    SusLocalError,
    from_os_error,
)

LONGEST_RETRY_AFTER_S = 600.0
"""A hub that asks for more patience is asked again by the user; its limits are of five minutes."""

_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
# The client found out by itself that a small file is not whole.
_SIZES = re.compile(r"should be of size (\d+) but has size (\d+)")


@contextmanager
def translate_errors(
    repository: str, *, revision: str | None = None, file: str | None = None
) -> Iterator[None]:
    """Tell the client's errors as this project's own.

    Args:
        repository: ``org/name``, for the message.
        revision: What was asked for, for the message.
        file: What was asked for, for the message.
    """
    try:
        yield
    except SusLocalError:
        raise
    except Exception as error:
        told = _translate(error, repository, revision, file)
        if told is None:
            raise
        raise told from error


def _translate(
    error: Exception, repository: str, revision: str | None, file: str | None
) -> SusLocalError | None:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _translate(error.__cause__, repository, revision, file)
    if isinstance(error, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)):
        return offline_error(repository)
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, repository, revision, file)
    if isinstance(error, errors.HFValidationError):
        return RepositoryNotFoundError(
            f"no name of a repository: {repository}", hint="give org/name, as its page is called"
        )
    if isinstance(error, errors.FileMetadataError):
        return not_a_hub(f"no ETag of {file or repository}")
    return _not_sent(error) or _lost(error, repository, file)


def _not_sent(error: Exception) -> HubError | None:
    """What makes a request that cannot even be sent; neither repeats the token."""
    kind = type(error).__name__
    if isinstance(error, UnicodeEncodeError) or kind == "LocalProtocolError":
        return HubError(
            "the token for the hub has a character that no token has",
            hint="set HF_TOKEN anew, without quotation marks, or: hf auth login",
        )
    if kind in {"InvalidURL", "UnsupportedProtocol"}:
        return HubError(
            f"{_endpoint()} is no address of a hub",
            hint="set HF_ENDPOINT to one that begins with https://, or unset it",
        )
    return None


def _lost(error: Exception, repository: str, file: str | None) -> SusLocalError | None:
    """The connection broke, or something on this machine."""
    if isinstance(error, _transport_errors()):
        return _unreachable(error, repository)
    sizes = _SIZES.search(str(error))
    if isinstance(error, OSError) and sizes:
        return HubError(
            f"the hub sent {sizes[2]} of {sizes[1]} bytes of {file or repository}",
            hint="run the same command again",
            transient=True,
        )
    if isinstance(error, OSError):
        return from_os_error(error, doing="fetching", path=file or repository)
    return None


def _refusal(error: Any, repository: str, revision: str | None, file: str | None) -> HubError:
    """The hub answered, and said no."""
    from huggingface_hub import errors

    status = int(error.response.status_code)
    page = f"{_endpoint()}/{repository}"
    if isinstance(error, errors.GatedRepoError):
        return _gated(repository, status)
    if isinstance(error, errors.RepositoryNotFoundError):
        return RepositoryNotFoundError(
            f"no repository {repository} on {_endpoint()}, or it is private",
            hint="check the name; for a private one: hf auth login, or set HF_TOKEN",
            repository=repository,
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return RepositoryNotFoundError(
            f"{repository} has no revision {revision}",
            hint=f"its branches, tags and commits are at {page}/tree/main",
            repository=repository,
            revision=revision,
        )
    if isinstance(error, errors.DisabledRepoError):
        return HubError(f"{repository} is disabled on the hub", hint=f"see {page}", status=status)
    if status in {401, 403}:
        return _denied(error, repository, status)
    if status == 404:
        what = f"no file {file}" if file else "nothing to read"
        hint = f"check the name and HF_ENDPOINT, or see {page}"
        return RepositoryNotFoundError(f"{repository} has {what}", hint=hint, repository=repository)
    return _busy(status, retry_after_s(error.response.headers), file or repository, page)


def _denied(error: Any, repository: str, status: int) -> HubError:
    """A bad token is refused before the hub asks what it opens."""
    if status == 401 and "Authorization" in error.response.request.headers:
        return GatedRepositoryError(
            f"the hub refuses the token that it was sent for {repository} (status {status})",
            hint="set HF_TOKEN to one that is valid, or unset it and: hf auth login",
            repository=repository,
            status=status,
        )
    return _gated(repository, status)


def _busy(status: int, asked: float | None, what: str, page: str) -> HubError:
    """The hub will not answer now, and may have said when; or never."""
    too_long = asked is not None and asked > LONGEST_RETRY_AFTER_S
    wait = f"{asked:.0f} s, as the hub asks" if asked is not None else "a moment"
    hint = f"wait {wait}, then run the same command again"
    if status < 500 and status not in _TRANSIENT_STATUS:
        hint = f"it will not answer otherwise: check HF_ENDPOINT, or see {page}"
    return HubError(
        f"the hub answered {status} when asked for {what}",
        hint=hint,
        status=status,
        transient=status in _TRANSIENT_STATUS and not too_long,
        retry_after_s=asked,
    )


def not_a_hub(what: str = "no JSON of a repository") -> HubError:
    """Something else answers in the hub's place.

    Args:
        what: What came, or did not.
    """
    return HubError(
        f"{_endpoint()} did not answer as a hub does: {what}",
        hint="check HF_ENDPOINT, the proxy, and whether a login page is in between",
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait, in ``Retry-After`` or the hub's ``RateLimit``.

    >>> retry_after_s({"Retry-After": "120"})
    120.0
    >>> noon, later = "Sun, 01 Feb 2026 12:00:00 GMT", "Sun, 01 Feb 2026 12:00:30 GMT"
    >>> retry_after_s({"Date": noon, "Retry-After": later})
    30.0
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until = _http_date(value)
    if until is not None:
        # By the server's own clock where it tells it.
        now = _http_date(headers.get("Date", "")) or datetime.now(timezone.utc)
        return max(0.0, (until - now).total_seconds())
    return _rate_limit_s(headers)


def _http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _rate_limit_s(headers: Mapping[str, str]) -> float | None:
    from huggingface_hub import utils

    parse = getattr(utils, "parse_ratelimit_headers", None)
    told = parse(headers) if parse is not None else None
    return float(told.reset_in_seconds) if told is not None and told.remaining == 0 else None


def _gated(repository: str, status: int) -> GatedRepositoryError:
    return GatedRepositoryError(
        f"the hub does not let you read {repository} (status {status})",
        hint=f"accept its licence at {_endpoint()}/{repository}, then: hf auth login",
        repository=repository,
        status=status,
    )


def offline_error(repository: str) -> OfflineError:
    """``HF_HUB_OFFLINE`` forbids to ask for what is needed."""
    return OfflineError(
        f"the hub cannot be asked for {repository}: HF_HUB_OFFLINE is set",
        hint="unset HF_HUB_OFFLINE, then run the same command again",
        repository=repository,
    )


def _unreachable(error: Exception, repository: str) -> OfflineError:
    why = (str(error) or type(error).__name__).splitlines()[0][:120]
    return OfflineError(
        f"cannot reach {_endpoint()} for {repository}: {why}",
        hint="check the connection, then run the same command again",
        repository=repository,
        transient=True,
    )


def _transport_errors() -> type[BaseException]:
    """The root of what the client's HTTP library raises, whichever library that is."""
    from huggingface_hub.errors import HfHubHTTPError

    foreign = [
        kind
        for kind in HfHubHTTPError.__mro__
        if kind.__module__.split(".")[0] not in {"huggingface_hub", "builtins"}
    ]
    return foreign[-1]


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
