"""Commands that steer the conversation: answer again, edit, undo, branches, system, set, file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus_local.cli.listing import shorten
from sus_local.cli.text import t
from sus_local.errors import RequestError, SamplingError, from_os_error

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue
    from sus_local.cli.chat.session import Exchange
    from sus_local.turn import Turn

LARGEST_FILE_BYTES = 4 << 20
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic")

SETTABLE: dict[str, type] = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "typical_p": float,
    "repetition_penalty": float,
    "frequency_penalty": float,
    "presence_penalty": float,
    "penalty_last_n": int,
    "dry_multiplier": float,
    "dry_base": float,
    "dry_allowed_length": int,
    "xtc_probability": float,
    "xtc_threshold": float,
    "mirostat": int,
    "mirostat_tau": float,
    "mirostat_eta": float,
    "seed": int,
    "max_tokens": int,
    "stop": str,
}
"""The sampling parameters that ``/set`` takes, and what they are."""

_SHORT = {"temp": "temperature", "repeat_penalty": "repetition_penalty"}


def retry(dialogue: Dialogue, _argument: str) -> Exchange:
    """Answer the last question again, beside the old answer."""
    exchange = dialogue.session.retry()
    dialogue.ui.say(t("another answer; /branches shows both"))
    return exchange


def edit(dialogue: Dialogue, argument: str) -> Exchange | None:
    """Ask the last question in other words, here or in the input."""
    turn = dialogue.session.last_turn()
    if argument:
        return dialogue.session.edit(turn, argument)
    dialogue.editing = turn
    dialogue.ui.say(t("Change the question and send it; an empty line leaves it as it is."))
    dialogue.ui.fill(turn.user)
    return None


def undo(dialogue: Dialogue, _argument: str) -> None:
    """Take the last question and answer back."""
    turn = dialogue.session.undo()
    if turn is None:
        raise RequestError(t("there is nothing to take back"))
    dialogue.ui.say(t("Taken back; /branches {turn} brings it again.", turn=turn.id))
    dialogue.ui.fill(turn.user)


def branches(dialogue: Dialogue, argument: str) -> None:
    """Show the tree of turns, or go to one."""
    conversation = dialogue.session.conversation
    tree = {turn.id: turn for turn in conversation.tree}
    if not argument:
        if not tree:
            raise RequestError(t("there is nothing yet in this conversation"))
        active = {turn.id for turn in conversation.turns}
        lines = list(_tree_lines(list(tree.values()), None, active, 0))
        hint = t("* marks the branch in use; /branches TURN goes to another")
        dialogue.ui.say("\n".join([*lines, hint]))
        return
    if not argument.isdecimal() or int(argument) not in tree:
        raise RequestError(
            t("there is no turn {turn}", turn=argument), hint=t("/branches shows their numbers")
        )
    dialogue.session.switch(tree[int(argument)])
    last = dialogue.session.last_turn()
    dialogue.ui.echo(last.user)
    dialogue.ui.show(last.text)


def _tree_lines(turns: list[Turn], parent: int | None, active: set[int], depth: int) -> list[str]:
    """The turns below ``parent``; a branch moves to the right, a plain row does not."""
    children = [turn for turn in turns if turn.parent == parent]
    depth += len(children) > 1
    lines = []
    for turn in children:
        mark = "*" if turn.id in active else " "
        text = f"{shorten(turn.user, 30)} → {shorten(turn.text, 40)}"
        lines.append(f"{mark} {turn.id:>4} {'  ' * depth}{text}")
        lines += _tree_lines(turns, turn.id, active, depth)
    return lines


def system(dialogue: Dialogue, argument: str) -> None:
    """Show, set or remove the system message."""
    session = dialogue.session
    if not argument:
        dialogue.ui.say(
            t("system: {text}", text=session.conversation.system)
            if session.conversation.system
            else t("no system message")
        )
        return
    was_empty = not session.conversation.tree
    session.system = None if argument == "-" else argument
    session.new()
    if session.system is None:
        told = t("No system message.") if was_empty else t("A new conversation.")
    elif was_empty:
        told = t("The system message is set.")
    else:
        told = t("A new conversation, with this system message.")
    dialogue.ui.say(told)


def set_(dialogue: Dialogue, argument: str) -> None:
    """Show or set sampling parameters."""
    session = dialogue.session
    words = argument.replace("=", " ").split(maxsplit=1)
    if not words:
        shown = [f"{name} {_shown(session.params, name)}" for name in SETTABLE]
        dialogue.ui.say("\n".join(shown))
        return
    name = _SHORT.get(words[0].replace("-", "_"), words[0].replace("-", "_"))
    if name not in SETTABLE:
        raise SamplingError(t("there is no parameter {name}", name=name), hint=t("/set shows all"))
    before = dict(session.sampling)
    if len(words) > 1:
        session.sampling.pop(name, None)
    if len(words) > 1 and words[1] != "default":
        session.sampling[name] = _value(name, words[1])
    try:
        dialogue.ui.say(f"{name} {_shown(session.params, name)}")
    except SamplingError:
        session.sampling = before
        raise


def _value(name: str, text: str) -> Any:
    if name == "stop":
        return (text,)
    kind = SETTABLE[name]
    try:
        return kind(text)
    except ValueError as error:
        wrong = "{name} is {value}, it has to be a number"
        if kind is int:
            wrong = "{name} is {value}, it has to be a whole number"
        raise SamplingError(t(wrong, name=name, value=text)) from error


def _shown(params: Any, name: str) -> str:
    value = getattr(params, name)
    if value is None or value == ():
        return t("(default)")
    return " ".join(map(repr, value)) if isinstance(value, tuple) else str(value)


def file(dialogue: Dialogue, argument: str) -> None:
    """Put a text file into the next question."""
    if not argument:
        raise RequestError(t("which file?"), hint="/file PATH")
    path = Path(os.path.expanduser(argument))
    text = _read_text(path)
    num_tokens = len(dialogue.session.llm.tokenize(text))
    n_ctx = dialogue.session.llm.n_ctx
    if num_tokens >= n_ctx:
        raise RequestError(
            t(
                "{path} has {count} tokens, the context holds {n_ctx}",
                path=path,
                count=num_tokens,
                n_ctx=n_ctx,
            ),
            hint=t("send a part of it"),
        )
    dialogue.attachments.append((path.name, text))
    dialogue.ui.say(
        t("{name} ({count} tokens) goes with your next question", name=path.name, count=num_tokens)
    )


def _read_text(path: Path) -> str:
    if path.suffix.lower() in _PICTURES:
        raise RequestError(t("{path} is a picture: the model reads text", path=path.name))
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise RequestError(
                t(
                    "{path} has {size} bytes, at most {most} are read",
                    path=path,
                    size=size,
                    most=LARGEST_FILE_BYTES,
                )
            )
        content = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error
    if b"\0" in content:
        raise RequestError(t("{path} is not a text file", path=path.name))
    return content.decode("utf-8", "replace")
