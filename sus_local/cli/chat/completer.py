"""Completion of the chat's commands, their parameters and file names."""

from __future__ import annotations

from collections.abc import Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from sus_local import presets
from sus_local.cli.chat.commands import COMMANDS
from sus_local.cli.chat.preset import PRESET_VERBS
from sus_local.cli.chat.settings import NAMES
from sus_local.cli.model_name import model_names
from sus_local.cli.text import t

_TAKE_PATHS = ("/file", "/load", "/save", "/read")


class ChatCompleter(Completer):
    """Completes a line that begins with a command."""

    def __init__(self) -> None:
        self._paths = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """What may stand at the cursor."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, argument = text.partition(" ")
        if not space:
            yield from _names(name)
        elif name in _TAKE_PATHS:
            yield from self._paths.get_completions(Document(argument), complete_event)
        elif name == "/model":
            yield from _beginning(argument, model_names())
            if argument.startswith((".", "/", "~")):
                yield from self._paths.get_completions(Document(argument), complete_event)
        elif name == "/preset":
            yield from _presets(argument)
        elif name == "/set" and " " not in argument:
            yield from _beginning(argument, NAMES)
        elif name == "/set" and argument.startswith("schema "):
            path = Document(argument.removeprefix("schema "))
            yield from self._paths.get_completions(path, complete_event)


def _names(begun: str) -> Iterable[Completion]:
    for name, command in COMMANDS.items():
        if name.startswith(begun.lower()):
            yield Completion(name, start_position=-len(begun), display_meta=t(command.line))


def _beginning(begun: str, names: Iterable[str]) -> Iterable[Completion]:
    for name in names:
        if name.lower().startswith(begun.lower()):
            yield Completion(name, start_position=-len(begun))


def _presets(argument: str) -> Iterable[Completion]:
    verb, space, name = argument.partition(" ")
    if not space:
        yield from _beginning(argument, [*presets.names(), *PRESET_VERBS])
    elif verb in PRESET_VERBS:
        yield from _beginning(name, presets.names())
