"""The SUS-Chat prompt format: messages → segments → token ids, and where an answer ends.

One turn is ``### Human: {content}\\n\\n### Assistant: `` with its trailing space, the answer, and
the end-of-text token; the next turn follows directly. That is what the loop in the model's README
makes: it encodes without special tokens and keeps the end token in the history
(https://huggingface.co/SUSTech/SUS-Chat-34B). The format has no system message; here its text and
a blank line stand before the first turn.

A prompt is a list of segments, each encoded by itself: plain text, which never becomes a control
token, whatever a user types, or the control token that ends an answer. The borders lie where the
model's own writing began and ended, so that a history encodes to the tokens that are in the KV
cache.

>>> render([{"role": "user", "content": "hi"}])
'### Human: hi\\n\\n### Assistant: '
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sus_local.errors import MessagesError

END_OF_TEXT = "<|endoftext|>"
"""The text of the control token that ends an answer."""

HUMAN = "### Human: "
ASSISTANT = "\n\n### Assistant: "
SYSTEM_END = "\n\n"

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}"
    "{{ message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'user' -%}"
    "{{ '### Human: ' + message['content'] + '\\n\\n### Assistant: ' }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{ message['content'] + ('' if loop.last else '<|endoftext|>') }}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
"""The same format as a Jinja template, for the GGUF file: it renders what :func:`render` does."""

STOP_LINES = ("### Human:",)
"""Texts that end an answer where they begin a line that the model writes by itself."""

Role = Literal["system", "user", "assistant"]
History = Literal["exact", "retokenize"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text: encoded without control tokens."""

    text: str


@dataclass(frozen=True, slots=True)
class EndOfText:
    """The control token that ends an answer."""


Segment = Text | EndOfText
Message = Mapping[str, str]


def check_messages(messages: Sequence[Message]) -> None:
    """Refuse what is no conversation in this format.

    An optional system message comes first; then user and assistant alternate, beginning with the
    user. A last message of the assistant is the beginning of the answer, to be continued.

    Raises:
        MessagesError: With the index of the first message that breaks the rule.
    """
    if not messages:
        raise MessagesError("there are no messages", hint="give at least one user message")
    for index, message in enumerate(messages):
        _check_fields(index, message)
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    first = len(roles) - len(turns)
    if not turns:
        raise MessagesError(
            "there is only a system message", hint="add a user message after it", index=0
        )
    for offset, role in enumerate(turns):
        expected = "user" if offset % 2 == 0 else "assistant"
        if role != expected:
            raise MessagesError(
                f"message {first + offset} has the role {role!r}, expected {expected!r}",
                hint="user and assistant alternate; one system message may come first",
                index=first + offset,
            )


def _check_fields(index: int, message: Message) -> None:
    if not isinstance(message, Mapping):
        raise MessagesError(
            f"message {index} is {type(message).__name__}, expected a role and a content",
            hint="give messages as {'role': 'user', 'content': '…'}",
            index=index,
        )
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "user", "assistant"):
        raise MessagesError(
            f"message {index} has the role {role!r}",
            hint="the roles are system, user and assistant",
            index=index,
        )
    if not isinstance(content, str):
        raise MessagesError(
            f"the content of message {index} is {type(content).__name__}, expected text",
            hint="give the content as one string",
            index=index,
        )


def segments(messages: Iterable[Message]) -> list[Segment]:
    """The prompt of a conversation, ready for the next answer.

    >>> segments([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hel"}])
    [Text(text='### Human: hi\\n\\n### Assistant: '), Text(text='Hel')]

    Raises:
        MessagesError: See :func:`check_messages`.
    """
    if not isinstance(messages, Iterable):
        kind = type(messages).__name__
        raise MessagesError(
            f"the messages are {kind}, expected a list",
            hint="give messages as {'role': 'user', 'content': '…'}",
        )
    messages = list(messages)
    check_messages(messages)
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    turns = messages[1:] if system is not None else messages
    parts: list[Segment] = []
    for index, message in enumerate(turns):
        if message["role"] == "user":
            parts.append(user_segment(message["content"], system if index == 0 else None))
        elif index + 1 < len(turns):
            parts += [Text(message["content"]), EndOfText()]
        else:
            parts.append(Text(message["content"]))
    return parts


def user_segment(content: str, system: str | None = None) -> Text:
    """The prompt of one turn; ``system`` goes before the first one.

    >>> user_segment("hi", "Be brief.").text
    'Be brief.\\n\\n### Human: hi\\n\\n### Assistant: '
    """
    head = "" if system is None else system + SYSTEM_END
    return Text(f"{head}{HUMAN}{content}{ASSISTANT}")


def render_segments(parts: Iterable[Segment]) -> str:
    """The text of segments, the control token as its name."""
    return "".join(END_OF_TEXT if isinstance(part, EndOfText) else part.text for part in parts)


def render(messages: Iterable[Message]) -> str:
    """The exact prompt as text.

    >>> render([{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"},
    ...         {"role": "user", "content": "3"}])
    '### Human: 1\\n\\n### Assistant: 2<|endoftext|>### Human: 3\\n\\n### Assistant: '
    """
    return render_segments(segments(messages))


def encode(parts: Iterable[Segment], tokenize: Callable[[str], list[int]], eos: int) -> list[int]:
    """Token ids of segments, each encoded by itself.

    Args:
        tokenize: Plain text → token ids, without control tokens.
        eos: The id of the end-of-text token.
    """
    token_ids: list[int] = []
    for part in parts:
        if isinstance(part, Text):
            token_ids += tokenize(part.text)
        else:
            token_ids.append(eos)
    return token_ids


def join_text(parts: Iterable[Segment]) -> list[Segment]:
    """Segments with neighbouring texts joined, as the transformers loop encodes a history.

    >>> join_text([Text("a "), Text("b"), EndOfText()])
    [Text(text='a b'), EndOfText()]
    """
    joined: list[Segment] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(last, Text):
            joined[-1] = Text(last.text + part.text)
        else:
            joined.append(part)
    return joined


class StopText:
    """Finds where an answer ends in a stream of text, and holds back what may become an end.

    Args:
        stop: Texts that end the answer wherever they occur.
        lines: Texts that end it where they begin a line; newlines before them are cut too.

    >>> ends = StopText(stop=(), lines=("### Human:",))
    >>> ends.feed("Hello.\\n\\n### Hu"), ends.feed("man: and"), ends.stopped
    ('Hello.', '', True)
    """

    def __init__(self, *, stop: Iterable[str] = (), lines: Iterable[str] = STOP_LINES) -> None:
        self._stop = tuple(stop)
        self._lines = tuple(lines)
        self._held = ""
        self._line_start = True
        self.stopped = False

    def feed(self, text: str) -> str:
        """The text that is certain to belong to the answer, now that ``text`` came."""
        if self.stopped or not text:
            return ""
        if not (self._stop or self._held or self._line_start or "\n" in text):
            return text
        pending = self._held + text
        match = self._match(pending)
        if match is not None:
            self.stopped, self._held = True, ""
            return pending[:match]
        cut = len(pending) - self._undecided(pending)
        self._held = pending[cut:]
        self._line_start = self._line_start and cut == 0
        return pending[:cut]

    def finish(self) -> str:
        """What was held back, when the answer ends otherwise."""
        held, self._held = self._held, ""
        return "" if self.stopped else held

    def _match(self, pending: str) -> int | None:
        """Where the end that is complete first begins, so that no chunking changes the answer."""
        ends = [(at + len(text), at) for text in self._stop if (at := pending.find(text)) >= 0]
        for line in self._lines:
            if self._line_start and pending.startswith(line):
                ends.append((len(line), 0))
            elif (at := pending.find("\n" + line)) >= 0:
                ends.append((at + 1 + len(line), len(pending[:at].rstrip("\n"))))
        return min(ends)[1] if ends else None

    def _undecided(self, pending: str) -> int:
        """How many characters at the end of ``pending`` may still become an end."""
        longest = max((_overlap(pending, stop) for stop in self._stop), default=0)
        for line in self._lines:
            overlap = _overlap(pending, line)
            head = pending[: len(pending) - overlap]
            newlines = len(head) - len(head.rstrip("\n"))
            if newlines or (not head and self._line_start):
                longest = max(longest, overlap + newlines)
        return longest


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of ``text`` that is a beginning of ``stop``, not the whole."""
    most = min(len(text), len(stop) - 1)
    if text.find(stop[:1], len(text) - most) < 0:  # at nearly every token of every answer
        return 0
    for length in range(most, 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
