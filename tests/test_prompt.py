"""From text, messages and ids to a prompt; answers that come back as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sus_local import LLM, SamplingParams, prompt, template
from sus_local.backend.fake import Fake
from sus_local.errors import ContextOverflowError, MessagesError, RequestError
from sus_local.kv.store import BlockStore
from sus_local.kv.tiers import DiskTier, RamTier
from tests.engine.driving import WAIT_S
from tests.test_llm import GREEDY, HI, Gate, model, reply


def test_a_prompt_is_text_messages_or_token_ids() -> None:
    with model("ok") as llm:
        results = [
            llm.generate(llm.render(HI)),
            llm.generate(HI),
            llm.generate(llm.encode(HI)),
        ]
    assert {result.text for result in results} == {"ok"}
    assert len({result.usage.prompt_tokens for result in results}) == 1


@pytest.mark.parametrize("wrong", [[-1], [5, 259], [5, "6"], [5, 1.5]])
def test_token_ids_outside_the_vocabulary_are_refused(wrong: list[Any]) -> None:
    with model("ok") as llm:
        with pytest.raises(RequestError) as caught:
            llm.generate(wrong)
        assert caught.value.n_vocab == 259
        with pytest.raises(RequestError):
            llm.score(wrong)


def test_messages_that_are_no_conversation_are_refused() -> None:
    with model("ok") as llm, pytest.raises(MessagesError):
        llm.generate([{"role": "assistant", "content": "x"}])


@pytest.mark.parametrize("prompt", ["", []])
def test_an_empty_prompt_is_refused(prompt: Any) -> None:
    with model("ok") as llm, pytest.raises(RequestError):
        llm.generate(prompt)


def test_a_prompt_that_cannot_fit_is_refused_with_both_numbers() -> None:
    with model("ok", n_ctx=64) as llm:
        with pytest.raises(ContextOverflowError) as caught:
            llm.generate("x" * 64)
        assert (caught.value.num_tokens, caught.value.n_ctx) == (64, 64)
        assert llm.generate("x" * 63, sampling=GREEDY).finish_reason in ("stop", "length")


@pytest.mark.parametrize("prompt", [None, 5, b"hi", {"role": "user", "content": "hi"}])
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    with model("ok") as llm, pytest.raises(RequestError, match="expected text, messages or token"):
        llm.generate(prompt)


@pytest.mark.parametrize("prompt", [["hi"], [{"role": "user", "content": "hi"}, 5], [1.0, 2.0]])
def test_what_is_neither_message_nor_token_is_refused(prompt: Any) -> None:
    with model("ok") as llm, pytest.raises(RequestError, match=r"message \d is|token 0 is 1\.0"):
        llm.generate(prompt)


def test_token_ids_may_be_those_of_numpy() -> None:
    with model("ok") as llm:
        token_ids = llm.tokenize("abc")
        expected = llm.generate(token_ids, sampling=GREEDY).token_ids
        for same in (np.array(token_ids), [np.int32(each) for each in token_ids]):
            assert llm.generate(same, sampling=GREEDY).token_ids == expected
        assert llm.score(np.array(token_ids)).tolist() == llm.score(token_ids).tolist()


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda llm: llm.generate(np.ones((2, 3), int)), "token 0 is array"),
        (lambda llm: llm.score(np.ones((2, 3), int)), "token 0 is array"),
        (lambda llm: llm.generate(np.array(5)), "the prompt is ndarray, expected text, messages"),
        (lambda llm: llm.score(np.array(5)), "the text is ndarray, expected token ids"),
        (lambda llm: llm.score("ab"), "the text is str, expected token ids"),
        (lambda llm: llm.detokenize(5), "the text is int, expected token ids"),
        (lambda llm: llm.tokenize(None), "the text is NoneType, expected a string"),
        (lambda llm: llm.embed(None), "the text is NoneType, expected a string"),
        (lambda llm: llm.render(None), "the messages are NoneType, expected a list"),
        (lambda llm: llm.encode(5), "the messages are int, expected a list"),
        (lambda llm: llm.generate(HI, history="bogus"), "history is 'bogus'"),
        (lambda llm: llm.generate([5], history=None), "history is None"),
        (lambda llm: llm.encode(HI, history="bogus"), "history is 'bogus'"),
    ],
)
def test_what_is_of_a_wrong_kind_is_refused(use: Callable[[LLM], object], said: str) -> None:
    with model("ok") as llm, pytest.raises(RequestError) as caught:
        use(llm)
    assert caught.value.message.startswith(said)


def test_messages_and_token_ids_may_come_one_by_one() -> None:
    with model("ok") as llm:
        expected = llm.render(HI), llm.encode(HI)
        assert (llm.render(iter(HI)), llm.encode(iter(HI))) == expected
        assert llm.score(iter([5, 6, 7])).tolist() == llm.score([5, 6, 7]).tolist()  # type: ignore[arg-type]
        assert llm.detokenize(iter(llm.tokenize("abc"))) == "abc"


def test_a_text_too_long_to_score_is_refused_with_its_own_length() -> None:
    with model("ok", n_ctx=64) as llm:
        assert llm.score([5] * 64).shape == (63,)
        with pytest.raises(ContextOverflowError, match="the prompt has 65 tokens") as caught:
            llm.score([5] * 65)
        assert (caught.value.num_tokens, caught.value.n_ctx) == (65, 64)


# Answers that come back as text


class Diphthongs(Fake):
    """Encodes ``ab`` as one token, which the model itself never writes."""

    _AB = 1

    def tokenize(self, text: str) -> list[int]:
        found: list[int] = []
        for part in text.split("ab"):
            found += [*super().tokenize(part), self._AB]
        return found[:-1]

    def token_bytes(self, token_id: int) -> bytes:
        return b"ab" if token_id == self._AB else super().token_bytes(token_id)


def diphthongs(answer: str, store: BlockStore | None = None) -> LLM:
    return LLM(Diphthongs(script=lambda prompt: answer.encode(), n_ctx=4096), store=store)


def test_an_answer_that_comes_back_takes_its_own_tokens() -> None:
    with diphthongs("cab") as llm:
        first = llm.generate(reply())
        second = llm.generate(reply("cab"))
        encoded = llm.encode(reply("cab"))
        third = llm.generate(reply("cab", "cab"))
    answer = Fake().tokenize("cab")
    assert list(first.token_ids) == [*answer, 2]
    assert encoded == [*llm_prompt("q"), *answer, 2, *llm_prompt("q")]
    # The end token is the last sampled one: it has no KV yet.
    assert second.usage.cached_tokens == first.usage.prompt_tokens + 3
    assert third.usage.cached_tokens == second.usage.prompt_tokens + 3


def llm_prompt(text: str) -> list[int]:
    return Fake().tokenize(f"### Human: {text}\n\n### Assistant: ")


def test_retokenized_history_encodes_answers_anew() -> None:
    with diphthongs("cab") as llm:
        llm.generate(reply())
        anew = llm.encode(reply("cab"), history="retokenize")
    assert Diphthongs._AB in anew


def test_an_answer_of_an_earlier_process_takes_its_own_tokens(tmp_path: Path) -> None:
    for expected in (0, len(llm_prompt("q")) + 3):
        store = BlockStore(RamTier(1 << 20), DiskTier(tmp_path, 1 << 20))
        with diphthongs("cab", store) as llm:
            if expected == 0:
                llm.generate(reply())
            else:
                assert llm.generate(reply("cab")).usage.cached_tokens == expected


def test_an_answer_of_an_earlier_process_is_found_beside_a_long_batch_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> BlockStore:
        return BlockStore(RamTier(1 << 20), DiskTier(tmp_path, 1 << 20))

    with diphthongs("cab", kept()) as llm:
        llm.generate(reply())
    store = kept()
    with diphthongs("cab", store) as llm:
        gate = Gate(llm)
        stream = llm.stream(HI)
        assert gate.begun.wait(WAIT_S)
        found = llm.encode(reply("cab"))
        monkeypatch.setattr(store._index, "following", None)
        assert Diphthongs._AB not in found
        assert llm.encode(reply("cab")) == found
        gate.open()
        assert stream.result.text == "cab"


def test_an_empty_answer_comes_back_as_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        store = BlockStore(RamTier(1 << 20), DiskTier(tmp_path, 1 << 20))
        with diphthongs("", store) as llm:
            llm.generate(reply(""))
            assert llm.encode(reply("")) == [*llm_prompt("q"), 2, *llm_prompt("q")]


def test_an_answer_that_is_continued_is_known_as_a_whole() -> None:
    """The beginning comes back as other tokens than the text alone would make."""
    begun = [*reply(), {"role": "assistant", "content": "cab"}]
    with diphthongs("cabbage", BlockStore(RamTier(0))) as llm:
        cut = llm.generate(reply(), sampling=SamplingParams(max_tokens=3))
        rest = llm.generate(begun)
        known = llm.encode(reply("cabbage"))
    assert (cut.text, rest.text) == ("cab", "bage")
    assert rest.usage.cached_tokens == cut.usage.prompt_tokens + 2
    assert Diphthongs._AB not in known


def test_continuing_an_answer_that_was_cut_within_a_character_breaks_none() -> None:
    with diphthongs("中文") as llm:
        cut = llm.generate(reply(), sampling=SamplingParams(max_tokens=4))
        rest = llm.generate([*reply(), {"role": "assistant", "content": cut.text}])
    assert (cut.text, rest.text) == ("中", "文")


class Wide(Fake):
    """Has a token for `` China``, and writes it after each ``f``."""

    _CHINA = 1

    def __init__(self) -> None:
        f = Fake().tokenize("f")[0]
        super().__init__(
            script=lambda prompt: b"The capital of China.",
            n_ctx=4096,
            forced=lambda token_id: (self._CHINA,) if token_id == f else (),
        )

    def token_bytes(self, token_id: int) -> bytes:
        return b" China" if token_id == self._CHINA else super().token_bytes(token_id)


CUT = SamplingParams(temperature=0, stop=("hina",))


def test_an_answer_that_a_stop_text_cut_within_a_token_is_encoded_as_its_text() -> None:
    with LLM(Wide()) as llm:
        whole = llm.generate(HI)
        assert Wide._CHINA in whole.token_ids
        cut = llm.generate(HI, sampling=CUT)
        assert cut.text == "The capital of C"
        begun = [*HI, {"role": "assistant", "content": cut.text}]
        asked = [*begun, {"role": "user", "content": "q"}]
        for messages in (begun, asked):
            text = llm.render(messages).replace("<|endoftext|>", "")
            assert llm.detokenize(llm.encode(messages)) == text


def test_text_that_a_cached_history_happens_to_spell_gets_no_control_token_within() -> None:
    with model("Yo") as llm:
        llm.generate(HI)
        two = [*HI, {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "next"}]
        llm.generate(two)
        spelled = "Yo" + llm.render([{"role": "user", "content": "next"}]) + "Yo"
        said = [*HI, {"role": "assistant", "content": spelled}, {"role": "user", "content": "q"}]
        assert llm.encode(said).count(llm.eos) == 1


def test_text_that_the_model_did_not_write_is_just_encoded() -> None:
    with diphthongs("cab") as llm:
        llm.generate(reply())
        assert Diphthongs._AB in llm.encode(reply("ab"))


# Models of another chat format


@pytest.mark.parametrize(
    ("chat_template", "told"),
    [
        ("<|im_start|>{{ messages[0].content }}", 1),
        (template.CHAT_TEMPLATE, 0),
        ("### Human: {{ messages[0].content }}", 0),
        (None, 0),
    ],
)
def test_a_model_of_another_chat_format_is_told_once_and_where_messages_are_put_in_it(
    chat_template: str | None, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = {} if chat_template is None else {"tokenizer.chat_template": chat_template}
    prompt._tell_other_format.cache_clear()
    with LLM(Fake(metadata=metadata)) as llm:
        llm.generate("text", sampling=GREEDY)
        llm.score([5, 6])
        assert caplog.messages == []
        for _ in range(2):
            llm.generate(HI, sampling=GREEDY)
            llm.conversation()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * told
    assert all("fake has a chat format of its own" in text for text in caplog.messages)
