"""What of a conversation is sent, and what leaves when the context is full."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sus_local import LLM, Conversation, Result, SamplingParams, Turn
from sus_local.backend.fake import Fake
from sus_local.errors import ContextOverflowError
from sus_local.window import Window
from tests.test_conversation import SHORT, model, num_turn_tokens, users
from tests.test_llm import fake_of


def history(llm: LLM, chat: Conversation, turns: tuple[Turn, ...], dropped: int) -> list[int]:
    """The tokens of the turns as the model sees them."""
    return list(Window(llm, chat.overflow, chat.system).history(turns, dropped))


def fill(chat: Conversation, num_turns: int = 40, length: int = 60) -> list[Result]:
    return [chat.ask(f"{number:02d} " + "x" * length) for number in range(num_turns)]


def test_whole_oldest_turns_leave_several_at_a_time_and_the_caller_is_told() -> None:
    with model(n_ctx=1024) as llm:
        chat = llm.conversation(system="Be brief.")
        results = fill(chat)
        told = [result.notices for result in results if result.notices]
        dropped = [turn.num_dropped_turns for turn in chat.turns]
    assert 3 <= len(told) <= 12
    assert dropped == sorted(dropped)
    steps = {after - before for before, after in pairwise(dropped)} - {0}
    assert min(steps) > 1
    gone = next(num for num in dropped if num)
    turn = num_turn_tokens("00 " + "x" * 60)
    assert told[0] == (f"the {gone} oldest turns ({gone * turn} tokens) left the context",)


def test_notices_come_before_the_answer() -> None:
    with model(n_ctx=1024) as llm:
        chat = llm.conversation()
        for _ in range(40):
            pieces = list(chat.send("x" * 60))
            if pieces[-1].result is not None and pieces[-1].result.notices:
                break
        assert pieces[0].notices == pieces[-1].result.notices  # type: ignore[union-attr]
        assert pieces[0].text == ""


def test_no_kept_token_is_computed_again_after_a_shift() -> None:
    with model(n_ctx=1024) as llm:
        chat = llm.conversation(system="Be brief.")
        chat.ask("begin")
        for number in range(40):
            before = fake_of(llm).num_decoded_tokens
            result = chat.ask(f"{number:02d} " + "x" * 60)
            computed = fake_of(llm).num_decoded_tokens - before
            # The turn's own tokens, and the end token of the one before it.
            assert computed <= num_turn_tokens("00 " + "x" * 60)
            assert result.usage.prefilled_tokens <= num_turn_tokens("00 " + "x" * 60)
        assert chat.context.num_dropped_turns > 0


def record_shifts(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first position that each shift moves something to."""
    fake, moved_to = fake_of(llm), list[int]()
    shift = fake.shift

    def record(sequence_id: int, start: int, delta: int) -> None:
        moved_to.append(start + delta)
        shift(sequence_id, start, delta)

    monkeypatch.setattr(fake, "shift", record)
    return moved_to


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_the_first_tokens_of_the_context_keep_their_kv(
    system: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model(n_ctx=1024) as llm:
        moved_to = record_shifts(llm, monkeypatch)
        fill(llm.conversation(system=system))
        assert len(moved_to) > 2
        assert min(moved_to) == len(llm.tokenize("Be brief.\n\n" if system else "")) + 4


def test_the_system_text_never_leaves() -> None:
    with model(n_ctx=1024) as llm:
        chat = llm.conversation(system="Be brief.")
        fill(chat)
        head = llm.tokenize("Be brief.\n\n")
        turns = chat.turns
        kept = history(llm, chat, turns, turns[-1].num_dropped_turns)
        assert kept[: len(head)] == head
        assert llm.detokenize(kept[len(head) :]).startswith("### Human: ")


def test_another_system_text_holds_where_turns_have_left() -> None:
    with model(n_ctx=512) as llm:
        chat = llm.conversation(system="Be brief.")
        fill(chat)
        chat.change_system("Answer in one word, please.")
        for number in range(12):
            chat.ask(f"{number:02d} " + "x" * 60)
            assert chat.context.num_tokens <= 512
        turns = chat.turns
        kept = llm.detokenize(history(llm, chat, turns, turns[-1].num_dropped_turns))
        assert kept.startswith("Answer in one word, please.\n\n### Human: ")


def test_the_context_is_never_exceeded_and_its_state_is_told() -> None:
    with model(n_ctx=512) as llm:
        chat = llm.conversation()
        for number in range(30):
            usage = chat.ask("x" * (number * 7 % 150)).usage
            assert usage.prompt_tokens + usage.completion_tokens <= 512
            assert chat.context.num_tokens <= 512
        assert chat.context.n_ctx == 512


def test_rebuilding_computes_what_stays_anew_and_exactly() -> None:
    hashed = Fake(n_ctx=1024, end_every=0)
    with LLM(hashed) as llm:
        chat = llm.conversation(system="Be brief.", overflow="rebuild")
        for number in range(30):
            result = chat.ask(chr(65 + number) + "x" * 60, sampling=SHORT)
            if result.notices:
                break
        last = chat.turns[-1]
        turns = chat.turns[:-1]
        prompt = [
            *history(llm, chat, turns, last.num_dropped_turns),
            *last.prompt_token_ids,
        ]
    assert result.usage.prompt_tokens == len(prompt)
    assert result.usage.cached_tokens == len("Be brief.\n\n### Human: ")
    with LLM(Fake(n_ctx=1024, end_every=0)) as fresh:
        assert fresh.generate(prompt, sampling=SHORT).token_ids == result.token_ids


def test_without_a_policy_the_message_is_refused_with_both_numbers() -> None:
    with model(n_ctx=512) as llm:
        chat = llm.conversation(overflow="error")
        with pytest.raises(ContextOverflowError) as caught:
            fill(chat)
        assert caught.value.num_tokens <= 512 == caught.value.n_ctx
        num_turns = len(chat.turns)
        assert num_turns >= 2
        assert chat.context.num_dropped_turns == 0


@pytest.mark.parametrize("overflow", ["shift", "rebuild", "error"])
def test_a_message_too_long_alone_is_refused_with_both_numbers(overflow: Any) -> None:
    with model(n_ctx=512) as llm:
        chat = llm.conversation(system="Be brief.", overflow=overflow)
        with pytest.raises(ContextOverflowError) as caught:
            chat.ask("x" * 600)
        assert caught.value.num_tokens > 600
        assert caught.value.n_ctx == 512
        chat.ask("short")
        with pytest.raises(ContextOverflowError):
            chat.ask("x" * 600)
        assert users(chat) == ["short"]


def test_a_long_message_may_take_the_place_of_all_turns() -> None:
    with model(n_ctx=512) as llm:
        chat = llm.conversation(system="Be brief.")
        fill(chat, 4)
        result = chat.ask("x" * 430)
        assert result.notices
        assert chat.context.num_dropped_turns == 4
        assert result.usage.cached_tokens >= len("Be brief.\n\n")


def test_an_answer_that_fills_the_context_goes_on_without_the_oldest_turns() -> None:
    with model("y" * 300, n_ctx=512) as llm:
        chat = llm.conversation()
        assert chat.ask("one", sampling=SamplingParams(max_tokens=100)).finish_reason == "length"
        result = chat.ask("two")
        assert (result.text, result.finish_reason) == ("y" * 300, "stop")


def test_regenerating_after_a_shift_prefills_nothing_but_the_last_token() -> None:
    with model(n_ctx=1024) as llm:
        chat = llm.conversation(system="Be brief.")
        for number in range(40):
            if chat.ask(f"{number:02d} " + "x" * 60).notices:
                break
        assert chat.regenerate().result.usage.prefilled_tokens == 1


def test_a_shifted_conversation_goes_on_from_its_saved_turns() -> None:
    with model(n_ctx=1024) as llm:
        chat = llm.conversation(system="Be brief.")
        fill(chat, 30)
        turns = chat.tree
        resumed = llm.conversation(system="Be brief.", turns=turns)
        usage = resumed.ask("q").usage
        assert usage.prefilled_tokens <= num_turn_tokens("q")


def endless(num_turns: int) -> tuple[LLM, Conversation]:
    """A model that never ends an answer, and a conversation with short turns so far."""
    llm = LLM(Fake(n_ctx=1000, end_every=0, n_batch=64))
    chat = llm.conversation()
    for number in range(num_turns):
        chat.ask(f"m{number % 10}", sampling=SamplingParams(temperature=0, max_tokens=6))
    return llm, chat


def test_every_shift_within_one_answer_moves_what_is_there() -> None:
    llm, chat = endless(19)
    with llm:
        before = fake_of(llm).num_decoded_tokens
        result = chat.ask("long", sampling=SamplingParams(temperature=0))
        computed = fake_of(llm).num_decoded_tokens - before
        assert len(result.notices) == 2
        assert computed <= num_turn_tokens("long", "") + len(result.token_ids)


def test_the_first_tokens_keep_their_kv_where_an_answer_has_the_context_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    llm, chat = endless(19)
    with llm:
        moved_to = record_shifts(llm, monkeypatch)
        chat.ask("long", sampling=SamplingParams(temperature=0))
        assert chat.context.num_dropped_turns == 19
        assert moved_to == [4, 4]


def test_what_follows_an_answer_within_which_turns_left_twice_is_all_that_is_computed() -> None:
    llm, chat = endless(19)
    with llm:
        result = chat.ask("long", sampling=SamplingParams(temperature=0, max_tokens=800))
        assert (len(result.notices), chat.context.num_dropped_turns) == (2, 19)
        for _ in range(2):
            # The last token of the answer before has no KV yet.
            usage = chat.ask("m", sampling=SHORT).usage
            assert usage.prefilled_tokens <= num_turn_tokens("m", "") + 1
        assert chat.context.num_dropped_turns == 19
        resumed = llm.conversation(turns=chat.tree)
        usage = resumed.ask("m", sampling=SHORT).usage
        assert usage.prefilled_tokens <= num_turn_tokens("m", "") + 1


def test_an_answer_goes_on_in_a_shifted_context_whoever_waits() -> None:
    llm, chat = endless(19)
    with llm:
        stream = chat.send("long", sampling=SamplingParams(temperature=0))
        next(stream)
        llm._loop.engine.scheduler._max_waiting = 0
        assert len(stream.result.notices) == 2
