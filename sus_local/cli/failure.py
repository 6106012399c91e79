"""How a failure is told: one line and a hint, or one JSON object, and the exit status."""

from __future__ import annotations

import click

from sus_local.cli.output import emit_json, note
from sus_local.cli.text import t
from sus_local.cli.told import told
from sus_local.errors import HistoryError, SusLocalError, from_os_error

FAILURE, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


def report(error: BaseException, *, as_json: bool) -> int:
    """Tell ``error`` to the user; gives the exit status.

    Args:
        as_json: One ``{"error": {"type", "message", "hint"}}`` on standard output instead.
    """
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        if as_json:
            _emit("Interrupted", "interrupted", "")
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        note(error.format_message())
        return USAGE
    if isinstance(error, click.ClickException):
        return _report_usage(error, as_json=as_json)
    known = _as_known(error)
    _tell(known, type(known).__name__, as_json=as_json)
    return FAILURE


def error_lines(error: SusLocalError) -> list[str]:
    """An error as a person reads it: what happened, and the next step if there is one."""
    return [t("error: {message}", message=told(error.message)), *_hint_lines(error)]


def memory_only_lines(error: HistoryError) -> list[str]:
    """As :func:`error_lines`, of a history that cannot be used while a chat goes on."""
    what = t("{message}; the chat goes on in memory only", message=told(error.message))
    return [what, *_hint_lines(error)]


def _hint_lines(error: SusLocalError) -> list[str]:
    return [t("hint: {hint}", hint=told(error.hint))] if error.hint else []


def _as_known(error: BaseException) -> SusLocalError:
    if isinstance(error, SusLocalError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, doing="reading or writing")
    if isinstance(error, MemoryError):
        return InternalError("out of memory", hint="close other programs, or take a smaller model")
    what = " ".join(f"{type(error).__name__}: {error}".split())
    hint = (
        "this is a mistake in sus-local: run again with SUS_LOCAL_DEBUG=1 and report what it says"
    )
    return InternalError(f"internal error: {what}", hint=hint)


class InternalError(SusLocalError):
    """Something that the program did not expect."""


def _report_usage(error: click.ClickException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context else ""
    known = SusLocalError(error.format_message(), hint=hint)
    _tell(known, "UsageError", as_json=as_json)
    return error.exit_code if isinstance(error, click.UsageError) else FAILURE


def _tell(error: SusLocalError, kind: str, *, as_json: bool) -> None:
    """As lines, also where JSON is wanted and standard output takes none."""
    if as_json and _emit(kind, error.message, error.hint):
        return
    for line in error_lines(error):
        note(line)


def _emit(kind: str, message: str, hint: str) -> bool:
    """Write a failure as JSON; False if that fails too."""
    try:
        emit_json({"error": {"type": kind, "message": message, "hint": hint}})
    except OSError:
        return False
    return True
