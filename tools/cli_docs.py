"""Write docs/cli.md from the program's own help: ``python tools/cli_docs.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sus_local.cli import text
from sus_local.cli.chat.about import KEYS
from sus_local.cli.chat.commands import ALIASES, COMMANDS
from sus_local.cli.localise import localised
from sus_local.cli.main import PROGRAM, cli

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
WIDTH = 90

HEAD = """\
# The command line

Made from the program's own help by `python tools/cli_docs.py`; do not edit.

Answers go to standard output, everything else to standard error. `--json` gives JSON and nothing
else on standard output; a failure is then `{"error": {"type", "message", "hint"}}`.

| exit status | means |
|---|---|
| 0 | done |
| 1 | a failure, told in one line with the next step |
| 2 | wrong usage |
| 130 | stopped with Ctrl-C |
| 141 | the reader of the output went away |

| variable | does |
|---|---|
| `SUS_LOCAL_HOME` | moves everything that the program writes under one folder |
| `SUS_LOCAL_DEBUG=1` | shows tracebacks |
| `NO_COLOR` | no colours |
| `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE` | as for huggingface_hub |
"""


def main() -> None:
    """Write the file."""
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(document(), encoding="utf-8")


def document() -> str:
    """The whole page."""
    text.use("en")
    return "\n".join([HEAD, *_commands(localised(cli), PROGRAM, None), _inside_the_chat()])


def _commands(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """A section for ``command`` and each one below it."""
    context = click.Context(
        command, parent=parent, info_name=name, terminal_width=WIDTH,
        help_option_names=["-h", "--help"],
    )  # fmt: skip
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None:
                yield from _commands(child, child_name, context)


def _inside_the_chat() -> str:
    rows = []
    for name, command in COMMANDS.items():
        call = f"{name} {command.argument}".strip().replace("|", "\\|")
        rows.append(f"| `{call}` | {command.line} |")
    keys = [f"| {key} | {line} |" for key, line in KEYS]
    return "\n".join(
        [
            "## Inside the chat\n",
            *("| command | does |", "|---|---|", *rows, ""),
            f"Words of other chats: {_aliases()}.\n",
            *("| key | does |", "|---|---|", *keys, ""),
        ]
    )


def _aliases() -> str:
    return ", ".join(f"`{name}` is `{meant}`" for name, meant in ALIASES.items())


if __name__ == "__main__":
    main()
