"""A converted file, alone with llama.cpp: what it says of itself is enough to chat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sus_local import SamplingParams, load
from sus_local.template import render

pytestmark = pytest.mark.model

QUESTIONS = ["What is the capital of France?", "你好", "Hello!"]
HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "Hello! How can I help you?"},
    {"role": "user", "content": "What is the capital of China?"},
]


@pytest.fixture(scope="module")
def llama(demo_gguf: Path, bare_llama_cpp: None) -> Iterator[Any]:
    """llama-cpp-python's own model: template, tokens and end of turn come from the file."""
    from llama_cpp import Llama

    llama = Llama(str(demo_gguf), n_ctx=512, n_threads=1, verbose=False)
    yield llama
    llama.close()


def test_it_answers_as_this_program_does(llama: Any, demo_gguf: Path) -> None:
    greedy = SamplingParams(temperature=0.0, max_tokens=48)
    with load(demo_gguf, n_ctx=512, n_threads=1) as llm:
        for question in QUESTIONS:
            chat = [{"role": "user", "content": question}]
            answer = llama.create_chat_completion(chat, temperature=0.0, max_tokens=48)
            ours = llm.generate(chat, sampling=greedy)
            assert answer["usage"]["prompt_tokens"] == ours.usage.prompt_tokens
            assert answer["choices"][0]["message"]["content"] == ours.text
            assert answer["choices"][0]["finish_reason"] == ours.finish_reason == "stop"


def test_it_renders_a_conversation_as_this_program_does(llama: Any) -> None:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    template = llama.metadata["tokenizer.chat_template"]
    formatter = Jinja2ChatFormatter(template, eos_token="<|endoftext|>", bos_token="")
    assert formatter(messages=HISTORY).prompt == render(HISTORY)
