"""Commands that steer the conversation: answer again, edit, undo, branches, system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sus_local.cli.listing import shorten
from sus_local.cli.text import t
from sus_local.errors import RequestError

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue
    from sus_local.cli.chat.exchange import Exchange
    from sus_local.turn import Turn


def retry(dialogue: Dialogue, _argument: str) -> Exchange:
    """Answer the last question again, beside the old answer."""
    exchange = dialogue.session.retry()
    dialogue.ui.say(t("another answer; /branches shows both"))
    return exchange


def edit(dialogue: Dialogue, argument: str) -> Exchange | None:
    """Ask the last question in other words, here or in the input."""
    turn = dialogue.session.last_turn()
    if argument:
        return dialogue.session.edit(turn.id, argument)
    dialogue.session.editing = turn.id
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
    session.change_system(None if argument == "-" else argument)
    told = t("No system message.") if argument == "-" else t("The system message is set.")
    if session.conversation.turns:
        told += " " + t("The model reads the conversation again with the next question.")
    dialogue.ui.say(told)
