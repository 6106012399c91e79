"""Conversations: token-exact history, branches, and what happens when the context is full."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from sus_local import LLM, Conversation, Result, SamplingParams, Turn
from sus_local.backend.fake import Fake
from sus_local.errors import (
    ContextOverflowError,
    GrammarError,
    MessagesError,
    RequestError,
    SamplingError,
)
from tests.test_llm import Gate, fake_of
from tests.test_prompt import CUT, Wide

SHORT = SamplingParams(temperature=0, max_tokens=8)


@contextmanager
def model(answer: str = "Hello!", **options: Any) -> Iterator[LLM]:
    options = {"n_ctx": 4096, **options}
    with LLM(Fake(script=lambda prompt: answer.encode(), **options)) as llm:
        yield llm


def num_turn_tokens(user: str, answer: str = "Hello!") -> int:
    """Tokens of a whole turn, its end token included."""
    return len(f"### Human: {user}\n\n### Assistant: {answer}".encode()) + 1


def users(chat: Conversation) -> list[str]:
    return [turn.user for turn in chat.turns]


# History


def test_a_conversation_remembers_both_sides() -> None:
    with model() as llm:
        chat = llm.conversation(system="Be brief.")
        chat.ask("one")
        chat.ask("two")
        assert chat.messages == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "Hello!"},
        ]


def test_the_prompt_is_that_of_the_messages() -> None:
    with model() as llm:
        chat = llm.conversation(system="Be brief.")
        chat.ask("one")
        sent = chat.ask("two").usage.prompt_tokens
        assert sent == len(llm.encode(chat.messages[:-1]))


def test_each_turn_prefills_its_own_tokens_only() -> None:
    with model() as llm:
        chat = llm.conversation()
        for number in range(6):
            usage = chat.ask("一二三").usage
            # The end token of the last answer has no KV, the last prompt token is computed.
            known = number * num_turn_tokens("一二三") - 1 if number else 0
            assert usage.cached_tokens == known


def test_two_conversations_in_alternation_prefill_new_tokens_only() -> None:
    with model() as llm:
        chats = [llm.conversation(system=f"You are {name}.") for name in ("A", "B", "C")]
        for number in range(4):
            for chat in chats:
                usage = chat.ask("q").usage
                new = num_turn_tokens("q") - len("Hello!")
                assert number == 0 or usage.prefilled_tokens == new


def test_an_answer_cut_within_a_character_keeps_its_whole_characters() -> None:
    with model("中文") as llm:
        chat = llm.conversation()
        chat.ask("q", sampling=SamplingParams(max_tokens=4))
        assert chat.turns[0].text == llm.detokenize(chat.turns[0].token_ids) == "中"
        usage = chat.ask("q").usage
        # Of four tokens of the answer, the last was not computed.
        assert usage.cached_tokens == len("### Human: q\n\n### Assistant: ") + 3


def test_the_answer_can_be_read_while_the_turns_are_asked_for() -> None:
    with model("x" * 50) as llm:
        chat = llm.conversation()
        stream = chat.send("q")
        first = next(stream)
        assert [turn.text for turn in chat.turns] == ["x" * 50]
        assert first.text + "".join(piece.text for piece in stream) == "x" * 50


def test_a_new_message_waits_for_the_answer_on_its_way() -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.send("one")
        chat.ask("two")
        assert users(chat) == ["one", "two"]


def test_turns_may_be_asked_for_from_many_threads() -> None:
    with model("x" * 50) as llm:
        chat = llm.conversation()
        gate = Gate(llm)
        chat.send("q")
        assert gate.begun.wait(20)
        seen: list[tuple[Turn, ...]] = []
        readers = [threading.Thread(target=lambda: seen.append(chat.turns)) for _ in range(6)]
        for reader in readers:
            reader.start()
        gate.open()
        for reader in readers:
            reader.join(20)
        assert [len(turns) for turns in seen] == [1] * 6


def test_a_closed_stream_keeps_what_came() -> None:
    with model("x" * 2000, delay_s=0.001) as llm:
        chat = llm.conversation()
        with chat.send("q") as stream:
            next(piece for piece in stream if piece.text)
        turn = chat.turns[0]
        assert turn.finish_reason == "cancelled"
        assert 0 < len(turn.text) < 2000


def cancel_in_prefill(llm: LLM, chat: Conversation, text: str) -> Result:
    """Send a message and close the stream while its second batch of 32 tokens is computed."""
    fake, length = fake_of(llm), llm._loop.engine.residency
    before = sum(len(sequence.token_ids) for sequence in length.idle)
    decode, begun = fake.decode, threading.Event()

    def stall(slices: Any) -> None:
        if slices[0].position >= before + 32:
            fake._delay_s = 20.0
            begun.set()
        decode(slices)

    fake.decode = stall  # type: ignore[method-assign]
    stream = chat.send(text, sampling=SHORT)
    assert begun.wait(20)
    stream.close()
    fake.decode, fake._delay_s = decode, 0.0  # type: ignore[method-assign]
    return stream.result


@pytest.mark.parametrize("before", [[], ["one"]], ids=["first", "second"])
def test_a_message_cancelled_before_its_answer_is_as_if_never_said(before: list[str]) -> None:
    with model() as llm, model() as untroubled:
        chat, calm = llm.conversation(system="Be brief."), untroubled.conversation("Be brief.")
        for text in before:
            assert chat.ask(text).text == calm.ask(text).text
        messages, state = chat.messages, chat.context
        assert cancel_in_prefill(llm, chat, "x" * 100).token_ids == ()
        assert (chat.messages, chat.context) == (messages, state)

        assert chat.turns[-1].unanswered
        result, expected = chat.ask("three"), calm.ask("three")
        assert result.usage.prompt_tokens == expected.usage.prompt_tokens
        assert users(chat) == [*before, "three"]
        assert "x" * 100 in [turn.user for turn in chat.tree]
        reloaded = llm.conversation(system="Be brief.", turns=chat.tree)
        assert reloaded.messages == chat.messages == calm.messages


def test_a_message_cancelled_before_its_answer_can_be_answered_yet() -> None:
    """What was prefilled of it is not computed again."""
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        cancelled = cancel_in_prefill(llm, chat, "x" * 100)
        result = chat.regenerate().result
        assert result.text == "Hello!"
        assert result.usage.cached_tokens >= cancelled.usage.cached_tokens + 32
        assert users(chat) == ["one", "x" * 100]
        assert chat.undo() is not None
        assert users(chat) == ["one"]


def test_an_unanswered_turn_in_the_middle_of_a_saved_branch_is_passed_over() -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        lost = Turn(2, 1, "lost", (5, 6), (), "", finish_reason="cancelled")
        resumed = llm.conversation(turns=[*chat.tree, lost])
        again = replace(resumed.tree[0], id=3, parent=2, user="two")
        later = llm.conversation(turns=[*resumed.tree, again])
        assert users(later) == ["one", "lost", "two"]
        assert [m["content"] for m in later.messages] == ["one", "Hello!", "two", "Hello!"]
        assert later.ask("three").usage.prompt_tokens == len(llm.encode(later.messages[:-1]))


def test_a_refused_message_leaves_no_turn() -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        with pytest.raises(GrammarError):
            chat.ask("two", sampling=SamplingParams(grammar="invalid"))
        assert users(chat) == ["one"]
        assert chat.ask("three").text == "Hello!"


def test_a_side_question_does_not_enter_the_conversation() -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        title = chat.fork_generate("Give a title.", sampling=SamplingParams(temperature=0))
        assert title.text == "Hello!"
        assert title.usage.cached_tokens == num_turn_tokens("one") - 1
        assert users(chat) == ["one"]
        shared = num_turn_tokens("one") + len("### Human: ")
        assert chat.ask("two").usage.cached_tokens == shared


@pytest.mark.parametrize("wrong", [None, 5, b"hi", ["hi"], {"role": "user", "content": "hi"}])
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    with model() as llm:
        chat = llm.conversation()
        for use in (chat.send, chat.ask, chat.fork_generate):
            with pytest.raises(MessagesError, match=r"the message is .*, expected text"):
                use(wrong)
        assert chat.tree == ()
        if wrong is not None:
            with pytest.raises(MessagesError, match=r"the system text is .*, expected text"):
                llm.conversation(wrong)


def test_a_message_gets_one_answer() -> None:
    with model() as llm:
        chat = llm.conversation()
        for use in (chat.send, chat.ask, chat.fork_generate):
            with pytest.raises(SamplingError, match="n is 3, a message gets one answer"):
                use("one", sampling=SamplingParams(n=3))


def test_what_the_model_sees_of_an_answer_that_a_stop_text_cut_is_its_text() -> None:
    with LLM(Wide()) as llm:
        chat = llm.conversation()
        chat.ask("one", sampling=CUT)
        turn = chat.turns[0]
        assert turn.text == llm.detokenize(turn.token_ids) == "The capital of C"
        sent = chat.ask("two").usage.prompt_tokens
        assert sent == len(llm.encode(chat.messages[:-1]))


# Branches


def test_regenerating_answers_again_beside_the_old_answer() -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        first = chat.turns[-1]
        again = chat.regenerate().result
        assert again.usage.prefilled_tokens == 1
        assert users(chat) == ["one"]
        assert chat.siblings(first) == (first, chat.turns[-1])
        assert first != chat.turns[-1]


def test_editing_branches_off_before_the_turn() -> None:
    with model() as llm:
        chat = llm.conversation()
        for text in ("one", "two", "three"):
            chat.ask(text)
        second = chat.turns[1]
        edited = chat.edit(second, "zwei").result
        assert users(chat) == ["one", "zwei"]
        assert len(chat.tree) == 4
        # The first turn, and "### Human: " of the edited one.
        assert edited.usage.cached_tokens == num_turn_tokens("one") + len("### Human: ")
        assert [t.user for t in chat.siblings(second.id)] == ["two", "zwei"]


def test_switching_leads_to_the_newest_end_of_a_branch() -> None:
    with model() as llm:
        chat = llm.conversation()
        for text in ("one", "two", "three"):
            chat.ask(text)
        second = chat.turns[1]
        chat.edit(second, "zwei").close()
        chat.switch(second)
        assert users(chat) == ["one", "two", "three"]
        usage = chat.ask("four").usage
        assert usage.prefilled_tokens == num_turn_tokens("four") - len("Hello!")


def test_the_newest_end_may_be_on_an_older_branch() -> None:
    with model() as llm:
        chat = llm.conversation()
        for text in ("one", "two"):
            chat.ask(text)
        first, second = chat.turns
        chat.edit(second, "zwei").close()
        chat.switch(second)
        chat.ask("three")
        chat.switch(first)
        assert users(chat) == ["one", "two", "three"]


def test_undo_goes_back_and_keeps_the_turn_in_the_tree() -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        chat.ask("two")
        undone = chat.undo()
        assert undone is not None
        assert undone.user == "two"
        assert users(chat) == ["one"]
        assert len(chat.tree) == 2
        chat.undo()
        assert (chat.undo(), chat.turns, chat.messages) == (None, (), [])


def test_what_is_no_turn_is_refused() -> None:
    with model() as llm:
        chat = llm.conversation()
        for use in (chat.regenerate, lambda: chat.edit(1, "x"), lambda: chat.switch(7)):
            with pytest.raises(RequestError, match="there is no turn yet") as caught:
                use()
            assert caught.value.hint
        with pytest.raises(RequestError) as caught:
            llm.conversation(overflow="drop")  # type: ignore[arg-type]
        assert caught.value.overflow == "drop"


@pytest.mark.parametrize("wrong", [0, 7, "1", [1], None])
def test_a_turn_that_there_is_not_is_told_beside_those_there_are(wrong: Any) -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        chat.undo()
        with pytest.raises(RequestError) as caught:
            chat.edit(wrong, "x")
        message = caught.value.message
        expected = "the branch is before its first turn, 1 are in the tree"
        assert message == (
            f"the conversation has no turn {wrong}" if wrong is not None else expected
        )
        with pytest.raises(RequestError, match=expected):
            chat.regenerate()


def test_a_turn_of_another_conversation_is_refused() -> None:
    with model() as llm:
        one, other = llm.conversation(), llm.conversation()
        one.ask("eins")
        other.ask("uno")
        foreign = other.turns[0]
        for use in (lambda: one.edit(foreign, "x"), lambda: one.switch(foreign)):
            with pytest.raises(RequestError, match="turn 1 is one of another conversation"):
                use()
        with pytest.raises(RequestError, match="turn 1 is one of another conversation"):
            one.siblings(foreign)
        assert users(one) == ["eins"]
        assert len(one.tree) == 1


def test_a_turn_is_known_in_what_it_was_saved_to_and_under_another_system_text() -> None:
    with model() as llm:
        chat = llm.conversation()
        chat.ask("one")
        turn = chat.turns[0]
        chat.change_system("Be brief.")
        assert chat.siblings(turn) == chat.turns
        assert llm.conversation(turns=chat.tree).siblings(turn) == chat.turns


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([5], "a turn of the conversation is int, expected Turn"),
        (
            [Turn(2, 1, "x", (5,), (6,), "x")],
            "turn 2 follows turn 1, which does not come before it",
        ),
        (
            [Turn(2, 2, "x", (5,), (6,), "x")],
            "turn 2 follows turn 2, which does not come before it",
        ),
        (
            [Turn(1, 2, "x", (5,), (6,), "x"), Turn(2, 1, "x", (5,), (6,), "x")],
            "turn 1 follows turn 2, which does not come before it",
        ),
    ],
)
def test_saved_turns_that_are_no_tree_are_refused(turns: Any, said: str) -> None:
    with model() as llm, pytest.raises(RequestError) as caught:
        llm.conversation(turns=turns)
    assert caught.value.message == said


def test_saved_turns_go_on_where_they_were() -> None:
    with model() as llm:
        chat = llm.conversation()
        for text in ("one", "two"):
            chat.ask(text)
        chat.edit(chat.turns[1], "zwei").close()
        resumed = llm.conversation(turns=chat.tree)
        assert users(resumed) == ["one", "zwei"]
        older = llm.conversation(turns=chat.tree, active=chat.tree[1].id)
        assert older.ask("three").usage.prefilled_tokens == num_turn_tokens("three") - 6


# The system text


@pytest.mark.parametrize("system", ["Answer in one word.", None])
@pytest.mark.parametrize("before", ["Be brief.", None])
def test_another_system_text_stands_before_all_that_was_said(
    system: str | None, before: str | None
) -> None:
    with model() as llm:
        chat = llm.conversation(system=before)
        chat.ask("one")
        chat.ask("two")
        _ = chat.regenerate(sampling=SHORT).result
        chat.change_system(system)
        result = chat.ask("three")
        prompt = llm.encode([*chat.messages[:-2], {"role": "user", "content": "three"}])
        assert chat.messages[0]["content"] == (system or "one")
        assert result.usage.prompt_tokens == len(prompt)
        assert users(chat) == ["one", "two", "three"]
        same = 0 if system != before else len(prompt)
        assert result.usage.cached_tokens <= same


@pytest.mark.parametrize(
    ("system", "error"), [("x" * 100_000, ContextOverflowError), (5, MessagesError)]
)
def test_a_system_text_that_is_refused_changes_nothing(system: Any, error: type) -> None:
    with model() as llm:
        chat = llm.conversation(system="Be brief.")
        chat.ask("one")
        before = chat.system, chat.tree, chat.messages
        with pytest.raises(error):
            chat.change_system(system)
        assert (chat.system, chat.tree, chat.messages) == before
        assert chat.ask("two").text == "Hello!"
