"""``sus-local run``: one answer, fit for scripts."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sus_local.cli.completion import complete_model_or_preset
from sus_local.cli.options import (
    before_preset,
    loading_options,
    loading_values,
    sampling_options,
    sampling_values,
)
from sus_local.cli.waiting import Waiting, reading, working
from sus_local.cli.waiting import loading as loading_words

if TYPE_CHECKING:
    from sus_local.stream import Stream
    from sus_local.template import Message


@click.command(
    epilog="""\b
Examples:
  sus-local run demo "What is the capital of China?"
  cat notes.txt | sus-local run SUS-Chat-34B "Summarise:"
  sus-local run SUS-Chat-34B --schema person.json "Invent a person." > person.out.json
"""
)
@click.argument("model", shell_complete=complete_model_or_preset)
@click.argument("prompt", required=False)
@click.option("--system", help="System message.")
@click.option(
    "--template",
    type=click.Choice(["chat", "raw"]),
    default="chat",
    show_default=True,
    help="The model's prompt format, or the prompt as it is.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with text and figures.")
@click.option("--stream", is_flag=True, help="With --json: a JSON line for each piece, too.")
@click.option("--stats", is_flag=True, help="Figures on standard error after the answer.")
@sampling_options
@loading_options
def run(
    model: str,
    prompt: str | None,
    system: str | None,
    template: str,
    as_json: bool,
    stream: bool,
    stats: bool,
    **options: Any,
) -> int:
    """Answer one PROMPT with MODEL, and with what comes on standard input.

    The answer goes to standard output and nothing else does. MODEL is a path, a name of `sus-local
    models list`, `demo`, or a preset.
    """
    import sus_local
    from sus_local.cli.model_name import model_file, preset_or_model, remember, shown_name

    if system is not None and template == "raw":
        raise click.UsageError("--system and --template raw exclude each other")
    preset = preset_or_model(model)
    given = sampling_values(options)
    sampling = sus_local.SamplingParams(**before_preset(given, preset.sampling))
    loading = {**preset.loading, **loading_values(options)}
    question = _question(prompt)
    system = preset.system if system is None else system
    path = model_file(preset.model)
    with Waiting() as waiting:

        def on_progress(share: float) -> None:
            waiting.words = lambda: loading_words(shown_name(preset.model), share)

        with sus_local.load(path, on_progress=on_progress, **loading) as llm:
            remember(preset.model, path)
            source = question if template == "raw" else _messages(system, question)
            answer = llm.stream(source, sampling=sampling)
            waiting.words = lambda: reading(*answer.prompt_progress) or working()
            return _deliver(answer, llm.name, waiting, as_json=as_json, stream=stream, stats=stats)


def _messages(system: str | None, question: str) -> list[Message]:
    first: list[Message] = []
    if system:
        first.append({"role": "system", "content": system})
    return [*first, {"role": "user", "content": question}]


def _question(prompt: str | None) -> str:
    """The prompt of the command line and what is piped in, in this order."""
    piped = _piped()
    if not prompt and not piped:
        raise click.UsageError("no prompt: give one, or pipe one in")
    return "\n".join(part for part in (prompt, piped) if part)


def _piped() -> str | None:
    """What comes on standard input, where that is a pipe or a file."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return None
    return sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n")


def _deliver(
    answer: Stream, model: str, waiting: Waiting, *, as_json: bool, stream: bool, stats: bool
) -> int:
    """Write the answer as it comes; gives the exit status."""
    from sus_local.cli.answer import figures, result_json
    from sus_local.cli.failure import INTERRUPTED
    from sus_local.cli.output import emit_json, note

    interrupted = False
    with _closing(answer):
        try:
            _write_pieces(answer, waiting, as_json=as_json, stream=stream)
        except KeyboardInterrupt:
            interrupted = True
            answer.close()
        result = answer.result
    waiting.end()
    if as_json:
        emit_json(result_json(result, model=model))
    elif result.text and not result.text.endswith("\n"):
        print(flush=True)
    if stats:
        note(figures(result.usage, result.timings, finish_reason=result.finish_reason))
    return INTERRUPTED if interrupted else 0


@contextmanager
def _closing(answer: Stream) -> Iterator[None]:
    """Stop generating when the output cannot be written any more."""
    try:
        yield
    except BaseException:
        answer.close()
        raise


def _write_pieces(answer: Stream, waiting: Waiting, *, as_json: bool, stream: bool) -> None:
    from sus_local.cli.output import as_shown, emit_json

    for piece in answer:
        if not piece.text or (as_json and not stream):
            continue
        waiting.end()
        if not as_json:
            print(as_shown(piece.text), end="", flush=True)
        else:
            emit_json({"text": piece.text})
