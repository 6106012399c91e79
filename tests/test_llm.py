"""A model that answers: prompts, defaults, cancelling, threads, asyncio, errors, known answers."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from sus_local import LLM, Result, SamplingParams, Stream
from sus_local import sampling as sampling_module
from sus_local.backend.fake import Fake
from sus_local.errors import (
    BackendError,
    ContextOverflowError,
    EngineClosedError,
    GrammarError,
    QueueFullError,
    RequestError,
    SamplingError,
)

HI = [{"role": "user", "content": "hi"}]
GREEDY = SamplingParams(temperature=0)
CANCEL_S = 0.3
WAIT_S = 20.0


@contextmanager
def model(
    script: Callable[[list[int]], bytes] | str | None = None, **options: Any
) -> Iterator[LLM]:
    """A fake model; it says ``script``, or hashes."""
    answer = (lambda prompt: script.encode()) if isinstance(script, str) else script
    options = {"n_ctx": 4096, **options}
    with LLM(Fake(script=answer, **options)) as llm:
        yield llm


def fake_of(llm: LLM) -> Fake:
    backend = llm._backend
    assert isinstance(backend, Fake)
    return backend


class Gate:
    """Holds the decodes of a model until it is opened, and tells when one has begun."""

    def __init__(self, llm: LLM) -> None:
        self.begun = threading.Event()
        self._open = threading.Event()
        fake = fake_of(llm)
        self._decode = fake.decode
        fake.decode = self._hold  # type: ignore[method-assign]

    def open(self) -> None:
        self._open.set()

    def _hold(self, slices: Any) -> None:
        self.begun.set()
        assert self._open.wait(WAIT_S)
        self._decode(slices)


def reply(*answers: str) -> list[dict[str, str]]:
    """A conversation with these answers so far, and one more question."""
    messages = []
    for answer in answers:
        messages += [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]
    return [*messages, {"role": "user", "content": "q"}]


# Defaults


def test_a_model_brings_its_own_sampling_defaults() -> None:
    metadata = {"general.sampling.temp": "0.3", "general.sampling.top_k": "7"}
    with model("ok", metadata=metadata) as llm:
        filled = llm.fill(SamplingParams(top_k=9))
    assert (filled.temperature, filled.top_k, filled.top_p) == (0.3, 9, 0.95)


@pytest.mark.parametrize("wrong", ["abc", "nan", "inf", "-3", ""])
def test_a_default_of_the_file_that_is_out_of_range_is_none(wrong: str) -> None:
    keys = ("temp", "top_k", "top_p", "min_p", "penalty_repeat")
    metadata = {f"general.sampling.{key}": wrong for key in keys}
    with model("ok", metadata=metadata) as llm:
        assert llm.generate([{"role": "user", "content": "hi"}]).text == "ok"


# Answers


def test_max_tokens_end_an_answer_by_length() -> None:
    with model("Hello!") as llm:
        result = llm.generate(HI, sampling=SamplingParams(max_tokens=3))
    assert (result.text, result.finish_reason) == ("Hel", "length")
    assert result.usage.completion_tokens == len(result.token_ids) == 3


def test_an_answer_cut_within_a_character_shows_no_broken_one() -> None:
    with model("中文") as llm:
        for count in range(1, 7):
            result = llm.generate(HI, sampling=SamplingParams(max_tokens=count))
            assert result.text == "中文"[: count // 3]
            assert len(result.token_ids) == count


def test_a_full_context_ends_an_answer_by_length() -> None:
    with model("x" * 500, n_ctx=64) as llm:
        result = llm.generate(HI)
    assert result.finish_reason == "length"
    assert result.usage.prompt_tokens + result.usage.completion_tokens == 64


def test_stop_texts_tokens_and_ignoring_the_end_token() -> None:
    with model("one. two") as llm:
        cut = llm.generate(HI, sampling=SamplingParams(stop=(".",)))
        at_token = llm.generate(HI, sampling=SamplingParams(stop_token_ids=llm.tokenize("t")))
        on = llm.generate(HI, sampling=SamplingParams(ignore_eos=True, max_tokens=12))
    assert (cut.text, cut.finish_reason) == ("one", "stop")
    assert (at_token.text, at_token.finish_reason) == ("one. t", "stop")
    assert (on.text, on.finish_reason, len(on.token_ids)) == ("one. two", "length", 12)


def test_the_same_seed_gives_the_same_answer() -> None:
    with model() as llm:
        once, again, other = (
            llm.generate(HI, sampling=SamplingParams(seed=seed, max_tokens=20))
            for seed in (1, 1, 2)
        )
    assert once.token_ids == again.token_ids != other.token_ids


@pytest.mark.parametrize(
    ("seed", "num_answers", "seeds"),
    [
        (7, 2, [7, 8]),
        # llama.cpp takes 2**32 - 1 for "a random one".
        (2**32 - 2, 3, [2**32 - 2, 0, 1]),
    ],
)
def test_every_seed_is_one_that_llama_cpp_repeats(
    seed: int, num_answers: int, seeds: list[int]
) -> None:
    seen = []
    with model("ok") as llm:
        make = fake_of(llm).sampler

        def sampler(params: SamplingParams, *, seed: int, past_token_ids: Any) -> Any:
            seen.append(seed)
            return make(params, seed=seed, past_token_ids=past_token_ids)

        fake_of(llm).sampler = sampler  # type: ignore[method-assign]
        _ = llm.stream(HI, sampling=SamplingParams(seed=seed, n=num_answers)).results
    assert seen == seeds


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ({"temperature": 0}, "sampling is dict, it has to be SamplingParams"),
        ({}, "sampling is dict, it has to be SamplingParams"),
        (
            SamplingParams(stop_token_ids=(5, -5)),
            "stop_token_ids names token -5, the vocabulary has 259",
        ),
        (
            SamplingParams(stop_token_ids=(10**12,)),
            "stop_token_ids names token 1000000000000, the vocabulary has 259",
        ),
    ],
)
def test_sampling_that_means_nothing_to_the_model_is_refused(sampling: Any, said: str) -> None:
    with model("ok") as llm:
        for use in (llm.generate, llm.conversation().ask, llm.conversation().fork_generate):
            with pytest.raises(SamplingError) as caught:
                use("hi", sampling=sampling)
            assert caught.value.message == said


def test_parameters_are_looked_at_once_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bias may have an entry for every token."""
    seen: list[Any] = []
    plain_bias = sampling_module._plain_bias

    def count(given: Any) -> dict[int, float]:
        seen.append(given)
        return plain_bias(given)

    params = SamplingParams(logit_bias={5: 1.0}, seed=1)
    several = SamplingParams(logit_bias={5: 1.0}, seed=1, n=3)
    with model("ok") as llm:
        chat = llm.conversation()
        monkeypatch.setattr(sampling_module, "_plain_bias", count)
        for use in (llm.generate, chat.ask, chat.fork_generate):
            use("hi", sampling=params)
        _ = llm.stream("hi", sampling=several).results
    assert seen == [{5: 1.0}] * 4


def test_logprobs_come_for_each_token() -> None:
    with model("Hello!") as llm:
        result = llm.generate(HI, sampling=SamplingParams(logprobs=True, top_logprobs=1))
    assert [entry.token_id for entry in result.logprobs] == list(result.token_ids)
    assert all(len(entry.top) == 1 for entry in result.logprobs)


def test_several_answers_prefill_their_prompt_once() -> None:
    prompt = list(range(10, 110))
    with model() as llm:
        sampling = SamplingParams(n=4, seed=1, max_tokens=1)
        results = llm.stream(prompt, sampling=sampling).results
        computed = fake_of(llm).num_decoded_tokens
    assert [r.usage.cached_tokens for r in results] == [0, 99, 99, 99]
    assert computed == 100 + 3
    assert len({r.token_ids for r in results}) > 1


def test_usage_and_timings_add_up() -> None:
    with model("Hello!") as llm:
        first, second = llm.generate(HI), llm.generate(HI)
    prompt_tokens = len("### Human: hi\n\n### Assistant: ")
    assert first.usage.prompt_tokens == second.usage.prompt_tokens == prompt_tokens
    assert (first.usage.cached_tokens, second.usage.cached_tokens) == (0, prompt_tokens - 1)
    assert "nothing was cached" in first.usage.cache_note
    assert f"{prompt_tokens - 1} tokens" in second.usage.cache_note
    timings = first.timings
    assert timings.ttft_s == pytest.approx(timings.queue_s + timings.prefill_s)
    assert min(timings.queue_s, timings.prefill_s, timings.decode_s) >= 0


def test_the_note_tells_where_a_prompt_leaves_what_is_cached() -> None:
    with model("Hello!") as llm:
        llm.generate("abcdef" * 10)
        note = llm.generate("abcdef" * 5 + "xyz" * 10).usage.cache_note
    assert "diverged at token 30" in note


# Scores


def test_scores_are_one_for_each_token_but_the_first() -> None:
    with model() as llm:
        assert llm.score(list(range(3, 103))).shape == (99,)
        assert llm.score([5]).shape == (0,)
        with pytest.raises(RequestError):
            llm.score([])
        with pytest.raises(ContextOverflowError):
            llm.score([5] * 5000)


def test_scores_fit_a_small_batch_and_leave_no_cells() -> None:
    with model(n_batch=8) as llm:
        assert llm.score(list(range(3, 53))).shape == (49,)
        assert fake_of(llm).num_used_cells == 0


def test_scoring_beside_an_answer_changes_neither() -> None:
    with model("x" * 200, n_ctx=300) as llm:
        stream = llm.stream(HI)
        next(stream)
        assert llm.score([5] * 250).shape == (249,)
        assert stream.result.text == "x" * 200


def test_an_embedding_does_not_wait_for_a_running_batch() -> None:
    with model("Hello!") as llm:
        gate = Gate(llm)
        stream = llm.stream(HI)
        assert gate.begun.wait(WAIT_S)
        assert llm.embed("text").shape == (2,)
        gate.open()
        assert stream.result.text == "Hello!"


def test_closing_ends_a_score() -> None:
    with model(delay_s=0.02) as llm:
        gate, errors = Gate(llm), []

        def score() -> None:
            try:
                llm.score([5] * 4000)
            except EngineClosedError as error:
                errors.append(error)

        scorer = threading.Thread(target=score)
        scorer.start()
        assert gate.begun.wait(WAIT_S)
        gate.open()
        llm.close()
        scorer.join(WAIT_S)
    assert len(errors) == 1


# Cancelling


def stall_from(llm: LLM, position: int) -> threading.Event:
    """Let decodes from ``position`` on take ten seconds; the event is set when one begins."""
    fake, begun = fake_of(llm), threading.Event()
    decode = fake.decode

    def stall(slices: Any) -> None:
        if slices[0].position >= position:
            fake._delay_s = 10.0
            begun.set()
        decode(slices)

    fake.decode = stall  # type: ignore[method-assign]
    return begun


@pytest.mark.parametrize("position", [0, 64, 100, 120])
def test_cancelling_takes_effect_at_once(position: int) -> None:
    """In prefill and in decode; the prompt has 100 tokens, a batch 32."""
    with model() as llm:
        begun = stall_from(llm, position)
        sampling = SamplingParams(temperature=0, ignore_eos=True)
        stream = llm.stream([5] * 100, sampling=sampling)
        assert begun.wait(WAIT_S)
        began = time.monotonic()
        stream.close()
        assert time.monotonic() - began < CANCEL_S
        assert stream.result.finish_reason == "cancelled"
        assert len(stream.result.token_ids) == max(0, position - 99)


@pytest.mark.parametrize("position", [0, 64])
def test_closing_takes_effect_at_once(position: int) -> None:
    with model() as llm:
        begun = stall_from(llm, position)
        stream = llm.stream([5] * 100)
        assert begun.wait(WAIT_S)
        began = time.monotonic()
        llm.close()
        assert time.monotonic() - began < CANCEL_S
        assert stream.result.finish_reason == "cancelled"


def test_what_was_prefilled_before_a_cancellation_stays_usable() -> None:
    prompt = list(range(3, 203))
    with model() as llm:
        fake = fake_of(llm)
        decode, begun = fake.decode, stall_from(llm, 96)
        stream = llm.stream(prompt, sampling=GREEDY)
        assert begun.wait(WAIT_S)
        stream.close()
        fake.decode, fake._delay_s = decode, 0.0  # type: ignore[method-assign]
        assert llm.generate(prompt, sampling=GREEDY).usage.cached_tokens == 96


def test_cancelling_one_request_leaves_the_others_alone() -> None:
    with model("x" * 300) as llm:
        streams = [llm.stream([3 + index, *llm.encode(HI)]) for index in range(4)]
        for stream in streams[:2]:
            next(stream)
            stream.close()
        assert [stream.result.text for stream in streams[2:]] == ["x" * 300] * 2


def test_a_waiting_request_can_be_cancelled() -> None:
    fake = Fake(script=lambda prompt: b"x" * 100, n_ctx=4096)
    with LLM(fake, max_sequences=1) as llm:
        gate = Gate(llm)
        first = llm.stream(HI)
        assert gate.begun.wait(WAIT_S)
        second = llm.stream(HI)
        gate.open()
        second.close()
        assert second.result.finish_reason == "cancelled"
        assert first.result.text == "x" * 100


# Threads


def test_many_threads_get_their_own_answers() -> None:
    def echo(prompt: list[int]) -> bytes:
        text = bytes(token_id - 3 for token_id in prompt)
        return text.rpartition(b"Human: ")[2].partition(b"\n")[0] * 3

    def ask(number: int) -> str:
        return llm.generate([{"role": "user", "content": f"{number}号"}]).text

    with model(echo) as llm, ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(ask, range(96)))
    assert answers == [f"{number}号" * 3 for number in range(96)]


def test_closing_answers_every_waiter() -> None:
    with model("x" * 3000, delay_s=0.001) as llm:
        streams = [llm.stream(HI) for _ in range(12)]
        next(streams[0])
        llm.close()
        assert {stream.result.finish_reason for stream in streams} == {"cancelled"}


@pytest.mark.parametrize(
    "use",
    [
        lambda llm: llm.generate(HI),
        lambda llm: llm.generate("text"),
        lambda llm: llm.score([3, 4]),
        lambda llm: llm.embed("text"),
        lambda llm: llm.conversation().ask("hi"),
    ],
)
def test_a_closed_model_says_so(use: Callable[[LLM], object]) -> None:
    llm = LLM(Fake())
    llm.close()
    llm.close()
    with pytest.raises(EngineClosedError):
        use(llm)


def test_a_model_that_is_dropped_is_freed_and_its_owner_told() -> None:
    llm = LLM(Fake())
    fake, thread = fake_of(llm), llm._loop._thread
    with pytest.warns(ResourceWarning, match="the model fake was not closed"):
        del llm
    thread.join(WAIT_S)
    assert fake.closed


def test_an_answer_on_its_way_keeps_its_model() -> None:
    stream = LLM(Fake(script=lambda prompt: b"x" * 100, n_ctx=4096)).stream(HI)
    gc.collect()
    assert stream.result.text == "x" * 100
    with pytest.warns(ResourceWarning, match="was not closed"):
        del stream


# Errors


def test_a_failing_backend_tells_each_request_of_the_batch_and_goes_on() -> None:
    with model("Hello!") as llm:
        gate = Gate(llm)
        streams = [llm.stream([5 + n] * 5 + llm.encode(HI)) for n in range(3)]
        assert gate.begun.wait(WAIT_S)
        fake_of(llm).fail_next = "no memory left"
        gate.open()
        outcomes = [outcome(stream) for stream in streams]
        assert any("no memory left" in text for text in outcomes)
        assert set(outcomes) <= {"no memory left", "Hello!"}
        assert llm.generate(HI).text == "Hello!"


def outcome(stream: Stream) -> str:
    try:
        return stream.result.text
    except BackendError as error:
        return error.message


def test_a_fault_in_the_engine_reaches_every_waiter_and_the_engine_goes_on() -> None:
    with model("Hello!") as llm:
        fake = fake_of(llm)
        decode = fake.decode

        def fault(slices: Any) -> None:
            fake.decode = decode  # type: ignore[method-assign]
            raise ZeroDivisionError("a bug")

        fake.decode = fault  # type: ignore[method-assign]
        with pytest.raises(BackendError, match="a bug") as caught:
            llm.generate(HI)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert llm.generate(HI).text == "Hello!"
        assert fake.num_used_cells <= llm.n_ctx


def test_a_full_queue_refuses_and_keeps_what_it_has() -> None:
    with model("Hello!") as llm:
        llm._loop.engine.scheduler._max_waiting = 2
        gate = Gate(llm)
        first = llm.stream(HI)
        assert gate.begun.wait(WAIT_S)
        later = [llm.stream(HI) for _ in range(5)]
        gate.open()
        assert first.result.text == "Hello!"
        assert [stream.result.text for stream in later[:2]] == ["Hello!"] * 2
        for stream in later[2:]:
            with pytest.raises(QueueFullError) as caught:
                _ = stream.result
            assert (caught.value.num_waiting, caught.value.max_waiting) == (2, 2)


def test_a_grammar_that_cannot_be_compiled_is_told_before_any_prefill() -> None:
    with model("Hello!") as llm:
        with pytest.raises(GrammarError):
            llm.generate("x" * 1000, sampling=SamplingParams(grammar="invalid"))
        assert fake_of(llm).num_decoded_tokens == 0


def test_a_request_whose_sampler_breaks_fails_alone() -> None:
    class Broken:
        def sample(self, row: int) -> int:
            raise TypeError("a parameter of a wrong type")

        def close(self) -> None:
            pass

    with model("x" * 100) as llm:
        good = llm.stream(HI)
        next(good)
        fake = fake_of(llm)
        make = fake.sampler
        fake.sampler = lambda *args, **options: Broken()  # type: ignore[method-assign,assignment]
        with pytest.raises(BackendError, match="wrong type"):
            llm.generate("other")
        fake.sampler = make  # type: ignore[method-assign]
        assert good.result.text == "x" * 100


# Asyncio


def test_async_streaming_equals_the_rest() -> None:
    async def both(llm: LLM) -> tuple[str, Result]:
        pieces = [piece async for piece in llm.astream(HI)]
        assert pieces[-1].result is not None
        assert pieces[-1].result.text == "你好🙂"
        return "".join(piece.text for piece in pieces), await llm.agenerate(HI)

    with model("你好🙂") as llm:
        streamed, whole = asyncio.run(both(llm))
    assert streamed == whole.text == "你好🙂"


def test_many_tasks_at_once() -> None:
    async def all_of(llm: LLM) -> list[Result]:
        return await asyncio.gather(*(llm.agenerate(HI) for _ in range(40)))

    with model("Hello!") as llm:
        assert {result.text for result in asyncio.run(all_of(llm))} == {"Hello!"}


def test_cancelling_a_task_ends_its_answer() -> None:
    async def begin_and_cancel(llm: LLM, ended: threading.Event) -> None:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in llm.astream(HI):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, WAIT_S)

    with model("x" * 3000, delay_s=0.002) as llm:
        asyncio.run(begin_and_cancel(llm, watch_cancellation(llm)))


def test_breaking_out_of_an_async_loop_ends_the_answer() -> None:
    async def read_a_little(llm: LLM, ended: threading.Event) -> None:
        async for piece in llm.astream(HI):
            if piece.text:
                break
        assert await asyncio.to_thread(ended.wait, WAIT_S)

    with model("x" * 3000, delay_s=0.002) as llm:
        asyncio.run(read_a_little(llm, watch_cancellation(llm)))


def watch_cancellation(llm: LLM) -> threading.Event:
    """An event that is set when a request of ``llm`` ends as cancelled."""
    engine, ended = llm._loop.engine, threading.Event()
    finish = engine._finish

    def watch(sequence: Any, reason: Any) -> None:
        finish(sequence, reason)
        if reason == "cancelled":
            ended.set()

    engine._finish = watch  # type: ignore[method-assign]
    return ended


def test_an_event_loop_that_is_gone_harms_nobody_else() -> None:
    async def leave(llm: LLM) -> None:
        answer = llm.astream(HI)
        await answer.__anext__()
        kept.append(answer)  # no finalizer runs while it is kept

    kept: list[Any] = []
    with model("x" * 300, delay_s=0.001) as llm:
        loop, ended = asyncio.new_event_loop(), watch_cancellation(llm)
        other = llm.stream(HI)
        loop.run_until_complete(leave(llm))
        loop.close()
        assert ended.wait(WAIT_S)  # nobody is there to read its answer
        assert other.result.text == "x" * 300
    kept[0].aclose().close()


def test_errors_reach_async_callers() -> None:
    async def ask(llm: LLM, **options: Any) -> None:
        await llm.agenerate(HI, sampling=SamplingParams(**options))

    with model("Hello!") as llm:
        with pytest.raises(GrammarError):
            asyncio.run(ask(llm, grammar="invalid"))
        llm.close()
        with pytest.raises(EngineClosedError):
            asyncio.run(ask(llm))
