"""The command ``sus-local``: the group of its commands and the one error boundary.

A command's module is imported when the command runs, so that ``sus-local --help`` costs nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from sus_local.cli import text
from sus_local.cli.failure import report
from sus_local.cli.localise import localised
from sus_local.cli.text import t

PROGRAM = "sus-local"
COMPLETE_VARIABLE = "_SUS_LOCAL_COMPLETE"
"""Set by a shell that wants completions (see ``sus-local completion``)."""

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Talk": {
        "demo": ("sus_local.cli.demo:demo", "Talk to the bundled demo model."),
        "chat": ("sus_local.cli.chat.command:chat", "Hold a conversation in the terminal."),
        "run": ("sus_local.cli.run:run", "Answer one prompt."),
        "history": ("sus_local.cli.history:history", "Find, show and export conversations."),
    },
    "Models": {
        "convert": ("sus_local.cli.convert:convert", "Convert a checkpoint to GGUF."),
        "pull": ("sus_local.cli.pull:pull", "Download a ready GGUF from the hub."),
        "models": ("sus_local.cli.models:models", "List, show, verify and remove local models."),
        "presets": ("sus_local.cli.presets:presets", "Keep a model with parameters under a name."),
    },
    "This machine": {
        "doctor": ("sus_local.cli.doctor:doctor", "Tell what this machine can run."),
        "plan": ("sus_local.cli.plan:plan", "Tell where a model's memory would go."),
        "completion": (
            "sus_local.cli.completion:completion",
            "Print what a shell needs to complete.",
        ),
    },
}
"""Heading → command → where it is (``module:attribute``) and its line in the help."""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for commands in SECTIONS.values():
            if cmd_name in commands:
                return _load(commands[cmd_name][0])
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest command named when there is no such one."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            mean = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"There is no command {name!r}.{mean}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in SECTIONS.items():
            rows = [(name, t(line)) for name, (_, line) in commands.items()]
            with formatter.section(t(heading)):
                formatter.write_dl(rows)


def _load(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return localised(command)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A command tells more with --help. SUS_LOCAL_HOME moves everything the program writes.",
)
@click.version_option(package_name="sus-local", prog_name=PROGRAM)
def cli() -> None:
    """Run SUS-Chat-34B and other LLaMA-architecture models offline, on a laptop.

    \b
    sus-local demo                                        a first conversation, in seconds
    sus-local convert SUSTech/SUS-Chat-34B -q Q4_K_M      the real model, from its checkpoint
    sus-local chat SUS-Chat-34B                           and a conversation with it
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the program and end the process with its exit status."""
    from sus_local.cli.output import know_closed_pipe, open_closed_streams, use_utf8

    # Where numpy comes with OpenBLAS, of which nothing here has a use, loading it would start a
    # thread for every core, and each spins for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    open_closed_streams()
    know_closed_pipe()
    use_utf8()
    status = run(sys.argv[1:] if args is None else args)
    sys.exit(_close_output(status))


def run(args: Sequence[str]) -> int:
    """Run the command line ``args``; gives the exit status.

    Every error becomes one line on standard error (or JSON, with ``--json``): 1 for a failure,
    2 for wrong usage, 130 after Ctrl-C, 141 where the reader of the output went away.
    """
    from sus_local.cli.logs import shown
    from sus_local.cli.output import note

    text.use(text.choose(args))
    try:
        with shown(note):
            status = _invoke(args)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SUS_LOCAL_DEBUG") == "1" and not isinstance(error, click.ClickException):
            raise
        return report(error, as_json=_wants_json(args))
    return status if isinstance(status, int) else 0


def _invoke(args: Sequence[str]) -> object:
    """Run the command; unlike click's own ``main``, it leaves every error to its caller."""
    group = localised(cli)
    completing = os.environ.get(COMPLETE_VARIABLE)
    if completing:
        from click.shell_completion import shell_complete

        return shell_complete(group, {}, PROGRAM, COMPLETE_VARIABLE, completing)
    try:
        with group.make_context(PROGRAM, list(args)) as context:
            return group.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code


def _wants_json(args: Sequence[str]) -> bool:
    options = args[: args.index("--")] if "--" in args else args
    return "--json" in options


def _close_output(status: int) -> int:
    """Flush; where that fails, let the interpreter flush into nothing at exit.

    Returns:
        ``status``, or that of the failure to write.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or report(error, as_json=False)
    return status
