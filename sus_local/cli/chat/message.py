"""What of the input is a message: where it ends, and which words leave the chat."""

from __future__ import annotations

LEAVING = ("exit", "quit")
"""Messages that leave, as in other chats; ``/bye`` does as well."""

_QUOTES = '"""'


def is_open(text: str) -> bool:
    """Whether a message in three quotes is not ended yet, so that Enter goes on in it.

    >>> is_open('\"\"\"one'), is_open('\"\"\"one\\ntwo\"\"\"'), is_open("one")
    (True, False, False)
    """
    return text.lstrip().startswith(_QUOTES) and not _is_ended(text.strip())


def leaves(text: str) -> bool:
    """Whether a message is a word that leaves the chat.

    >>> leaves(" exit "), leaves('\"\"\"exit\"\"\"')
    (True, False)
    """
    return text.strip() in LEAVING


def unquoted(text: str) -> str:
    """A message without the space and the three quotes around it; what they hold is no command.

    >>> unquoted('\"\"\"one\\ntwo\"\"\"\\n'), unquoted(" one "), unquoted('\"\"\"/help\"\"\"')
    ('one\\ntwo', 'one', '//help')
    """
    text = text.strip()
    if text.startswith(_QUOTES) and _is_ended(text):
        text = text[len(_QUOTES) : -len(_QUOTES)].strip()
        return "/" + text if text.startswith("/") else text
    return text


def _is_ended(text: str) -> bool:
    return text.endswith(_QUOTES) and len(text) >= 2 * len(_QUOTES)
