"""A process that is killed in the middle costs what it had not written yet, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sus_local import LLM, SamplingParams
from sus_local.backend.fake import Fake
from sus_local.kv.store import BlockStore
from sus_local.kv.tiers import DiskTier, RamTier

GREEDY = SamplingParams(temperature=0, max_tokens=300, ignore_eos=True)

ANSWER_UNTIL_KILLED = """
import sys
from pathlib import Path
from sus_local import LLM, SamplingParams
from sus_local.backend.fake import Fake
from sus_local.kv.store import BlockStore
from sus_local.kv.tiers import DiskTier, RamTier

folder, text = Path(sys.argv[1]), sys.argv[2]
store = BlockStore(RamTier(1 << 20), DiskTier(folder, 1 << 24))
llm = LLM(Fake(n_ctx=4096), store=store)
num_tokens = 0
for piece in llm.stream(text, sampling=SamplingParams(temperature=0, ignore_eos=True)):
    num_tokens += len(piece.token_ids)
    if num_tokens % 10 == 0 and not store.disk._pending:
        print(num_tokens, flush=True)
"""


def killed_after(folder: Path, text: str, num_tokens: int) -> None:
    """A process that answers ``text`` and dies without warning after so many tokens."""
    command = [sys.executable, "-c", ANSWER_UNTIL_KILLED, str(folder), text]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= num_tokens:
                process.kill()
                break
        process.stdout.close()


def restarted(folder: Path) -> LLM:
    store = BlockStore(RamTier(1 << 20), DiskTier(folder, 1 << 24))
    return LLM(Fake(n_ctx=4096), store=store)


@pytest.mark.parametrize("num_tokens", [10, 150])
def test_after_a_kill_only_new_tokens_are_prefilled_and_the_answer_is_the_same(
    tmp_path: Path, num_tokens: int
) -> None:
    text = "What is the capital of China? " * 10
    with LLM(Fake(n_ctx=4096)) as fresh:
        expected = fresh.generate(text, sampling=GREEDY)
    killed_after(tmp_path, text, num_tokens)
    with restarted(tmp_path) as llm:
        again = llm.generate(text, sampling=GREEDY)
        history = [*llm.encode([{"role": "user", "content": text}]), *again.token_ids]
        more = llm.generate([*history, 9, 9, 9], sampling=GREEDY)
    assert again.token_ids == expected.token_ids
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
    with LLM(Fake(n_ctx=4096)) as fresh:
        assert fresh.generate([*history, 9, 9, 9], sampling=GREEDY).token_ids == more.token_ids


def test_leftovers_of_a_kill_are_no_blocks(tmp_path: Path) -> None:
    text = "Tell me a story. " * 20
    killed_after(tmp_path, text, 100)
    for path in list(tmp_path.glob("*.kv")):
        (tmp_path / f"{path.name}.{os.getpid()}.part").write_bytes(path.read_bytes()[:50])
        path.write_bytes(path.read_bytes()[:-7])
    with restarted(tmp_path) as llm, LLM(Fake(n_ctx=4096)) as fresh:
        again = llm.generate(text, sampling=GREEDY)
        assert again.usage.cached_tokens == 0
        assert again.token_ids == fresh.generate(text, sampling=GREEDY).token_ids
