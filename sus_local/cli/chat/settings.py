"""``/set``: the sampling parameters, and the few settings that are none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus_local.cli.chat.keep import bring_back
from sus_local.cli.listing import shorten
from sus_local.cli.options import read_schema
from sus_local.cli.text import t
from sus_local.errors import RequestError, SamplingError

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue

_DEFAULT = "default"

SETTABLE: dict[str, type] = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "typical_p": float,
    "repetition_penalty": float,
    "frequency_penalty": float,
    "presence_penalty": float,
    "penalty_last_n": int,
    "dry_multiplier": float,
    "dry_base": float,
    "dry_allowed_length": int,
    "xtc_probability": float,
    "xtc_threshold": float,
    "mirostat": int,
    "mirostat_tau": float,
    "mirostat_eta": float,
    "seed": int,
    "max_tokens": int,
    "stop": str,
}
"""The sampling parameters that ``/set`` takes, and what they are."""

_SHORT = {
    "temp": "temperature",
    "repeat_penalty": "repetition_penalty",
    "repeat_last_n": "penalty_last_n",
    "num_predict": "max_tokens",
    "num_ctx": "n_ctx",
    "format": "schema",
}
"""Names that other programs have for parameters."""


def set_(dialogue: Dialogue, argument: str) -> None:
    """Show or set parameters."""
    if argument.split()[:1] == ["parameter"]:
        argument = argument.removeprefix("parameter").lstrip()
    if not argument:
        dialogue.ui.say("\n".join(f"{name} {_shown(dialogue, name)}" for name in NAMES))
        return
    name, value = _name_and_value(argument)
    name = name.replace("-", "_")
    name = _SHORT.get(name, name)
    if name not in NAMES:
        raise SamplingError(t("there is no parameter {name}", name=name), hint=t("/set shows all"))
    if value:
        _OTHERS.get(name, _set_sampling)(dialogue, name, value)
    dialogue.ui.say(f"{name} {_shown(dialogue, name)}")


def _name_and_value(argument: str) -> tuple[str, str]:
    """What stands before and after the first space or ``=``.

    >>> _name_and_value("seed=7"), _name_and_value("stop a=b"), _name_and_value("seed")
    (('seed', '7'), ('stop', 'a=b'), ('seed', ''))
    """
    name = re.split(r"[\s=]", argument, maxsplit=1)[0]
    return name, argument.removeprefix(name).lstrip().removeprefix("=").lstrip()


def _set_sampling(dialogue: Dialogue, name: str, text: str) -> None:
    _change(dialogue, name, None if text == _DEFAULT else _value(name, text))


def _change(dialogue: Dialogue, name: str, value: Any) -> None:
    """Set a sampling parameter, None to what it is by default; it stays where that is wrong."""
    session = dialogue.session
    before = dict(session.sampling)
    session.sampling.pop(name, None)
    if value is not None:
        session.sampling[name] = value
    try:
        _ = session.params
    except SamplingError:
        session.sampling = before
        raise


def _value(name: str, text: str) -> Any:
    return (text,) if name == "stop" else _number(name, text, SETTABLE[name])


def _number(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        wrong = "{name} is {value}, it has to be a number"
        if kind is int:
            wrong = "{name} is {value}, it has to be a whole number"
        raise SamplingError(t(wrong, name=name, value=text)) from error


def _set_schema(dialogue: Dialogue, _name: str, text: str) -> None:
    """Take a JSON schema from a file; ``json`` lets an answer be any object."""
    schema: Any = None
    if text == "json":
        schema = {"type": "object"}
    elif text != _DEFAULT:
        schema = read_schema(Path(os.path.expanduser(text)))
    _change(dialogue, "json_schema", schema)


def _set_n_ctx(dialogue: Dialogue, name: str, text: str) -> None:
    """Load the model again, with another context."""
    session = dialogue.session
    n_ctx = None if text == _DEFAULT else _number(name, text, int)
    bring_back(dialogue, session.change_model(session.name, session.path, n_ctx=n_ctx))


def _set_figures(dialogue: Dialogue, name: str, text: str) -> None:
    if text not in ("on", "off", _DEFAULT):
        raise RequestError(t("{name} is {value}, it has to be on or off", name=name, value=text))
    dialogue.shows_figures = text != "off"


_OTHERS: dict[str, Callable[[Dialogue, str, str], None]] = {
    "schema": _set_schema,
    "n_ctx": _set_n_ctx,
    "figures": _set_figures,
}

NAMES = (*SETTABLE, *_OTHERS)
"""Everything that ``/set`` takes."""


def _shown(dialogue: Dialogue, name: str) -> str:
    if name == "n_ctx":
        return str(dialogue.session.llm.n_ctx)
    if name == "figures":
        return "on" if dialogue.shows_figures else "off"
    value = getattr(dialogue.session.params, "json_schema" if name == "schema" else name)
    if value is None or value == ():
        return t("(default)")
    return " ".join(map(repr, value)) if isinstance(value, tuple) else shorten(str(value))
