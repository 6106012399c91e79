"""The demo model says the same however its KV came about; what moved is nearly the same.

Without flash attention llama.cpp computes a token nearly alike in every batch: held-out dialogues,
which doubt more, and single distributions are compared there. With it, 64 tokens and more go
through another kernel than fewer, which alone changes an answer in some hundred; the dialogues
asked there leave no doubt (names of characters that the tokenizer has, none spelled in bytes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sus_local import LLM, Conversation, SamplingParams, load
from tests.engine.driving import call, note_guesses

pytestmark = pytest.mark.model

GREEDY = SamplingParams(temperature=0, max_tokens=32)
MAX_DIVERGENCE = 1e-3

ENGLISH = ["China", "France", "Japan", "Egypt", "Brazil", "Kenya", "Spain", "Peru", "India", "Cuba"]
CHINESE = ["中国", "法国", "日本", "埃及", "巴西", "西班牙", "印度", "古巴", "意大利", "希腊"]

DIALOGUES = [
    *(["hi", f"What is the capital of {name}?", f"And of {other}?"]
      for name, other in zip(ENGLISH, ENGLISH[1:] + ENGLISH[:1], strict=True)),
    *(["你好", f"{name}的首都是哪里？", f"那{other}呢？"]
      for name, other in zip(CHINESE, CHINESE[1:] + CHINESE[:1], strict=True)),
    *([f"My name is {name}.", "What is 3 + 4?", "What is my name?"]
      for name in ("Anna", "Bela", "Kofi", "Zorv", "Miral", "Tendo", "Ravi", "Olek", "Pim", "Ana")),
    *([f"我叫{name}。", "三加四等于几？", "我叫什么名字？"]
      for name in ("小明", "王芳", "李雷", "陈晨", "阿力", "安娜", "卓玛", "建国", "海伦", "思雨")),
]  # fmt: skip

HELD_OUT = Path(__file__).with_name("data") / "demo_heldout.jsonl"

Loader = Callable[..., LLM]
Dialogue = tuple[list[str], list[str]]
"""Three questions, and what a model answers whose every prompt is computed from its first token."""


def held_out_questions() -> list[list[str]]:
    """Every third held-out dialogue of three questions."""
    rows = [json.loads(line)["messages"] for line in HELD_OUT.read_text("utf-8").splitlines()]
    return [[message["content"] for message in row[::2]] for row in rows if len(row) == 5][::3]


@pytest.fixture(scope="module", params=["flash attention", "held out"])
def setting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def loader(setting: str, demo_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """Loads the demo model, with one folder of KV blocks for all."""
    kv_dir = tmp_path_factory.mktemp("kv")
    flash = setting == "flash attention"
    common = {"n_ctx": 1024, "n_threads": 1, "kv_dir": kv_dir, "flash_attn": flash}

    def open_model(**options: Any) -> LLM:
        return load(demo_gguf, **{**common, **options})

    return open_model


@pytest.fixture(scope="module")
def dialogues(setting: str, loader: Loader) -> list[Dialogue]:
    asked = DIALOGUES if setting == "flash attention" else held_out_questions()
    with loader(kv_ram_bytes=0, kv_disk_bytes=0) as llm:
        answers = []
        for questions in asked:
            said: list[dict[str, str]] = []
            for question in questions:
                said.append({"role": "user", "content": question})
                empty(llm)
                token_ids = llm.encode(said)
                result = llm.generate(token_ids, sampling=GREEDY)
                assert result.usage.cached_tokens == 0
                said.append({"role": "assistant", "content": result.text})
            answers.append([message["content"] for message in said[1::2]])
        return list(zip(asked, answers, strict=True))


def empty(llm: LLM) -> None:
    """Take everything out of the context of an idle model."""
    call(llm._loop, llm._loop.engine.residency.clear)


def hold(chat: Conversation, questions: list[str]) -> list[str]:
    return [chat.ask(question, sampling=GREEDY).text for question in questions]


def test_the_dialogues_are_many_and_answered(dialogues: list[Dialogue]) -> None:
    assert len(dialogues) >= 40
    texts = [text for _, answers in dialogues for text in answers]
    assert all(texts)
    assert len(set(texts)) > 30


def test_continued(loader: Loader, dialogues: list[Dialogue]) -> None:
    with loader() as llm:
        for questions, expected in dialogues:
            assert hold(llm.conversation(), questions) == expected


def test_guessed(
    loader: Loader, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is repeated is computed several tokens at a time."""
    learned = note_guesses(monkeypatch)
    with loader(draft_max=15) as llm:
        for questions, expected in dialogues:
            assert hold(llm.conversation(), questions) == expected
    assert sum(right for _, right in learned) > len(dialogues)
    assert any(right < guessed for guessed, right in learned)


def test_streamed(loader: Loader, dialogues: list[Dialogue]) -> None:
    with loader() as llm:
        for questions, expected in dialogues[::4]:
            chat = llm.conversation()
            for question, text in zip(questions, expected, strict=True):
                pieces = list(chat.send(question, sampling=GREEDY))
                assert "".join(piece.text for piece in pieces) == text


def test_parked_in_ram_and_restored(loader: Loader, dialogues: list[Dialogue]) -> None:
    """All conversations take turns in four slots."""
    with loader(kv_disk_bytes=0) as llm:
        chats = [llm.conversation() for _ in dialogues]
        for turn in range(3):
            for chat, (questions, expected) in zip(chats, dialogues, strict=True):
                result = chat.ask(questions[turn], sampling=GREEDY)
                assert result.text == expected[turn]
                assert turn == 0 or result.usage.cached_tokens > 0


def test_forked(loader: Loader, dialogues: list[Dialogue]) -> None:
    with loader() as llm:
        for questions, expected in dialogues[::2]:
            chat = llm.conversation()
            hold(chat, questions)
            assert chat.regenerate(sampling=GREEDY).result.text == expected[2]
            assert (
                chat.edit(chat.turns[1], questions[1], sampling=GREEDY).result.text == (expected[1])
            )


def test_restored_from_disk_in_a_new_model(
    loader: Loader, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    with loader(kv_dir=tmp_path) as llm:
        chats = [llm.conversation() for _ in dialogues]
        for chat, (questions, _) in zip(chats, dialogues, strict=True):
            hold(chat, questions[:2])
        saved = [chat.tree for chat in chats]
    with loader(kv_dir=tmp_path) as llm:
        for turns, (questions, expected) in zip(saved, dialogues, strict=True):
            result = llm.conversation(turns=turns).ask(questions[2], sampling=GREEDY)
            assert result.text == expected[2]
            known = sum(len(t.prompt_token_ids) + len(t.token_ids) for t in turns)
            assert result.usage.cached_tokens == known - 1
            assert "from disk" in result.usage.cache_note


def test_many_at_once(loader: Loader, dialogues: list[Dialogue]) -> None:
    with loader(max_sequences=4) as llm:
        streams = [
            llm.stream([{"role": "user", "content": questions[0]}], sampling=GREEDY)
            for questions, _ in dialogues
        ]
        texts = [stream.result.text for stream in streams]
    assert texts == [answers[0] for _, answers in dialogues]


def test_damaged_blocks_on_disk_change_no_answer(
    loader: Loader, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    with loader(kv_dir=tmp_path) as llm:
        for questions, _ in dialogues[:6]:
            hold(llm.conversation(), questions)
    files = sorted(tmp_path.rglob("*.kv"))
    assert len(files) > 6
    for number, path in enumerate(files):
        content = bytearray(path.read_bytes())
        content[-1 - number % 99] ^= 0x10
        path.write_bytes(content)
    with loader(kv_dir=tmp_path) as llm:
        for questions, expected in dialogues[:6]:
            assert hold(llm.conversation(), questions) == expected


def test_blocks_of_another_setting_are_not_used(loader: Loader, tmp_path: Path) -> None:
    prompt = [{"role": "user", "content": "What is the capital of China?"}]
    for kv_type in ("f16", "q8_0", "f16"):
        with loader(kv_dir=tmp_path, kv_type=kv_type, flash_attn=True) as llm:
            usage = llm.generate(prompt, sampling=GREEDY).usage
    assert usage.cached_tokens == usage.prompt_tokens - 1
    with loader(kv_dir=tmp_path, flash_attn=True, rope_freq_base=10000.0) as llm:
        assert llm.generate(prompt, sampling=GREEDY).usage.cached_tokens == 0


# Distributions


def next_distribution(llm: LLM, token_ids: list[int]) -> dict[int, float]:
    """The most likely next tokens with their log-probabilities."""
    sampling = SamplingParams(temperature=0, max_tokens=1, logprobs=True, top_logprobs=100)
    return dict(llm.generate(token_ids, sampling=sampling).logprobs[0].top)


def divergence(first: dict[int, float], second: dict[int, float]) -> float:
    """Kullback-Leibler divergence in nats, over the tokens that both name and all others as one."""
    shared = first.keys() & second.keys()
    one, other = ([math.exp(each[token]) for token in shared] for each in (first, second))
    assert sum(one) > 0.9
    one, other = [*one, max(1 - sum(one), 1e-9)], [*other, max(1 - sum(other), 1e-9)]
    return sum(p * math.log(p / q) for p, q in zip(one, other, strict=True))


def test_cached_and_uncached_distributions_agree(
    setting: str, loader: Loader, dialogues: list[Dialogue]
) -> None:
    """At every single place. With flash attention, two batch sizes without any cache differ by more
    than that at some place, and the cache makes no more of it."""
    found, without_cache = [], [0.0]
    plain_options: dict[str, Any] = {"kv_ram_bytes": 0, "kv_disk_bytes": 0}
    with (
        loader(kv_disk_bytes=0) as llm,
        loader(**plain_options) as plain,
        loader(**plain_options, n_ubatch=32) as small,
    ):
        for questions, _ in dialogues:
            chat = llm.conversation()
            hold(chat, questions[:2])
            prompt = llm.encode([*chat.messages, {"role": "user", "content": questions[2]}])
            for each in (plain, small):
                empty(each)
            expected = next_distribution(plain, prompt)
            found.append(divergence(next_distribution(llm, prompt), expected))
            without_cache.append(divergence(next_distribution(small, prompt), expected))
    assert np.mean(found) < MAX_DIVERGENCE
    if setting == "held out":
        assert max(found) < MAX_DIVERGENCE
    else:
        assert max(found) < max(MAX_DIVERGENCE, 2 * max(without_cache))


def test_restored_distributions_are_bit_equal_to_kept_ones(
    loader: Loader, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    """The same cells by the same batches: kept in the context, restored from RAM and from disk."""

    def distributions(leave: Callable[[LLM], None], **options: Any) -> list[dict[int, float]]:
        found = []
        with loader(kv_dir=tmp_path, **options) as llm:
            for questions, _ in dialogues[:10]:
                token_ids = llm.tokenize(" ".join(questions))
                llm.generate(token_ids, sampling=GREEDY)
                leave(llm)
                found.append(next_distribution(llm, [*token_ids, *llm.tokenize("And?")]))
                empty(llm)
        return found

    kept = distributions(lambda llm: None, kv_disk_bytes=0)
    assert distributions(empty, kv_disk_bytes=0) == kept
    assert distributions(empty, kv_ram_bytes=0) == kept


def test_scores_are_the_same_beside_a_conversation(
    loader: Loader, dialogues: list[Dialogue]
) -> None:
    with loader(kv_disk_bytes=0) as llm:
        token_ids = llm.tokenize("The capital of China is Beijing. " * 10)
        alone = llm.score(token_ids)
        hold(llm.conversation(), dialogues[0][0])
        assert np.abs(llm.score(token_ids) - alone).max() < 0.05


# After a shift

NAMES = (
    "Anna", "Bela", "Kofi", "Ravi", "Sana", "Tom", "Maria", "Peter", "Lena", "Omar",
    "Nina", "David", "Emma", "Lucas", "Sofia", "Ivan", "Alice", "Hugo", "Mona", "Felix",
)  # fmt: skip
CAPITALS = {"Japan": "Tokyo", "France": "Paris", "Egypt": "Cairo", "Spain": "Madrid"}


def right_answers(loader: Loader, overflow: Any) -> tuple[int, int]:
    """How many names and capitals are told right where the oldest turns have just left."""
    names = capitals = 0
    with loader(n_ctx=512, kv_disk_bytes=0) as llm:
        for name, (country, capital) in zip(NAMES, list(CAPITALS.items()) * 5, strict=True):
            chat = llm.conversation(overflow=overflow)
            while not chat.turns or chat.turns[-1].num_dropped_turns == 0:
                hold(chat, ["What is the capital of India?", f"My name is {name}."])
            asked = ["What is my name?", f"What is the capital of {country}?"]
            told_name, told_capital = hold(chat, asked)
            names += name in told_name
            capitals += capital in told_capital
    return names, capitals


def test_after_a_shift_answers_are_within_five_points_of_a_rebuild(loader: Loader) -> None:
    rebuilt, shifted = right_answers(loader, "rebuild"), right_answers(loader, "shift")
    assert min(rebuilt) > len(NAMES) / 2
    for right, right_rebuilt in zip(shifted, rebuilt, strict=True):
        assert right >= right_rebuilt - 0.05 * len(NAMES)
