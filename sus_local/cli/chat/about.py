"""Commands that show something: ``/help``, ``/stats``, ``/context``, ``/copy``, and ``/bye``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sus_local.cli.listing import shorten
from sus_local.cli.text import t
from sus_local.cli.told import told
from sus_local.errors import RequestError

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue
    from sus_local.turn import Turn

KEYS = (
    ("Enter", "send; a line that ends in \\ goes on"),
    ("Alt-Enter", "a new line"),
    ("Tab", "complete a command or a file name"),
    ('"""', "begins a message of several lines, and ends it"),
    ("Up, Ctrl-R", "earlier input, search in it"),
    ("Ctrl-G, Ctrl-X Ctrl-E", "write in the editor ($EDITOR)"),
    ("Ctrl-L", "clear the screen"),
    ("Ctrl-C", "stop the answer; once more at the prompt: leave"),
    ("Ctrl-Z", "to the shell; fg comes back"),
    ("Ctrl-D, exit", "leave"),
)

_BAR_CELLS = 30


def help_(dialogue: Dialogue, _argument: str) -> None:
    """Show the commands and the keys."""
    from sus_local.cli.chat.commands import COMMANDS

    rows = [
        (f"{name} {command.argument}".strip(), t(command.line))
        for name, command in COMMANDS.items()
    ]
    rows.append(("", ""))
    rows += [(key, t(line)) for key, line in KEYS]
    dialogue.ui.say("\n".join(f"{left:<21} {right}".rstrip() for left, right in rows))


def bye(dialogue: Dialogue, _argument: str) -> None:
    """Leave."""
    dialogue.ui.leave()


def copy(dialogue: Dialogue, _argument: str) -> None:
    """Copy the last answer."""
    from sus_local.cli.chat import clipboard

    text = dialogue.session.last_turn().text
    if not clipboard.copy(text):
        raise RequestError(t("there is no clipboard here"), hint="/save FILE")
    dialogue.ui.say(t("copied {count} characters", count=len(text)))


def stats(dialogue: Dialogue, _argument: str) -> None:
    """Show figures of the model, the conversation and the sitting."""
    session, totals = dialogue.session, dialogue.totals
    share = totals.cached_tokens / totals.prompt_tokens if totals.prompt_tokens else 0.0
    number = session.recorder.number
    rows = [
        (t("model"), f"{session.llm.name} ({session.path})"),
        (t("context"), t("{count} tokens", count=session.llm.n_ctx)),
        (t("conversation"), f"{number if number is not None else '–'} {session.title}".strip()),
        (t("answers"), str(totals.num_answers)),
        (t("generated"), t("{count} tokens", count=totals.completion_tokens)),
        (t("prompts"), t("{count} tokens", count=totals.prompt_tokens)),
        (t("from the KV cache"), f"{totals.cached_tokens} ({share:.0%})"),
    ]
    note = session.conversation.turns[-1].usage.cache_note if session.conversation.turns else ""
    if note:
        rows.append((t("last time"), told(note)))
    dialogue.ui.say(two_columns(rows))


def context(dialogue: Dialogue, _argument: str) -> None:
    """Show which turns the model sees, with their tokens."""
    conversation = dialogue.session.conversation
    state = conversation.context
    filled = round(_BAR_CELLS * state.num_tokens / state.n_ctx)
    lines = [
        "█" * filled
        + "░" * (_BAR_CELLS - filled)
        + " "
        + t("{count} of {n_ctx} tokens", count=state.num_tokens, n_ctx=state.n_ctx)
    ]
    if conversation.system is not None:
        lines.append("  " + t("system: {text}", text=shorten(conversation.system)))
    for index, turn in enumerate(conversation.turns):
        if index == state.num_dropped_turns > 0:
            lines.append(t("──── cut here: the model does not see what is above ────"))
        lines.append(f"  {_num_tokens(turn):>6}  {shorten(turn.user)}")
    dialogue.ui.say("\n".join(lines))


def _num_tokens(turn: Turn) -> int:
    return len(turn.prompt_token_ids) + len(turn.token_ids)


def two_columns(rows: list[tuple[str, str]]) -> str:
    """Names and what they stand for, one a line."""
    from rich.cells import cell_len

    width = max(cell_len(left) for left, _ in rows)
    return "\n".join(f"{left}{' ' * (width - cell_len(left))}  {right}" for left, right in rows)
