"""Commands on saved conversations: list, open, search, name, delete, save, load."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sus_local.cli import imported, transcript
from sus_local.cli.imported import Talk
from sus_local.cli.listing import conversation_lines, hit_lines, shorten
from sus_local.cli.text import t
from sus_local.errors import HistoryError, RequestError, from_os_error
from sus_local.models import find_models, list_models
from sus_local.shell import quoted
from sus_local.textfile import write_named

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue

_LISTED = 20
_SHOWN_TURNS = 3


def new(dialogue: Dialogue, _argument: str) -> None:
    """Begin another conversation."""
    dialogue.session.new()
    dialogue.ui.say(t("A new conversation."))


def list_(dialogue: Dialogue, _argument: str) -> None:
    """List the conversations."""
    session = dialogue.session
    rows = session.saved.conversations(limit=_LISTED)
    if not rows:
        dialogue.ui.say(t("No conversation is saved yet."))
        return
    dialogue.ui.say("\n".join(conversation_lines(rows, current=session.recorder.number)))


def open_(dialogue: Dialogue, argument: str) -> None:
    """Go on with a conversation, by its number or by words of its title."""
    number = _titled(dialogue, argument) if argument else _number(argument)
    show_opened(dialogue, dialogue.session.open(number))


def _titled(dialogue: Dialogue, argument: str) -> int:
    """The conversation of a number, or the only one whose title has these words."""
    if argument.isdecimal():
        return int(argument)
    names = {
        row.id: (row.title or row.first).lower() for row in dialogue.session.saved.conversations()
    }
    found = [number for number, name in names.items() if name == argument.lower()]
    found = found or [number for number, name in names.items() if argument.lower() in name]
    if not found:
        raise RequestError(t("no title has these words"), hint=t("/list shows their numbers"))
    if len(found) > 1:
        numbers = ", ".join(map(str, found[:_LISTED]))
        several = t("{count} titles have these words: {numbers}", count=len(found), numbers=numbers)
        raise RequestError(several, hint="/open NUMBER")
    return found[0]


def show_opened(dialogue: Dialogue, unanswered: str) -> None:
    """Show the end of the conversation that was opened, and bring an open question back."""
    session, ui = dialogue.session, dialogue.ui
    turns = session.conversation.turns
    name = session.title or (shorten(turns[0].user) if turns else t("untitled"))
    ui.say(f"{session.recorder.number or ''} {name}".strip())
    if len(turns) > _SHOWN_TURNS:
        ui.say(t("… {count} earlier turns", count=len(turns) - _SHOWN_TURNS))
    for turn in turns[-_SHOWN_TURNS:]:
        ui.echo(turn.user)
        ui.show(turn.text)
    bring_back(dialogue, unanswered)


def bring_back(dialogue: Dialogue, unanswered: str) -> None:
    """Put a question that got no answer, if there is one, into the input."""
    if unanswered:
        dialogue.ui.say(t("This question got no answer; it is in the input again."))
        dialogue.ui.fill(unanswered)


def search(dialogue: Dialogue, argument: str) -> None:
    """Find text in all conversations."""
    if not argument:
        raise RequestError(t("search for what?"), hint="/search WORDS")
    hits = dialogue.session.saved.search(argument)
    dialogue.ui.say("\n".join(hit_lines(hits)) if hits else t("Nothing found."))


def title(dialogue: Dialogue, argument: str) -> None:
    """Show or set the title."""
    session = dialogue.session
    if argument:
        session.title, session.title_is_due = argument, False
        session.recorder.retitle(argument)
    dialogue.ui.say(t("title: {title}", title=session.title or t("untitled")))


def delete(dialogue: Dialogue, argument: str) -> None:
    """Delete a conversation, after asking."""
    session = dialogue.session
    number = _number(argument) if argument else session.recorder.number
    if number is None:
        raise RequestError(t("this conversation is not saved yet"))
    row = session.saved.conversation(number)

    def remove() -> None:
        session.saved.remove(number)
        if number == session.recorder.number:
            session.new()
        dialogue.ui.say(t("Deleted."))

    name = row.title or row.first
    dialogue.ui.confirm(
        t("Delete conversation {number}, {title}?", number=number, title=repr(name)), remove
    )


def save(dialogue: Dialogue, argument: str) -> None:
    """Write the conversation to a file."""
    if not argument:
        raise RequestError(t("save to which file?"), hint="/save notes.md, /save chat.json")
    dialogue.session.last_turn()
    path = Path(os.path.expanduser(argument))
    if path.is_dir():
        raise RequestError(t("{path} is a folder", path=path), hint=f"/save {path / 'chat.md'}")
    if path.exists():
        question = t("{path} is there already. Write over it?", path=path)
        dialogue.ui.confirm(question, lambda: _write(dialogue, path))
    else:
        _write(dialogue, path)


def _write(dialogue: Dialogue, path: Path) -> None:
    row, turns = dialogue.session.snapshot()
    if path.suffix.lower() == ".json":
        import json

        text = json.dumps(transcript.to_value(row, turns), ensure_ascii=False, indent=1) + "\n"
    else:
        text = transcript.to_markdown(row, transcript.branch(turns, row.active))
    write_named(path, text)
    dialogue.ui.say(t("saved to {path}", path=path))


def load(dialogue: Dialogue, argument: str) -> None:
    """Read a conversation from a file and go on with it."""
    if not argument:
        raise RequestError(t("load which file?"), hint="/load chat.json")
    path = Path(os.path.expanduser(argument))
    if path.suffix == ".gguf" or (not path.exists() and find_models(argument, list_models())):
        no_conversation = t("{path} is no conversation but a model", path=argument)
        raise RequestError(no_conversation, hint=f"/model {argument}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error
    except UnicodeDecodeError as error:
        raise HistoryError(f"{path} is not text", path=str(path)) from error
    row, turns = _only(imported.from_text(text, name=path.name), path)
    session = dialogue.session
    if session.recorder.history is None:
        unanswered = session.go_on(row, turns, None)
    else:
        unanswered = session.open(transcript.store(session.saved, row, turns))
    show_opened(dialogue, unanswered)


def _only(found: Sequence[Talk], path: Path) -> Talk:
    """The conversation of a file that holds one."""
    if len(found) > 1:
        several = t("{path} holds {count} conversations", path=path.name, count=len(found))
        raise RequestError(several, hint=f"sus-local history import {quoted(str(path))}")
    return found[0]


def _number(argument: str) -> int:
    if not argument.isdecimal():
        raise RequestError(t("which conversation?"), hint=t("/list shows their numbers"))
    return int(argument)
