"""The chat's commands: the table, and how a line finds its command."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sus_local.cli.chat import about, files, keep, model, preset, settings, steer
from sus_local.cli.text import t
from sus_local.errors import RequestError

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue
    from sus_local.cli.chat.exchange import Exchange


@dataclass(frozen=True)
class Command:
    """A command of the chat.

    Attributes:
        run: Gets the dialogue and what stands after the name; may begin an answer.
        argument: What stands after the name, for the help.
        line: What it does, for the help.
        at_once: Does not wait for an answer that is on its way.
    """

    run: Callable[[Dialogue, str], Exchange | None]
    argument: str
    line: str
    at_once: bool = False


COMMANDS: dict[str, Command] = {
    "/help": Command(about.help_, "", "show this", at_once=True),
    "/new": Command(keep.new, "", "begin another conversation"),
    "/list": Command(keep.list_, "", "list the conversations", at_once=True),
    "/open": Command(keep.open_, "NUMBER | TITLE", "go on with a conversation"),
    "/title": Command(keep.title, "[TEXT]", "show or set the title"),
    "/search": Command(keep.search, "WORDS", "find text in all conversations", at_once=True),
    "/delete": Command(keep.delete, "[NUMBER]", "delete a conversation, this one by default"),
    "/retry": Command(steer.retry, "", "answer the last question again"),
    "/edit": Command(steer.edit, "[TEXT]", "change the last question and ask it again"),
    "/undo": Command(steer.undo, "", "take the last question and answer back"),
    "/branches": Command(steer.branches, "[TURN]", "show all answers, or go to one"),
    "/system": Command(steer.system, "[TEXT | -]", "show, set or remove the system message"),
    "/set": Command(settings.set_, "[NAME [VALUE]]", "show or set parameters"),
    "/model": Command(model.model, "[NAME]", "list the models, or go on with another"),
    "/preset": Command(preset.preset, "[NAME | save NAME | rm NAME]", "use, keep or list presets"),
    "/show": Command(model.show, "", "what is known of the model in use"),
    "/file": Command(files.file, "PATH", "send text files (*.py) with the next question"),
    "/copy": Command(about.copy, "", "copy the last answer"),
    "/save": Command(keep.save, "FILE", "write the conversation, as Markdown or .json"),
    "/load": Command(keep.load, "FILE", "read a conversation from a .json file"),
    "/stats": Command(about.stats, "", "figures of this sitting"),
    "/context": Command(about.context, "", "what the model sees, and where it was cut"),
    "/bye": Command(about.bye, "", "leave (also Ctrl-D)", at_once=True),
}
"""Every command by its name, in the order of the help."""

ALIASES = {
    "/?": "/help",
    "/clear": "/new",
    "/exit": "/bye",
    "/glob": "/file",
    "/models": "/model",
    "/presets": "/preset",
    "/quit": "/bye",
    "/read": "/file",
    "/regen": "/retry",
    "/system-prompt": "/system",
}
"""Names that other chats have for these commands."""


def run(dialogue: Dialogue, line: str) -> Exchange | None:
    """Do the command of ``line``.

    Raises:
        RequestError: There is no such command.
    """
    name, *argument = line.split(maxsplit=1)
    return _find(name).run(dialogue, "".join(argument).strip())


def is_command(line: str) -> bool:
    """Whether a line is a command; a path that is there begins a message.

    >>> is_command("/help"), is_command("//help"), is_command("help")
    (True, False, False)
    """
    if not line.startswith("/") or line.startswith("//"):
        return False
    name = line.split(maxsplit=1)[0]
    return name in COMMANDS or name in ALIASES or name == "/" or not os.path.exists(name)


def is_at_once(line: str) -> bool:
    """Whether a line is a command that need not wait for the model."""
    name = "".join(line.split(maxsplit=1)[:1]).lower()
    command = COMMANDS.get(ALIASES.get(name, name))
    return command is not None and command.at_once


def _find(name: str) -> Command:
    """The command of a name, or of its only completion."""
    name = ALIASES.get(name.lower(), name.lower())
    if name in COMMANDS:
        return COMMANDS[name]
    begun = [each for each in COMMANDS if each.startswith(name)]
    if len(begun) == 1:
        return COMMANDS[begun[0]]
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    mean = t("did you mean {name}?", name=near[0]) if near else t("/help lists all.")
    hint = t("{mean} A message that begins with / is sent as //…", mean=mean)
    raise RequestError(t("there is no command {name}", name=name), hint=hint)
