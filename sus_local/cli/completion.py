"""``sus-local completion``: what a shell needs to complete commands, options and models."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem


@click.command(
    epilog="""\b
Examples:
  sus-local completion bash >> ~/.bashrc
  sus-local completion zsh >> ~/.zshrc
  sus-local completion fish > ~/.config/fish/completions/sus-local.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL."""
    from click.shell_completion import get_completion_class

    from sus_local.cli.main import COMPLETE_VARIABLE, PROGRAM, cli

    kind = get_completion_class(shell)
    if kind is not None:
        print(kind(cli, {}, PROGRAM, COMPLETE_VARIABLE).source())


def complete_model(
    _ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Names of the local store, the demo model, and files."""
    from sus_local.cli.model_name import model_names

    return _complete(model_names(), begun)


def complete_model_or_preset(
    _ctx: click.Context, _param: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Presets, and what :func:`complete_model` gives."""
    from sus_local.cli.model_name import names_to_talk_to

    return _complete(names_to_talk_to(), begun)


def _complete(names: Iterable[str], begun: str) -> list[CompletionItem]:
    found = [CompletionItem(name) for name in names if name.lower().startswith(begun.lower())]
    return [*found, CompletionItem(begun, type="file")] if "/" in begun or not found else found
