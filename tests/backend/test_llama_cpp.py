"""llama.cpp on the demo model: sampling, logits, KV in and out, aborting, and bad files."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from sus_local import LLM, Result, SamplingParams, load
from sus_local.backend import llama_cpp, model_info
from sus_local.backend.base import DecodeAborted, Slice
from sus_local.backend.ggml_devices import Device
from sus_local.backend.llama_cpp import LlamaCpp
from sus_local.backend.options import LoadOptions
from sus_local.backend.sampler_chain import MostLikely
from sus_local.errors import (
    ContextOverflowError,
    EngineClosedError,
    InvalidModelError,
    ModelError,
    ModelLoadError,
    ModelNotFoundError,
    RequestError,
    SamplingError,
)
from sus_local.header import read_header

pytestmark = pytest.mark.model

OPTIONS = LoadOptions(n_ctx=1024, n_threads=1, n_batch=64, n_ubatch=32)
QUESTION = [{"role": "user", "content": "What is the capital of China?"}]


@pytest.fixture(scope="module")
def backend(demo_gguf: Path) -> Iterator[LlamaCpp]:
    backend = LlamaCpp(demo_gguf, OPTIONS)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def llm(demo_gguf: Path) -> Iterator[LLM]:
    with load(demo_gguf, n_ctx=1024, n_threads=1, kv_disk_bytes=0) as llm:
        yield llm


def test_loading_tells_how_far_it_is(demo_gguf: Path) -> None:
    told: list[float] = []
    LlamaCpp(demo_gguf, OPTIONS, on_progress=told.append).close()
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert told[0] > 0


@pytest.mark.parametrize("use_mmap", [True, False])
def test_what_the_listener_raises_ends_the_loading(demo_gguf: Path, use_mmap: bool) -> None:
    def interrupt(share: float) -> None:
        if share == 1.0:
            raise KeyboardInterrupt

    options = replace(OPTIONS, use_mmap=use_mmap)
    with pytest.raises(KeyboardInterrupt):
        LlamaCpp(demo_gguf, options, on_progress=interrupt)
    LlamaCpp(demo_gguf, options).close()


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")
def test_ctrl_c_ends_a_load(demo_gguf: Path) -> None:
    program = f"""
import signal, time
import sus_local
def on_progress(share):
    print("loading", flush=True)
    time.sleep(60)
try:
    sus_local.load({str(demo_gguf)!r}, n_ctx=256, kv_disk_bytes=0, on_progress=on_progress)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "interrupted\n"


@pytest.mark.parametrize("amx", [True, False])
def test_weights_stay_as_they_are_where_llama_cpp_has_amx(
    demo_gguf: Path, monkeypatch: pytest.MonkeyPatch, amx: bool
) -> None:
    load_model, asked = llama_cpp.c.llama_model_load_from_file, []

    def record(path: bytes, params: Any) -> Any:
        asked.append(params.use_extra_bufts)
        params.use_extra_bufts = False
        return load_model(path, params)

    monkeypatch.setattr(llama_cpp, "has_amx", lambda: amx)
    monkeypatch.setattr(llama_cpp.c, "llama_model_load_from_file", record)
    LlamaCpp(demo_gguf, OPTIONS).close()
    assert asked == [not amx]


def say(llm: LLM, text: str = "Tell me something.", **params: Any) -> Result:
    params = {"max_tokens": 24, "seed": 1, "temperature": 1.0, "ignore_eos": True, **params}
    return llm.generate([{"role": "user", "content": text}], sampling=SamplingParams(**params))


PLAIN = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Nothing is cut from the model's distribution."""


# Sampling


def test_greedy_takes_the_most_likely_token(llm: LLM) -> None:
    result = say(llm, temperature=0, logprobs=True, top_logprobs=2)
    assert result.token_ids == say(llm, temperature=0, seed=99).token_ids
    assert all(entry.token_id == entry.top[0][0] for entry in result.logprobs)


def test_a_seed_repeats_and_another_differs(llm: LLM) -> None:
    hot = {**PLAIN, "temperature": 1.5}
    assert say(llm, **hot).token_ids == say(llm, **hot).token_ids
    assert len({say(llm, seed=seed, **hot).token_ids for seed in range(4)}) > 1


def test_temperature_spreads_the_choice(llm: LLM) -> None:
    cold = {say(llm, seed=s, temperature=0.01, **PLAIN).token_ids for s in range(5)}
    hot = {say(llm, seed=s, temperature=3.0, **PLAIN).token_ids for s in range(5)}
    assert (len(cold), len(hot)) == (1, 5)


@pytest.mark.parametrize(
    "cut",
    [{"top_k": 1}, {"top_p": 0.0001}, {"min_p": 1.0}],
    ids=["top_k", "top_p", "min_p"],
)
def test_each_truncation_can_leave_one_token_only(llm: LLM, cut: dict[str, float]) -> None:
    params = {**PLAIN, "temperature": 3.0, **cut}
    answers = {say(llm, seed=seed, **params).token_ids for seed in range(4)}
    assert answers == {say(llm, temperature=0).token_ids}


def test_typical_sampling_cuts_the_unlikely(llm: LLM) -> None:
    typical = say(llm, temperature=1.0, typical_p=0.05, logprobs=True, **PLAIN)
    free = say(llm, temperature=3.0, logprobs=True, **PLAIN)
    assert mean_logprob(typical) > mean_logprob(free)


def mean_logprob(result: Result) -> float:
    return sum(entry.logprob for entry in result.logprobs) / len(result.logprobs)


def test_a_logit_bias_forces_and_forbids(llm: LLM) -> None:
    token = llm.tokenize("x")[0]
    assert set(say(llm, temperature=0, logit_bias={token: 1000.0}).token_ids) == {token}
    first = say(llm, temperature=0).token_ids[0]
    assert first not in say(llm, logit_bias={first: -math.inf}, **PLAIN).token_ids


def test_a_bias_on_a_token_that_does_not_exist_is_refused(llm: LLM) -> None:
    with pytest.raises(SamplingError) as caught:
        say(llm, logit_bias={10**6: 1.0})
    assert caught.value.token_id == 10**6


@pytest.mark.parametrize(
    "penalty",
    [
        {"repetition_penalty": 1000.0},
        {"frequency_penalty": 20.0},
        {"presence_penalty": 50.0},
        {"dry_multiplier": 50.0, "dry_sequence_breakers": ()},
    ],
    ids=lambda penalty: next(iter(penalty)),
)
def test_each_penalty_breaks_a_repetition(llm: LLM, penalty: dict[str, Any]) -> None:
    token = llm.tokenize("x")[0]
    forced = {"temperature": 0, "logit_bias": {token: 40.0}}
    repeated = say(llm, **forced).token_ids.count(token)
    assert repeated > 4
    assert say(llm, **forced, **penalty).token_ids.count(token) < repeated


def test_penalties_see_the_prompt(llm: LLM) -> None:
    first = say(llm, "x x x x", temperature=0)
    params = {"temperature": 0, "presence_penalty": 100.0, "penalty_last_n": -1}
    prompt = llm.encode([{"role": "user", "content": "x x x x"}])
    assert not set(prompt) & set(say(llm, "x x x x", max_tokens=5, **params).token_ids)
    assert first.token_ids


def test_penalties_look_no_further_than_the_context(llm: LLM) -> None:
    strong = {"temperature": 0, "max_tokens": 30, "ignore_eos": True, "repetition_penalty": 3.0}
    whole = say(llm, **strong, penalty_last_n=-1)
    assert say(llm, **strong, penalty_last_n=0).token_ids != whole.token_ids
    for far in (2**31 - 1, 2**40):  # as many as llama.cpp would allocate, or cut to 32 bits
        assert say(llm, **strong, penalty_last_n=far).token_ids == whole.token_ids


def test_xtc_removes_the_top_choice(llm: LLM) -> None:
    params = {**PLAIN, "temperature": 1.0, "xtc_probability": 1.0, "xtc_threshold": 1e-6}
    best = say(llm, temperature=0, logprobs=True, top_logprobs=5)
    assert best.logprobs[0].top[1][1] > math.log(1e-6)
    assert say(llm, **params).token_ids[0] != best.token_ids[0]


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_aims_at_its_entropy(llm: LLM, version: int) -> None:
    def surprise(tau: float) -> float:
        result = say(
            llm, mirostat=version, mirostat_tau=tau, temperature=2.0, max_tokens=60, logprobs=True
        )
        return -mean_logprob(result)

    assert surprise(0.1) < surprise(8.0)


# Logits


@pytest.mark.parametrize("question", ["Tell me something.", "What is 3 + 4?", "你好"])
def test_the_most_likely_token_is_that_of_a_greedy_chain(llm: LLM, question: str) -> None:
    prompt = [{"role": "user", "content": question}]
    greedy = {"temperature": 0, "max_tokens": 40, "ignore_eos": True}
    quick = llm.generate(prompt, sampling=SamplingParams(**greedy))  # type: ignore[arg-type]
    bias = {0: 0.0}  # has no effect, but needs the chain
    chain = llm.generate(prompt, sampling=SamplingParams(**greedy, logit_bias=bias))  # type: ignore[arg-type]
    assert len(set(quick.token_ids)) > 5
    assert quick.token_ids == chain.token_ids


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.1},
        {"logit_bias": {1: 1.0}},
        {"repetition_penalty": 1.1},
        {"presence_penalty": 0.1},
        {"dry_multiplier": 0.8},
    ],
    ids=str,
)
def test_whatever_changes_the_choice_has_a_chain(changed: dict[str, Any]) -> None:
    assert MostLikely.suits(SamplingParams(temperature=0, repetition_penalty=1.0))
    assert not MostLikely.suits(SamplingParams(**{"temperature": 0, **changed}))


def test_logprobs_are_log_probabilities(llm: LLM) -> None:
    result = say(llm, temperature=0, logprobs=True, top_logprobs=100)
    for entry in result.logprobs:
        total = sum(math.exp(logprob) for _, logprob in entry.top)
        assert 0 < total <= 1 + 1e-6
        assert list(entry.top) == sorted(entry.top, key=lambda pair: -pair[1])
        assert dict(entry.top)[entry.token_id] == entry.logprob


def test_scores_are_the_logprobs_of_generation(demo_gguf: Path) -> None:
    # Of its own: KV that other tests left came from batches of other shapes.
    with load(demo_gguf, n_ctx=1024, n_threads=1, kv_disk_bytes=0) as llm:
        result = say(llm, temperature=0, logprobs=True)
        prompt = llm.encode([{"role": "user", "content": "Tell me something."}])
        scores = llm.score([*prompt, *result.token_ids])
    found = [entry.logprob for entry in result.logprobs]
    assert scores.shape == (len(prompt) + len(found) - 1,)
    assert np.allclose(scores[-len(found) :], found, atol=1e-3)
    assert (scores <= 0).all()


def probabilities(backend: LlamaCpp, row: int) -> list[tuple[int, float]]:
    return sorted(backend.logprob(row, 0, top=100).top)


def prompt_of(backend: LlamaCpp, num_tokens: int) -> list[int]:
    text = "### Human: Tell me about China, and about France.\n\n### Assistant: " * 20
    return backend.tokenize(text)[:num_tokens]


def emptied(backend: LlamaCpp) -> LlamaCpp:
    for sequence_id in range(backend.info.max_sequence_id + 1):
        backend.remove(sequence_id, 0)
    return backend


def test_restored_kv_gives_bit_identical_logits(backend: LlamaCpp) -> None:
    emptied(backend)
    prompt = prompt_of(backend, 60)
    backend.decode([Slice(0, 0, prompt[:50])])
    payload = backend.save(0)
    backend.decode([Slice(0, 50, prompt[50:], 1)])
    expected = probabilities(backend, 9)
    emptied(backend)
    assert backend.restore(0, payload)
    backend.decode([Slice(0, 50, prompt[50:], 1)])
    assert probabilities(backend, 9) == expected


def test_kv_restored_in_blocks_gives_bit_identical_logits(backend: LlamaCpp) -> None:
    emptied(backend)
    prompt, spare = prompt_of(backend, 60), backend.info.max_sequence_id
    backend.decode([Slice(0, 0, prompt[:50])])
    payloads = []
    for start, end in ((0, 20), (20, 50)):
        backend.copy(0, spare, start, end)
        payloads.append(backend.save(spare))
        backend.remove(spare, 0)
    backend.decode([Slice(0, 50, prompt[50:], 1)])
    expected = probabilities(backend, 9)
    emptied(backend)
    for payload, (start, end) in zip(payloads, ((0, 20), (20, 50)), strict=True):
        assert backend.restore(spare, payload)
        backend.copy(spare, 0, start, end)
        backend.remove(spare, 0)
    backend.decode([Slice(0, 50, prompt[50:], 1)])
    assert probabilities(backend, 9) == expected


def test_torn_kv_is_refused_and_leaves_nothing(backend: LlamaCpp) -> None:
    emptied(backend)
    prompt = prompt_of(backend, 60)
    backend.decode([Slice(0, 0, prompt[:50])])
    payload = backend.save(0)
    emptied(backend)
    for torn in (payload[:-1], payload[: len(payload) // 2], b"", b"rubbish" * 9):
        assert not backend.restore(0, torn)
    backend.decode([Slice(0, 0, prompt[:50], 1)])


@pytest.mark.parametrize("kv_type", ["q8_0", "q4_0"])
def test_quantized_kv_answers_moves_and_comes_back(demo_gguf: Path, kv_type: Any) -> None:
    backend = LlamaCpp(demo_gguf, LoadOptions(n_ctx=256, n_threads=1, kv_type=kv_type))
    try:
        prompt = prompt_of(backend, 60)
        backend.decode([Slice(0, 0, prompt[:50])])
        size = len(backend.save(0))
        assert size == pytest.approx(50 * backend.info.num_kv_bytes_per_token, rel=0.15)
        payload = backend.save(0)
        backend.decode([Slice(0, 50, prompt[50:], 1)])
        expected = probabilities(backend, 9)
        backend.remove(0, 0)
        assert backend.restore(0, payload)
        backend.decode([Slice(0, 50, prompt[50:], 1)])
        assert probabilities(backend, 9) == expected
    finally:
        backend.close()


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_a_full_context_never_ends_the_process(demo_gguf: Path, kv_type: Any) -> None:
    with load(demo_gguf, n_ctx=512, n_threads=1, kv_type=kv_type, kv_disk_bytes=0) as llm:
        assert llm._info.can_shift
        chat = llm.conversation()
        for _ in range(12):
            chat.ask("What is the capital of China? " * 4, sampling=SamplingParams(max_tokens=20))
        assert chat.context.num_dropped_turns > 0


def test_narrow_heads_are_not_shifted_with_quantized_keys(demo_gguf: Path) -> None:
    """llama.cpp crashes there."""
    options = LoadOptions(kv_type="q8_0")
    backend = LlamaCpp(demo_gguf, LoadOptions(n_ctx=256, n_threads=1))
    try:
        found = [model_info.can_shift(backend._context, options, width) for width in (32, 64, 128)]
    finally:
        backend.close()
    assert found == [False, True, True]


# Aborting


def test_an_abort_ends_a_prefill_and_the_context_goes_on(backend: LlamaCpp) -> None:
    emptied(backend)
    prompt = prompt_of(backend, 60)
    backend.decode([Slice(0, 0, prompt[:40])])
    backend.decode([Slice(0, 40, prompt[40:], 1)])
    expected = probabilities(backend, 19)
    emptied(backend)
    backend.decode([Slice(0, 0, prompt[:40])])
    backend.abort()
    with pytest.raises(DecodeAborted):
        backend.decode([Slice(0, 40, prompt[40:], 1)])
    backend.clear_abort()
    backend.remove(0, 40)
    backend.decode([Slice(0, 40, prompt[40:], 1)])
    assert probabilities(backend, 19) == expected


def test_closing_a_stream_in_a_long_prefill_keeps_what_was_computed(demo_gguf: Path) -> None:
    with load(demo_gguf, n_ctx=2048, n_threads=1, n_batch=64, kv_disk_bytes=0) as llm:
        engine, halfway = llm._loop.engine, threading.Event()
        decode = engine.backend.decode

        def watch(slices: Any) -> None:
            if slices[0].position >= 512:
                halfway.set()
            decode(slices)

        engine.backend.decode = watch  # type: ignore[method-assign]
        prompt = llm.tokenize("one two three four " * 600)[:2000]
        stream = llm.stream(prompt)
        assert halfway.wait(60)
        stream.close()
        assert stream.result.finish_reason in ("cancelled", "length")
        assert (
            llm.generate(prompt, sampling=SamplingParams(max_tokens=1)).usage.cached_tokens >= 512
        )


# A closed model


@pytest.mark.parametrize(("n_gpu_layers", "expected"), [(0, 0), (3, 32), (-1, 64), (8, 64)])
def test_a_chunk_for_which_weights_are_copied_to_a_gpu_is_long(
    demo_gguf: Path, monkeypatch: pytest.MonkeyPatch, n_gpu_layers: int, expected: int
) -> None:
    gpu = Device("CUDA0", "a GPU", "CUDA", "gpu", 1, 1)
    monkeypatch.setattr(model_info, "list_devices", lambda: [gpu])
    backend = LlamaCpp(demo_gguf, replace(OPTIONS, n_gpu_layers=n_gpu_layers))
    assert backend.info.min_chunk_tokens == expected
    backend.close()


def test_a_closed_model_is_not_touched(demo_gguf: Path) -> None:
    llm = load(demo_gguf, n_ctx=256, n_threads=1, kv_disk_bytes=0)
    llm.close()
    for use in (lambda: llm.generate("hi"), lambda: llm.tokenize("hi"), lambda: llm.score([1, 2])):
        with pytest.raises(EngineClosedError):
            use()


def test_ids_outside_the_vocabulary_are_refused(llm: LLM) -> None:
    for use in (llm.detokenize, llm.score, llm.generate):
        with pytest.raises(RequestError):
            use([5, 10**6])


# Files


def write_gguf(path: Path, architecture: str) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for open_it in (load, LlamaCpp):
        with pytest.raises(ModelNotFoundError) as caught:
            open_it(tmp_path / "none.gguf")
        assert "none.gguf" in caught.value.message


@pytest.mark.parametrize("content", [b"", b"GG", b"not a model", b"PK\x03\x04" * 100])
def test_a_file_that_is_no_gguf(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    for open_it in (load, LlamaCpp):
        with pytest.raises(InvalidModelError) as caught:
            open_it(path)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.99])
def test_a_truncated_model(tmp_path: Path, demo_gguf: Path, share: float) -> None:
    content = demo_gguf.read_bytes()
    path = tmp_path / "model.gguf"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError) as caught:
        load(path)
    assert "\n" not in caught.value.message
    with pytest.raises((ModelLoadError, InvalidModelError)):
        LlamaCpp(path, OPTIONS)


@pytest.mark.parametrize("architecture", ["qwen2", "gpt2", "llama4"])
def test_another_architecture_is_refused_by_name(tmp_path: Path, architecture: str) -> None:
    path = write_gguf(tmp_path / "model.gguf", architecture)
    with pytest.raises(ModelError, match=architecture):
        load(path)


def test_a_llama_without_its_tensors_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", "llama")
    with pytest.raises(ModelError):
        load(path)


def test_a_refusal_tells_the_reason(demo_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    key = b"llama.block_count\x04\0\0\0"
    layers = read_header(demo_gguf).metadata["llama.block_count"]
    assert isinstance(layers, int)
    more = demo_gguf.read_bytes().replace(key + bytes([layers]), key + bytes([layers + 1]), 1)
    path.write_bytes(more)
    with pytest.raises(ModelLoadError, match=rf"'blk\.{layers}\.attn_norm\.weight' not found"):
        load(path)


def test_the_fingerprint_names_file_and_settings(demo_gguf: Path, tmp_path: Path) -> None:
    def fingerprint(path: Path, **options: Any) -> str:
        backend = LlamaCpp(path, LoadOptions(n_ctx=256, n_threads=1, **options))
        backend.close()
        return backend.info.fingerprint

    plain = fingerprint(demo_gguf)
    altered = bytearray(demo_gguf.read_bytes())
    altered[len(altered) // 2 : len(altered) // 2 + 70000] = bytes(70000)
    other = tmp_path / "other.gguf"
    other.write_bytes(altered)
    assert plain == fingerprint(demo_gguf)
    others = {
        fingerprint(other),
        fingerprint(demo_gguf, kv_type="q8_0"),
        fingerprint(demo_gguf, flash_attn=False),
        fingerprint(demo_gguf, rope_freq_base=10000.0),
    }
    assert len({plain, *others}) == 5


def test_llama_cpp_prints_nothing(demo_gguf: Path) -> None:
    code = f"import sus_local; sus_local.load({str(demo_gguf)!r}, n_threads=1, n_ctx=256).close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("first", ["list_devices", "cpu_features", "has_amx"])
def test_what_llama_cpp_says_while_it_looks_for_devices_is_not_printed(first: str) -> None:
    code = f"""
from llama_cpp.llama_cpp import _lib
from sus_local.backend import ggml_devices
ggml_devices.{first}()
_lib.ggml_log_internal(2, b"found 1 CUDA devices\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_more_shares_than_llama_cpp_has_devices_are_refused(demo_gguf: Path) -> None:
    with pytest.raises(RequestError, match=r"tensor_split has 99 shares, llama\.cpp takes "):
        load(demo_gguf, n_ctx=256, kv_disk_bytes=0, tensor_split=(1.0,) * 99)


def test_a_text_that_cannot_fit_is_refused_before_it_is_tokenized(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = "All work and no play makes Jack a dull boy.\n" * 60_000

    def never(text: str) -> list[int]:
        raise AssertionError(f"{len(text)} characters were tokenized")

    monkeypatch.setattr(llm._backend, "tokenize", never)
    for prompt in (book, [{"role": "user", "content": book}]):
        with pytest.raises(ContextOverflowError, match="the prompt has at least") as caught:
            llm.generate(prompt)
        assert 1024 < caught.value.num_tokens < len(book) / 4
    with pytest.raises(ContextOverflowError, match="the prompt has at least"):
        llm.conversation().ask(book)


def test_a_long_text_of_few_tokens_is_not_refused_before_it_is_tokenized(llm: LLM) -> None:
    longest = max((llm._backend.token_bytes(i) for i in range(2560)), key=len)
    text = longest.decode() * 900
    llm.check_length(text)
    assert len(llm.tokenize(text)) >= len(text.encode()) / len(longest)


def test_a_file_system_that_takes_no_advice_loads_all_the_same(
    demo_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.posix_fadvise", refuse, raising=False)
    told: list[float] = []
    LlamaCpp(demo_gguf, OPTIONS, on_progress=told.append).close()
    assert told[-1] == 1.0
