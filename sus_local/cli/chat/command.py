"""``sus-local chat``: options, and which conversation to go on with."""

from __future__ import annotations

from typing import Any

import click

from sus_local.cli.completion import complete_model_or_preset
from sus_local.cli.options import (
    before_preset,
    loading_options,
    loading_values,
    sampling_options,
    sampling_values,
)


@click.command(
    epilog="""\b
Examples:
  sus-local chat                          with the model used last
  sus-local chat demo                     with the bundled demo model
  sus-local chat SUS-Chat-34B --temp 0.3  with a model of `sus-local models list`
  sus-local chat --continue               the last conversation goes on
  sus-local chat -f 'src/*.py'            with files for the first question
"""
)
@click.argument("model", required=False, shell_complete=complete_model_or_preset)
@click.option("-m", "--model", "model_option", help="The model; as MODEL.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@click.option("--conversation", type=int, help="Go on with the conversation of this number.")
@click.option("--system", help="System message of new conversations.")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    help="Text file or pattern that goes with the first question; may be repeated.",
)
@click.option("--plain", is_flag=True, help="Answers as plain text instead of Markdown.")
@click.option("--no-history", is_flag=True, help="Save nothing.")
@sampling_options
@loading_options
def chat(
    model: str | None,
    model_option: str | None,
    go_on: bool,
    conversation: int | None,
    system: str | None,
    files: tuple[str, ...],
    plain: bool,
    no_history: bool,
    **options: Any,
) -> int:
    """Hold a conversation with MODEL, or with the model used last; MODEL may be a preset.

    Answers stream as Markdown. /help lists the commands of the chat. Everything is saved as it is
    written: nothing is lost by leaving, and `--continue` goes on where it was.
    """
    if go_on and conversation is not None:
        raise click.UsageError("--continue and --conversation exclude each other")
    if no_history and (go_on or conversation is not None):
        raise click.UsageError("--no-history leaves nothing to go on with")
    from sus_local.cli.chat.start import Start
    from sus_local.cli.model_name import preset_or_model

    preset = preset_or_model(model_option or model or "")
    return Start(
        model=preset.model or None,
        go_on=go_on,
        conversation=conversation,
        system=(preset.system if system is None else system) or None,
        plain=plain,
        keep=not no_history,
        loading={**preset.loading, **loading_values(options)},
        sampling=before_preset(sampling_values(options), preset.sampling),
        first_lines=[f"/file {path}" for path in files],
    ).run()
