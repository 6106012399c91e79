"""Commands on the model: which there are, another one for the same conversation, what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sus_local import models, template
from sus_local.cli.chat.about import two_columns
from sus_local.cli.chat.keep import bring_back
from sus_local.cli.model_name import DEMO, named_model
from sus_local.cli.models import facts_of
from sus_local.cli.sizes import count, size
from sus_local.cli.table import table_lines
from sus_local.cli.text import t
from sus_local.errors import RequestError
from sus_local.shell import quoted

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue


def model(dialogue: Dialogue, argument: str) -> None:
    """List the models, or go on with another one in the same conversation."""
    if not argument:
        _list(dialogue)
        return
    session = dialogue.session
    name, path = named_model(argument)
    if session.uses(path):
        raise RequestError(t("{model} is the model in use", model=session.title_of_model))
    unanswered = session.change_model(name, path)
    context = session.conversation.context
    full = t("context {percent:.0f}%", percent=100 * context.num_tokens / context.n_ctx)
    dialogue.ui.say(f"{session.title_of_model} · {full}")
    bring_back(dialogue, unanswered)


def _list(dialogue: Dialogue) -> None:
    """The models of the local store, that in use, and the demo."""
    in_use = models.at_path(dialogue.session.path.resolve())
    stored = models.list_models()
    if in_use.path not in [each.path.resolve() for each in stored]:
        stored.insert(0, in_use)
    rows = [_row(facts_of(each), in_use=each.path.resolve() == in_use.path) for each in stored]
    if dialogue.session.name != DEMO:
        rows.append(("", DEMO, "", "", "", ""))
    names = ("name", "type", "size", "parameters", "context")
    lines = table_lines(["", *map(t, names)], rows, right={3, 4, 5})
    hint = t("* marks the model in use; /model NAME goes on with another")
    dialogue.ui.say("\n".join([*lines, hint]))


def _row(facts: dict[str, Any], *, in_use: bool) -> tuple[str, ...]:
    return (
        "*" if in_use else "",
        facts["name"],
        facts.get("type", "?"),
        size(facts["bytes"]),
        count(facts.get("parameters", 0)),
        str(facts.get("n_ctx_train", "?")),
    )


def show(dialogue: Dialogue, _argument: str) -> None:
    """Show what is known of the model in use."""
    session = dialogue.session
    facts = facts_of(models.at_path(session.path))
    context = t(
        "{count} of {n_ctx} tokens",
        count=session.llm.n_ctx,
        n_ctx=facts.get("n_ctx_train") or session.llm.n_ctx,
    )
    prompt = template.HUMAN + "…" + template.ASSISTANT + "…" + template.END_OF_TEXT
    rows = [
        (t("model"), f"{session.llm.name} ({session.path})"),
        (t("architecture"), facts.get("architecture", "?")),
        (t("parameters"), count(facts.get("parameters", 0))),
        (t("type"), facts.get("type", "?")),
        (t("size"), size(facts["bytes"])),
        (t("context"), context),
        (t("KV cache"), session.kv_type),
        (t("from"), facts["source"] or "–"),
        (t("checksums"), t(facts["checksums"])),
        (t("prompt format"), repr(prompt)),
    ]
    more = t("all of it: {command}", command=f"sus-local models show {quoted(session.name)}")
    dialogue.ui.say(two_columns(rows) + "\n" + more)
