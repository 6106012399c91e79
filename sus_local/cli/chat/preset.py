"""Commands on presets: use one, keep what is in use as one, forget one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sus_local import presets
from sus_local.cli.chat.keep import bring_back
from sus_local.cli.model_name import free_for_preset, named_model
from sus_local.cli.presets import preset_lines
from sus_local.cli.text import t
from sus_local.errors import RequestError

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue

PRESET_VERBS = ("save", "rm")
"""What may stand before a name."""


def preset(dialogue: Dialogue, argument: str) -> None:
    """List the presets, or do what stands after the name of the command."""
    verb, _, name = argument.partition(" ")
    if not argument:
        _list(dialogue)
    elif verb not in PRESET_VERBS:
        _use(dialogue, argument)
    elif not name.strip():
        raise RequestError(t("which preset?"), hint=f"/preset {verb} NAME")
    elif verb == "save":
        _save(dialogue, name.strip())
    else:
        _remove(dialogue, name.strip())


def _list(dialogue: Dialogue) -> None:
    lines = preset_lines()
    hint = t("/preset NAME uses one, /preset save NAME keeps what is in use")
    dialogue.ui.say("\n".join([*lines, hint]))


def _use(dialogue: Dialogue, name: str) -> None:
    """Its model, parameters and system message, for the conversation in use."""
    found, session = presets.find(name), dialogue.session
    model, path = named_model(found.model)
    if not session.uses(path) or found.n_ctx != session.n_ctx_wanted:
        unanswered = session.change_model(model, path, n_ctx=found.n_ctx)
        bring_back(dialogue, unanswered)
    session.sampling = dict(found.sampling)
    if found.system != session.conversation.system:
        session.change_system(found.system)
    dialogue.ui.say(f"{name}: {session.title_of_model}")


def _save(dialogue: Dialogue, name: str) -> None:
    session = dialogue.session
    free_for_preset(name)
    kept = presets.Preset(
        session.name, session.conversation.system, dict(session.sampling), session.n_ctx_wanted
    )

    def write() -> None:
        path = presets.save(name, kept)
        dialogue.ui.say(t("saved to {path}", path=path))
        dialogue.ui.say(t("it begins with: {command}", command=f"sus-local chat {name}"))

    if presets.exists(name):
        dialogue.ui.confirm(t("There is a preset {name}. Write over it?", name=name), write)
    else:
        write()


def _remove(dialogue: Dialogue, name: str) -> None:
    def remove() -> None:
        presets.remove(name)
        dialogue.ui.say(t("Deleted."))

    if presets.exists(name):
        dialogue.ui.confirm(t("Delete the preset {name}?", name=name), remove)
    else:
        remove()
