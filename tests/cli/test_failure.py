"""How failures become exit statuses, where the systems differ."""

from __future__ import annotations

import errno

import pytest

from sus_local.cli.failure import _is_closed_pipe


@pytest.mark.parametrize(
    ("error", "system", "expected"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "nt", True),
        (OSError(errno.EINVAL, "Invalid argument"), "nt", True),
        (OSError(errno.EINVAL, "Invalid argument", "a?b"), "nt", False),
        (OSError(errno.EINVAL, "Invalid argument"), "posix", False),
    ],
)
def test_a_closed_pipe_is_known_on_every_system(
    error: OSError, system: str, expected: bool
) -> None:
    assert _is_closed_pipe(error, system) is expected
