"""``sus-local demo``: a first conversation, with the bundled model."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.text import t

if TYPE_CHECKING:
    from sus_local.results import Result

QUESTIONS = ("hi", "What is the capital of China?")


@click.command(
    epilog="""\b
Examples:
  sus-local demo
  sus-local demo --chat
"""
)
@click.option("--chat", "go_on", is_flag=True, help="Then go on by hand.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the conversation.")
def demo(go_on: bool, as_json: bool) -> int:
    """Hold the conversation of SUS-Chat's README with the tiny bundled model.

    The first time, its checkpoint is converted to GGUF; that takes about a second. Nothing is
    downloaded.
    """
    if go_on and as_json:
        raise click.UsageError("--chat and --json exclude each other")
    if go_on:
        from sus_local.cli.chat.start import Start

        return Start(model="demo", sampling={"temperature": 0}, first_lines=QUESTIONS).run()
    import sus_local
    from sus_local.sampling import SamplingParams

    path = _model(quiet=as_json)
    with sus_local.load(path) as llm:
        conversation = llm.conversation()
        greedy = SamplingParams(temperature=0)
        if as_json:
            answers = [conversation.ask(question, sampling=greedy) for question in QUESTIONS]
            _print_json(answers, path, llm.name)
            return 0
        for question in QUESTIONS:
            _show(question, conversation.send(question, sampling=greedy))
    _say_how_to_go_on()
    return 0


def _model(*, quiet: bool) -> Path:
    """The demo model; says so where it has to be converted first."""
    from sus_local.cli.output import note
    from sus_local.demo.model import FILE_TYPE, checkpoint, ensure_model, model_path

    path = model_path()
    if not path.exists() and not quiet:
        note(t("converting {source} to {type} …", source=checkpoint(), type=FILE_TYPE))
    path = ensure_model()
    if not quiet:
        note(t("model: {path}", path=path))
        note()
    return path


def _show(question: str, answer: Any) -> None:
    from sus_local.cli.answer import figures
    from sus_local.cli.output import note

    note(f">>> {question}")
    try:
        for piece in answer:
            print(piece.text, end="", flush=True)
    except BaseException:
        answer.close()
        raise
    print(flush=True)
    result = answer.result
    note(f"    {figures(result.usage, result.timings, in_full=True)}")
    note()


def _print_json(answers: list[Result], path: Path, name: str) -> None:
    from sus_local.cli.answer import result_json
    from sus_local.cli.output import emit_json

    turns = [
        {"user": question, **result_json(answer, model=name)}
        for question, answer in zip(QUESTIONS, answers, strict=True)
    ]
    emit_json({"model": name, "path": str(path), "turns": turns})


def _say_how_to_go_on() -> None:
    from sus_local.cli.output import note

    convert = "sus-local convert SUSTech/SUS-Chat-34B -q Q4_K_M"
    if shutil.which("sus-local") is None and sys.prefix != sys.base_prefix:
        note(t("Make it a command:    {command}", command=_activation()))
    note(t("Go on by hand:        {command}", command="sus-local demo --chat"))
    note(t("Get the real model:   {command}", command=convert))
    note(t("And talk to it:       {command}", command="sus-local chat SUS-Chat-34B"))


def _activation() -> str:
    """What makes the programs of this virtual environment commands of the shell."""
    from sus_local.shell import quoted

    folder = Path(sys.prefix)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    if os.name == "nt":
        return quoted(str(folder / "Scripts" / "activate"))
    return f". {quoted(str(folder / 'bin' / 'activate'))}"
