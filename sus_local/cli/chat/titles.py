"""Titles of conversations, made by the model beside the conversation, in its idle time."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from sus_local.cli.listing import shorten
from sus_local.errors import SusLocalError

if TYPE_CHECKING:
    from sus_local.cli.chat.session import Session

MOST_TOKENS = 24
_LONGEST = 48
_ENGLISH = "Give this conversation a title of at most six words. Answer with the title only."
_CHINESE = "请为这段对话起一个不超过十二个字的标题，只回答标题。"
_SENTENCE_END = (".", "!", "?", "。", "！", "？", "，", ",")
_CJK = re.compile(r"[\u3400-\u9fff]")


def make_title(session: Session) -> None:
    """Name the conversation in use, on a thread of its own; what fails is left undone."""
    session.title_is_due = False
    threading.Thread(target=_make_title, args=(session,), daemon=True).start()


def _make_title(session: Session) -> None:
    from sus_local.sampling import SamplingParams

    try:
        conversation, number = session.conversation, session.recorder.number
        first = conversation.turns[0].user
        question = _CHINESE if _CJK.search(first) else _ENGLISH
        greedy = SamplingParams(temperature=0, max_tokens=MOST_TOKENS)
        text = conversation.fork_generate(question, sampling=greedy).text
    except (SusLocalError, IndexError):
        return
    if session.recorder.number == number and not session.title:
        session.title = as_title(text) or shorten(first, _LONGEST)
        session.recorder.retitle(session.title)


def as_title(text: str) -> str:
    """A model's answer as a title; empty if it is none: a sentence, or too long.

    >>> as_title('Title: "Capitals of Asia"'), as_title("I do not know."), as_title("中国的首都")
    ('Capitals of Asia', '', '中国的首都')
    """
    line = text.strip().split("\n")[0].strip()
    line = re.sub(r"^(title|标题)\s*[:：]\s*", "", line, flags=re.IGNORECASE)
    line = line.strip(" \t\"'“”‘’《》*#`")
    return "" if len(line) > _LONGEST or line.endswith(_SENTENCE_END) else line
