"""``sus-local history``: what was said, found again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.text import t

if TYPE_CHECKING:
    from sus_local.history import History
    from sus_local.saved import SavedConversation

_json = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


@click.group(
    epilog="""\b
Examples:
  sus-local history search 首都                   any text, Chinese too
  sus-local history export --all -o backup.json  everything, to be imported again
  sus-local history export 3 -o talk.md          one conversation, to read
"""
)
def history() -> None:
    """Find, show, export and remove conversations."""


def _open() -> History:
    from sus_local import paths
    from sus_local.history import History

    return History(paths.history_path())


@history.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="At most so many.")
@_json
def list_(limit: int | None, as_json: bool) -> None:
    """List the conversations, the latest first."""
    from sus_local.cli.listing import conversation_lines
    from sus_local.cli.output import emit_json, note

    with _open() as opened:
        rows = opened.conversations(limit=limit or -1)
    if as_json:
        emit_json([_summary(row) for row in rows])
    elif not rows:
        note(t("No conversation is saved yet."))
    for line in () if as_json else conversation_lines(rows):
        print(line)


def _summary(row: SavedConversation) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "model": row.model,
        "turns": row.num_turns,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "first": row.first,
    }


@history.command()
@click.argument("number", type=int, required=False)
@_json
def show(number: int | None, as_json: bool) -> None:
    """Show a conversation, by default the last.

    That is the branch in use, as Markdown; with --json all of it.
    """
    from sus_local.cli import transcript
    from sus_local.cli.output import as_shown, emit_json

    with _open() as opened:
        row = _latest(opened) if number is None else opened.conversation(number)
        turns = opened.turns(row.id)
    if as_json:
        emit_json(transcript.to_value(row, turns))
    else:
        text = transcript.to_markdown(row, transcript.branch(turns, row.active))
        print(as_shown(text), end="")


def _latest(opened: History) -> SavedConversation:
    from sus_local.errors import HistoryError

    rows = opened.conversations(limit=1)
    if not rows:
        raise HistoryError("no conversation is saved yet", hint="sus-local chat")
    return rows[0]


@history.command()
@click.argument("words", nargs=-1, required=True)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="At most so many.",
)
@_json
def search(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find text in all conversations.

    Finds the turns that contain all WORDS, anywhere and in any language.
    """
    from dataclasses import asdict

    from sus_local.cli.listing import hit_lines
    from sus_local.cli.output import emit_json, note

    with _open() as opened:
        hits = opened.search(" ".join(words), limit=limit)
    if as_json:
        emit_json([asdict(hit) for hit in hits])
    elif not hits:
        note(t("Nothing found."))
    for line in () if as_json else hit_lines(hits):
        print(line)


@history.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every conversation.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file instead of stdout.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "md"]),
    help="json can be imported again; by default as the output's name ends, else json.",
)
def export(
    numbers: tuple[int, ...], everything: bool, output: Path | None, form: str | None
) -> None:
    """Write conversations to a file.

    NUMBERS are those of `sus-local history list`; without --output, to standard output.
    """
    if bool(numbers) == everything:
        raise click.UsageError("give the numbers of conversations, or --all")
    from sus_local.cli.output import as_shown
    from sus_local.textfile import write_named

    with _open() as opened:
        every = [row.id for row in opened.conversations()] if everything else []
        chosen = sorted(every) or list(dict.fromkeys(numbers))
        form = form or ("md" if output is not None and output.suffix.lower() == ".md" else "json")
        text = _exported(opened, chosen, form)
    if output is None:
        print(as_shown(text), end="")
    else:
        write_named(output, text)


def _exported(opened: History, numbers: list[int], form: str) -> str:
    import json

    from sus_local.cli import transcript

    pairs = [(opened.conversation(number), opened.turns(number)) for number in numbers]
    if form == "md":
        return "\n".join(
            transcript.to_markdown(row, transcript.branch(turns, row.active))
            for row, turns in pairs
        )
    values = [transcript.to_value(row, turns) for row, turns in pairs]
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


@history.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_json
def import_(file: Path, as_json: bool) -> None:
    """Read conversations from FILE.

    That is a JSON export, what /save wrote, or a list of chat messages.
    """
    from sus_local.cli import imported, transcript
    from sus_local.cli.output import emit_json, note
    from sus_local.errors import HistoryError, from_os_error

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise HistoryError(f"{file} is not text", path=str(file)) from error
    except OSError as error:
        raise from_os_error(error, doing="reading", path=file) from error
    found = imported.from_text(text, name=file.name)
    with _open() as opened:
        numbers = opened.write(
            "saving in", lambda: [transcript.store(opened, row, turns) for row, turns in found]
        )
    if as_json:
        emit_json({"imported": numbers})
    else:
        note(t("imported as {numbers}", numbers=", ".join(map(str, numbers))))


@history.command()
@click.argument("numbers", type=int, nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_json
def rm(numbers: tuple[int, ...], yes: bool, as_json: bool) -> None:
    """Remove conversations, after asking."""
    from sus_local.cli.ask import confirm
    from sus_local.cli.output import emit_json, note

    with _open() as opened:
        rows = [opened.conversation(number) for number in dict.fromkeys(numbers)]
        names = ", ".join(f"{row.id} {row.title or row.first!r}" for row in rows)
        if not yes:
            confirm(t("Remove {names}?", names=names))
        opened.write("deleting from", lambda: _remove(opened, rows))
    if as_json:
        emit_json({"removed": [row.id for row in rows]})
    else:
        note(t("Removed: {count}", count=len(rows)))


def _remove(opened: History, rows: list[SavedConversation]) -> None:
    for row in rows:
        opened.remove(row.id)
