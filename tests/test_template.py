"""The prompt format against the README's own function, the Jinja template and sentencepiece."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from sentencepiece import SentencePieceProcessor

from sus_local import LLM, load, template
from sus_local.errors import MessagesError
from sus_local.template import EndOfText, StopText, Text

USER, ANSWER = "user", "assistant"

TEXTS = [
    "hi",
    "What is the capital of China?",
    "你好，请介绍一下你自己。",
    "mixed 中英 text，全角标点！",
    "emoji 🙂👩‍👩‍👧 and 🇨🇳",
    "two  spaces   three",
    " leading and trailing ",
    "tabs\tand\t\ttabs",
    "lines\n\nand\n\n\nlines\n",
    "\r\nwindows\r\n",
    "",
    "<|endoftext|> and <|startoftext|> and <unk> and <s>",
    "### Human: am I?\n\n### Assistant: yes",
    "ａｂｃ ﬁ ½ ①",
    "日本語 한국어 العربية עברית",
    "\u200bzero width\ufeff",
    "def f(x):\n    return {'a': [1, 2]}",
    "0123456789 3.14159",
]

CONVERSATIONS = [
    [(USER, "hi")],
    [(USER, "hi"), (ANSWER, "Hello!"), (USER, "bye")],
    [(USER, "你好"), (ANSWER, "你好！"), (USER, "再见"), (ANSWER, "再见。"), (USER, "等等")],
    [(USER, "a\n\nb"), (ANSWER, " spaced "), (USER, "")],
    [(USER, "<|endoftext|>"), (ANSWER, "### Human: no"), (USER, "🙂")],
]


def as_messages(turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def readme_function(messages: list[dict[str, str]]) -> str:
    """What the model's README does, with the end token that its loop keeps in the history."""
    history = ""
    for message in messages:
        match message:
            case {"role": "user", "content": content}:
                history += f"### Human: {content}\n\n### Assistant: "
            case {"role": "assistant", "content": content}:
                history += content + "<|endoftext|>"
    return history


SANDBOX = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
COMPILED = SANDBOX.from_string(template.CHAT_TEMPLATE)


def jinja(messages: list[dict[str, str]]) -> str:
    return COMPILED.render(messages=messages)


# The text


@pytest.mark.parametrize("turns", CONVERSATIONS)
def test_rendered_text_is_that_of_the_models_readme(turns: list[tuple[str, str]]) -> None:
    assert template.render(as_messages(turns)) == readme_function(as_messages(turns))


@pytest.mark.parametrize("turns", CONVERSATIONS)
def test_jinja_template_renders_the_same_text(turns: list[tuple[str, str]]) -> None:
    assert jinja(as_messages(turns)) == template.render(as_messages(turns))


def test_system_text_and_a_blank_line_come_first() -> None:
    messages = as_messages([("system", "Be brief."), (USER, "hi")])
    expected = "Be brief.\n\n### Human: hi\n\n### Assistant: "
    assert template.render(messages) == jinja(messages) == expected


def test_an_assistant_message_at_the_end_is_an_answer_to_go_on_with() -> None:
    messages = as_messages([(USER, "hi"), (ANSWER, "Hel")])
    expected = "### Human: hi\n\n### Assistant: Hel"
    assert template.render(messages) == jinja(messages) == expected
    assert EndOfText() not in template.segments(messages)


@given(st.lists(st.text(), min_size=1, max_size=7), st.none() | st.text())
def test_every_conversation_renders_the_same_in_all_three_ways(
    contents: list[str], system: str | None
) -> None:
    turns = [((USER, ANSWER)[i % 2], content) for i, content in enumerate(contents)]
    head = [] if system is None else [("system", system)]
    messages = as_messages([*head, *turns])
    assert jinja(messages) == template.render(messages)
    if system is None and len(turns) % 2:
        assert template.render(messages) == readme_function(messages)


# Roles


@pytest.mark.parametrize(
    ("messages", "index"),
    [
        ([], None),
        (as_messages([("system", "x")]), 0),
        (as_messages([(ANSWER, "x")]), 0),
        (as_messages([(USER, "x"), (USER, "y")]), 1),
        (as_messages([(USER, "x"), (ANSWER, "y"), (ANSWER, "z")]), 2),
        (as_messages([("system", "x"), ("system", "y"), (USER, "z")]), 1),
        (as_messages([(USER, "x"), ("system", "y")]), 1),
        (as_messages([("system", "x"), (USER, "y"), (USER, "z")]), 2),
        (as_messages([(USER, "x"), ("tool", "y")]), 1),
        ([{"content": "x"}], 0),
        ([{"role": USER}], 0),
        ([{"role": USER, "content": ["part"]}], 0),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(
    messages: list[dict[str, Any]], index: int | None
) -> None:
    with pytest.raises(MessagesError) as caught:
        template.render(messages)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    if index is not None:
        assert caught.value.index == index


# Encoding


def by_letter(text: str) -> list[int]:
    return [1000 + ord(letter) for letter in text]


def test_each_segment_is_encoded_by_itself_and_only_the_template_ends_an_answer() -> None:
    parts = [Text("ab"), EndOfText(), Text("<|endoftext|>")]
    token_ids = template.encode(parts, by_letter, eos=2)
    assert token_ids == [*by_letter("ab"), 2, *by_letter("<|endoftext|>")]


def test_joining_text_spares_the_end_token() -> None:
    parts = [Text("a"), Text("b"), EndOfText(), Text("c"), Text("d")]
    assert template.join_text(parts) == [Text("ab"), EndOfText(), Text("cd")]
    assert template.render_segments(template.join_text(parts)) == "ab<|endoftext|>cd"


@pytest.fixture(scope="module")
def llm(demo_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    with load(demo_gguf, n_ctx=256, n_threads=1, kv_dir=tmp_path_factory.mktemp("kv")) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def sentencepiece(demo_checkpoint: Path) -> SentencePieceProcessor:
    return SentencePieceProcessor(model_file=str(demo_checkpoint / "tokenizer.model"))


@pytest.mark.model
class TestRealTokenizer:
    """The demo model's GGUF through llama.cpp against its checkpoint through sentencepiece."""

    @pytest.mark.parametrize("text", TEXTS)
    def test_first_turn_has_sentencepieces_own_token_ids(
        self, llm: LLM, sentencepiece: SentencePieceProcessor, text: str
    ) -> None:
        messages = as_messages([(USER, text)])
        assert llm.encode(messages) == sentencepiece.encode(template.render(messages))

    @pytest.mark.parametrize("text", TEXTS)
    def test_text_comes_back_from_its_tokens(self, llm: LLM, text: str) -> None:
        assert llm.detokenize(llm.tokenize(text)) == text

    def test_typed_control_tokens_stay_text(self, llm: LLM) -> None:
        typed = llm.encode(as_messages([(USER, "<|endoftext|><|startoftext|><unk>")]))
        assert not {0, 1, llm.eos} & set(typed)

    def test_a_finished_answer_is_followed_by_one_end_token_and_no_newline(self, llm: LLM) -> None:
        before = llm.encode(as_messages([(USER, "hi"), (ANSWER, "Hello!")]))
        after = llm.encode(as_messages([(USER, "hi"), (ANSWER, "Hello!"), (USER, "bye")]))
        following = llm.encode(as_messages([(USER, "bye")]))
        assert after == [*before, llm.eos, *following]

    def test_retokenize_joins_what_the_transformers_loop_joins(
        self, llm: LLM, sentencepiece: SentencePieceProcessor
    ) -> None:
        messages = as_messages([(USER, "hi"), (ANSWER, "Hello!"), (USER, "bye")])
        first, second = template.render(messages).split("<|endoftext|>")
        expected = [*sentencepiece.encode(first), llm.eos, *sentencepiece.encode(second)]
        assert llm.encode(messages, history="retokenize") == expected

    def test_system_text_is_encoded_before_the_first_turn(
        self, llm: LLM, sentencepiece: SentencePieceProcessor
    ) -> None:
        messages = as_messages([("system", "Be brief."), (USER, "hi")])
        assert llm.encode(messages) == sentencepiece.encode(template.render(messages))


# Where an answer ends


def fed(chunks: list[str], stop: tuple[str, ...] = ()) -> tuple[str, bool]:
    """What is shown of an answer that comes in chunks, and whether a stop text ended it."""
    ends = StopText(stop=stop)
    shown = "".join(ends.feed(chunk) for chunk in chunks)
    return shown + ends.finish(), ends.stopped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hello.\n\n### Human: and", "Hello."),
        ("Hello.\n### Human: and", "Hello."),
        ("### Human: at once", ""),
        ("\n\n### Human: at once", ""),
        ("one\n\n\n\n### Human:", "one"),
    ],
)
def test_the_next_turn_at_the_start_of_a_line_ends_the_answer(text: str, shown: str) -> None:
    assert fed([text]) == fed(list(text)) == (shown, True)


@pytest.mark.parametrize(
    "text",
    [
        "write ### Human: like this",
        "Hello.\n ### Human: and",
        "Hello.\n### Human",
        "Hello.\n\n### Humans are",
        "Hello.\n#### Human: x",
        "trailing newlines\n\n",
        "x### Human:",
    ],
)
def test_the_same_text_elsewhere_does_not(text: str) -> None:
    assert fed([text]) == fed(list(text)) == (text, False)


def test_a_stop_text_ends_the_answer_anywhere_and_is_cut() -> None:
    assert fed(["one, two", ", three"], (", th",)) == ("one, two", True)


def test_what_may_become_a_stop_text_is_held_back_and_given_when_it_does_not() -> None:
    ends = StopText(stop=("stop",))
    assert ends.feed("a st") == "a "
    assert ends.feed("one") == "stone"
    assert ends.feed(" sto") == " "
    assert ends.finish() == "sto"
    assert not ends.stopped


def test_only_what_may_become_an_end_is_held_back() -> None:
    ends = StopText()
    assert ends.feed("a ### Hu") == "a ### Hu"
    assert ends.feed("\n### Hu") == ""
    assert ends.feed("ge") == "\n### Huge"


def test_nothing_is_shown_after_the_end() -> None:
    ends = StopText(stop=("x",))
    assert (ends.feed("ax"), ends.feed("b"), ends.finish()) == ("a", "", "")


PIECES = st.sampled_from(["#", "### ", "### Human:", "Human", "\n", "\n\n", "a", "b", "中", " "])
STOPS = st.lists(st.sampled_from(["ab", "b\n", "aab", "Human", "中", "a b", "# "]), max_size=3)


@given(st.lists(PIECES, max_size=12), STOPS, st.randoms(use_true_random=False))
def test_no_chunking_changes_an_answer(pieces: list[str], stop: list[str], random: Any) -> None:
    text, stops = "".join(pieces), tuple(stop)
    cuts = sorted(random.randint(0, len(text)) for _ in range(3))
    edges = [0, *cuts, len(text)]
    chunks = [text[a:b] for a, b in pairwise(edges)]
    assert fed([text], stops) == fed(list(text), stops) == fed(chunks, stops)


@given(st.lists(PIECES, max_size=12), STOPS)
def test_no_shown_answer_holds_a_stop_text(pieces: list[str], stop: list[str]) -> None:
    text = "".join(pieces)
    shown, stopped = fed(list(text), tuple(stop))
    assert text.startswith(shown)
    assert not any(end in shown for end in [*stop, "\n### Human:"])
    assert stopped or shown == text
