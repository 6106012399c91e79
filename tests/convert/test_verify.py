"""The chat-template gate."""

from __future__ import annotations

import pytest

from sus_local.convert.verify import CONVERSATIONS, check_chat_template, render_template
from sus_local.errors import VerificationError
from sus_local.template import CHAT_TEMPLATE, render


def test_the_templates_of_both_sides_agree() -> None:
    check_chat_template(CHAT_TEMPLATE)


@pytest.mark.parametrize(
    "wrong",
    [
        CHAT_TEMPLATE.replace("### Human: ", "### Human:"),
        CHAT_TEMPLATE.replace("<|endoftext|>", ""),
        CHAT_TEMPLATE.replace("'system'", "'nobody'"),
    ],
)
def test_a_template_that_differs_is_stopped(wrong: str) -> None:
    with pytest.raises(VerificationError) as caught:
        check_chat_template(wrong)
    assert caught.value.expected != caught.value.found


def test_content_is_never_run_as_a_template() -> None:
    messages = CONVERSATIONS[-1]
    assert "{{ messages }} {% if %}" in render_template(CHAT_TEMPLATE, messages)
    assert render_template(CHAT_TEMPLATE, messages) == render(messages)


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        render_template("{{ messages.__class__.__mro__ }}", CONVERSATIONS[0])
