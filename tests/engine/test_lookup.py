"""Guesses: what they are, and that a right one saves decodes."""

from __future__ import annotations

import pytest

from sus_local.backend.fake import Fake
from sus_local.engine.lookup import Lookup
from sus_local.results import TokenLogprob
from tests.engine.driving import Recorder, answer, make_engine, run, submit

PROMPT = "Say it: the quick brown fox jumps over the lazy dog.\n\n### Assistant: "
QUOTED = b"the quick brown fox jumps over the lazy dog."


def quoting(script: bytes = QUOTED, **options: int) -> Fake:
    return Fake(script=lambda prompt: script, draft_max=15, **options)


def decodes(fake: Fake, text: str = PROMPT, **sampling: object) -> tuple[Recorder, int]:
    """The answer, and how many decodes it took."""
    engine, count, decode = make_engine(fake), 0, fake.decode

    def counted(*arguments: object) -> None:
        nonlocal count
        count += 1
        decode(*arguments)  # type: ignore[arg-type]

    fake.decode = counted  # type: ignore[method-assign]
    return answer(engine, fake.tokenize(text), max_tokens=200, **sampling), count


def test_nothing_is_guessed_of_what_is_new() -> None:
    lookup = Lookup(7)
    assert lookup.guess([1, 2], room=9) == ()
    assert lookup.guess([1, 2, 3, 4, 5], room=9) == ()


def test_the_latest_place_counts() -> None:
    assert Lookup(2).guess([1, 2, 3, 8, 8, 1, 2, 3, 9, 7, 1, 2, 3], room=9) == (9, 7)


def test_what_goes_round_is_guessed_to_go_on_so() -> None:
    assert Lookup(15).guess([1, 2, 1, 2, 1, 2], room=9) == (1, 2, 1)
    assert Lookup(15).guess([5, 5, 5, 5], room=9) == (5, 5, 5)


@pytest.mark.parametrize("room", [-1, 0, 1, 2])
def test_a_guess_is_no_longer_than_there_is_room_for(room: int) -> None:
    assert len(Lookup(7).guess([1, 2, 3, 4, 5, 1, 2, 3], room=room)) == max(room, 0)


def test_guesses_are_long_within_a_quotation() -> None:
    lookup, told = Lookup(15), [1, 2, 3] * 4
    lengths = []
    for _ in range(5):
        lengths.append(len(lookup.guess(told, room=99)))
        lookup.learn(num_guessed=lengths[-1], num_right=lengths[-1])
    assert lengths == [3, 3, 3, 15, 15]
    lookup.learn(num_guessed=15, num_right=14)
    assert len(lookup.guess(told, room=99)) == 3


def test_guesses_that_never_come_true_become_rare() -> None:
    lookup, told = Lookup(7), [1, 2, 3] * 4
    guessed = 0
    for _ in range(200):
        if guess := lookup.guess(told, room=99):
            guessed += 1
            lookup.learn(num_guessed=len(guess), num_right=0)
    assert guessed < 20  # one in 16, and a few before


def test_a_quotation_takes_few_decodes() -> None:
    sink, count = decodes(quoting())
    assert bytes(token - 3 for token in sink.token_ids[:-1]) == QUOTED
    plain, count_plain = decodes(Fake(script=lambda prompt: QUOTED))
    assert plain.token_ids == sink.token_ids
    assert count_plain == 3 + len(QUOTED)  # of the prompt three
    assert count < count_plain / 3


def test_tokens_that_come_true_have_log_probabilities_of_their_own() -> None:
    fake = quoting()
    told: list[TokenLogprob | None] = []
    engine = make_engine(fake)
    _, sink = submit(engine, fake.tokenize(PROMPT), max_tokens=200, logprobs=True)
    take = sink.on_token
    sink.on_token = lambda token, logprob: told.append(logprob) or take(token, logprob)  # type: ignore
    run(engine)
    assert [logprob and logprob.token_id for logprob in told] == sink.token_ids


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 20])
def test_an_answer_ends_where_it_may_within_a_guess(most: int) -> None:
    fake = quoting()
    engine = make_engine(fake)
    _, sink = submit(engine, fake.tokenize(PROMPT), max_tokens=most)
    run(engine)
    assert sink.finish is not None
    assert sink.finish.finish_reason == "length"
    assert bytes(token - 3 for token in sink.token_ids) == QUOTED[:most]


def test_an_answer_that_obeys_a_grammar_is_not_guessed() -> None:
    _, count = decodes(quoting(), grammar='root ::= "x"')
    assert count == 3 + len(QUOTED)


def test_answers_beside_each_other_are_not_guessed() -> None:
    fake = quoting(max_sequences=2)
    engine = make_engine(fake, max_sequences=2)
    sinks = [submit(engine, fake.tokenize(PROMPT), max_tokens=200)[1] for _ in range(2)]
    guesses = []
    guess = engine._guess
    engine._guess = lambda plan: guesses.append((len(plan), guess(plan))) or guesses[-1][1]  # type: ignore
    run(engine)
    assert sinks[0].token_ids == sinks[1].token_ids
    assert all(not guessed for count, guessed in guesses if count > 1)


def test_a_full_context_leaves_no_room_for_guesses() -> None:
    fake = quoting(n_ctx=len(PROMPT) + 12)
    sink, _ = decodes(fake)
    assert sink.finish is not None
    assert sink.finish.finish_reason == "length"
    assert bytes(token - 3 for token in sink.token_ids) == QUOTED[: len(sink.token_ids)]


def test_a_sink_that_fails_within_a_guess_harms_nothing() -> None:
    fake = quoting()
    engine = make_engine(fake)
    _, sink = submit(engine, fake.tokenize(PROMPT), max_tokens=200)
    take = sink.on_token

    def failing(token_id: int, logprob: TokenLogprob | None) -> bool:
        if len(sink.token_ids) == 12:
            raise ValueError("broken")
        return take(token_id, logprob)

    sink.on_token = failing  # type: ignore[method-assign]
    run(engine)
    assert sink.error is not None
    again = answer(engine, fake.tokenize(PROMPT), max_tokens=200)
    assert bytes(token - 3 for token in again.token_ids[:-1]) == QUOTED
