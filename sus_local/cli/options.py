"""Options that several commands share, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from sus_local.errors import GrammarError, from_os_error

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_SAMPLING = (
    click.option("--temp", "temperature", type=float, help="Temperature; 0 is greedy."),
    click.option("--top-k", type=int, help="Keep the k most likely tokens; 0 keeps all."),
    click.option("--top-p", type=float, help="Keep the most likely tokens up to this probability."),
    click.option("--min-p", type=float, help="Drop tokens below this share of the most likely."),
    click.option("--typical-p", type=float, help="Locally typical sampling; 1 is off."),
    click.option(
        "--repeat-penalty", "repetition_penalty", type=float, help="Penalty on repeated tokens."
    ),
    click.option("--frequency-penalty", type=float, help="Penalty for each occurrence."),
    click.option("--presence-penalty", type=float, help="Penalty for having occurred."),
    click.option("--dry-multiplier", type=float, help="Strength of the DRY sampler; 0 is off."),
    click.option("--xtc-probability", type=float, help="Chance of the XTC sampler; 0 is off."),
    click.option("--mirostat", type=click.Choice(["0", "1", "2"]), help="Mirostat version."),
    click.option("--seed", type=int, help="For a repeatable answer."),
    click.option("-n", "--max-tokens", type=int, help="The most tokens to generate."),
    click.option("--stop", multiple=True, help="Text that ends the answer; may be repeated."),
    click.option("--schema", type=_FILE, help="JSON schema that the answer has to obey."),
    click.option("--grammar", type=_FILE, help="GBNF grammar that the answer has to follow."),
)

_LOADING = (
    click.option("-c", "--n-ctx", type=int, help="Context length in tokens."),
    click.option("-ngl", "--n-gpu-layers", help="Layers on the GPU: auto, all or a number."),
    click.option("-t", "--n-threads", type=int, help="Threads that compute."),
    click.option(
        "--kv-type",
        type=click.Choice(["f16", "q8_0", "q4_0"]),
        help="Type of the KV cache.",
    ),
)

ALL_LAYERS = 9999
"""More layers than any model has; what fits of them is used."""

LOADING_NAMES = ("n_ctx", "n_gpu_layers", "n_threads", "kv_type")
_RULES = {"grammar", "json_schema"}
"""An answer obeys one of them."""

SAMPLING_NAMES = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty"),
    *("frequency_penalty", "presence_penalty", "dry_multiplier", "xtc_probability", "mirostat"),
    *("seed", "max_tokens", "stop", "schema", "grammar"),
)


def sampling_options(command: F) -> F:
    """Give a command the sampling options."""
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


def loading_options(command: F) -> F:
    """Give a command the options of how a model is loaded."""
    for option in reversed(_LOADING):
        command = option(command)
    return command


def sampling_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those sampling parameters that the user gave, by the names of ``SamplingParams``.

    Raises:
        GrammarError: The schema is no JSON.
        StorageError: The schema or grammar cannot be read.
    """
    given = {name: options[name] for name in SAMPLING_NAMES if options.get(name) not in (None, ())}
    if "mirostat" in given:
        given["mirostat"] = int(given["mirostat"])
    if "schema" in given:
        given["json_schema"] = read_schema(given.pop("schema"))
    if "grammar" in given:
        given["grammar"] = _read(given["grammar"])
    return given


def before_preset(given: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling parameters that the user gave, and what a preset sets beside them.

    >>> before_preset({"grammar": "root ::= [0-9]"}, {"json_schema": {}, "seed": 7})
    {'seed': 7, 'grammar': 'root ::= [0-9]'}
    """
    ruled = not _RULES.isdisjoint(given)
    kept = {name: preset[name] for name in preset if not (ruled and name in _RULES)}
    return {**kept, **given}


def loading_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for ``load`` that the user gave."""
    given = {name: options[name] for name in LOADING_NAMES if options.get(name) is not None}
    layers = given.get("n_gpu_layers", "auto")
    if layers == "all":
        given["n_gpu_layers"] = ALL_LAYERS
    elif layers != "auto":
        given["n_gpu_layers"] = _number_of_layers(layers)
    return given


def _number_of_layers(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not auto, all or a number", param_hint="-ngl"
        ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GrammarError(
            f"{path} is not text", hint="write it as UTF-8", path=str(path)
        ) from error
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error


def read_schema(path: Path) -> Any:
    """The JSON schema in a file.

    Raises:
        GrammarError: It is no JSON.
        StorageError: It cannot be read.
    """
    import json

    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"{path} is not JSON: {error}", path=str(path)) from error
