"""Who computed once does not slow down others in its process for ever."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sus_local import LLM, SamplingParams, load
from sus_local.backend.llama_cpp import LlamaCpp
from sus_local.backend.openmp import release_threads
from tests.backend.test_embedding import embedding_gguf as embedding_gguf
from tests.engine.driving import call

TASKS = Path("/proc/self/task")
QUESTION = [{"role": "user", "content": "Who are you?"}]

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not TASKS.is_dir(), reason="counts threads as Linux tells them"),
]


def num_native() -> int:
    """Threads that are not Python's own."""
    return len(os.listdir(TASKS)) - threading.active_count()


def most_native(llm: LLM) -> int:
    """As many as there are while an answer is computed."""
    pieces = llm.stream(QUESTION, sampling=SamplingParams(temperature=0))
    return max(num_native() for _ in pieces)


@pytest.fixture
def uses_openmp(demo_gguf: Path) -> None:
    with load(demo_gguf, n_threads=1, n_ctx=512, kv_disk_bytes=0) as llm:
        alone = most_native(llm)
    with load(demo_gguf, n_threads=3, n_ctx=512, kv_disk_bytes=0) as llm:
        if most_native(llm) <= alone:
            pytest.skip("llama.cpp was built without OpenMP")


@pytest.mark.usefixtures("uses_openmp")
def test_an_engine_that_rests_keeps_no_threads(demo_gguf: Path) -> None:
    with load(demo_gguf, n_threads=3, n_ctx=512, kv_disk_bytes=0) as llm:
        for _ in range(2):
            rested = most_native(llm) - 2
            assert any(call(llm._loop, num_native) <= rested for _ in range(5000))


@pytest.mark.usefixtures("uses_openmp")
def test_an_embedding_leaves_no_threads(
    embedding_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[bool] = []

    def counted() -> None:
        before = num_native()
        release_threads()
        # A thread that ended is listed for a moment yet.
        released.append(any(num_native() < before for _ in range(20_000)))

    monkeypatch.setattr("sus_local.backend.llama_cpp.release_threads", counted)
    monkeypatch.setattr(LlamaCpp, "rest", lambda self: None)
    with load(embedding_gguf, n_threads=3, n_ctx=512, kv_disk_bytes=0) as llm:
        llm.embed("hello there")
    assert released == [True]
