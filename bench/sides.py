"""The programs that are compared, each behind the same small door: token ids in, token ids out."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

N_CTX = 8192
FLASH_ATTN: bool | None = None
"""Of sus-local; None leaves it to the memory plan."""


@dataclass(frozen=True)
class Answer:
    """What one request gave: its tokens, the seconds it took, the prompt tokens it computed."""

    token_ids: tuple[int, ...]
    ttft_s: float
    total_s: float
    prefilled_tokens: int


class Side(Protocol):
    """A program that answers greedily, never ending before ``num_tokens``."""

    name: str

    def answer(self, prompt: Sequence[int], num_tokens: int) -> Answer:
        """Answer a prompt of token ids."""
        ...


class SusLocal:
    """This project's engine."""

    name = "sus-local"

    def __init__(self, llm: Any) -> None:
        self.llm = llm

    def answer(self, prompt: Sequence[int], num_tokens: int) -> Answer:
        result = self.generate(prompt, num_tokens)
        timings = result.timings
        total = timings.ttft_s + timings.decode_s
        return Answer(result.token_ids, timings.ttft_s, total, result.usage.prefilled_tokens)

    def generate(self, prompt: Sequence[int], num_tokens: int) -> Any:
        """As ``answer``, with the whole result."""
        from sus_local import SamplingParams

        greedy = SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True)
        return self.llm.generate(list(prompt), sampling=greedy)

    def obey(self, prompt: Sequence[int], schema: dict[str, Any], num_tokens: int) -> str:
        """An answer by a JSON schema, of at most so many tokens."""
        from sus_local import SamplingParams

        ruled = SamplingParams(temperature=0, max_tokens=num_tokens, json_schema=schema)
        return str(self.llm.generate(list(prompt), sampling=ruled).text)


class LlamaServer:
    """llama-server, spoken to over its socket, with its prompt cache at its default."""

    name = "llama-server"

    def __init__(self, port: int) -> None:
        self.port = port

    def answer(self, prompt: Sequence[int], num_tokens: int) -> Answer:
        body = {
            "prompt": list(prompt), "n_predict": num_tokens, "temperature": 0, "top_k": 1,
            "ignore_eos": True, "cache_prompt": True, "stream": True, "return_tokens": True,
        }  # fmt: skip
        began, first = time.perf_counter(), 0.0
        token_ids: list[int] = []
        computed = 0
        for event in self._events(body):
            if event.get("tokens") and not token_ids:
                first = time.perf_counter() - began
            token_ids += event.get("tokens", [])
            computed = event.get("timings", {}).get("prompt_n", computed)
        return Answer(tuple(token_ids), first, time.perf_counter() - began, computed)

    def obey(self, prompt: Sequence[int], schema: dict[str, Any], num_tokens: int) -> str:
        """An answer by a JSON schema, of at most so many tokens."""
        body = {
            "prompt": list(prompt), "n_predict": num_tokens, "temperature": 0, "top_k": 1,
            "json_schema": schema, "cache_prompt": True, "stream": True,
        }  # fmt: skip
        return "".join(event["content"] for event in self._events(body))

    def _events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(
            "POST", "/completion", json.dumps(body), {"Content-Type": "application/json"}
        )
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])
        connection.close()


class LlamaCppPython:
    """``llama_cpp.Llama``, the bindings' own class."""

    name = "llama_cpp.Llama"

    def __init__(self, model: Path, n_threads: int) -> None:
        from llama_cpp import Llama

        self._llama = Llama(str(model), n_ctx=N_CTX, n_threads=n_threads, verbose=False)

    def answer(self, prompt: Sequence[int], num_tokens: int) -> Answer:
        known = self._llama.longest_token_prefix(self._llama._input_ids, list(prompt)[:-1])
        began, first = time.perf_counter(), 0.0
        token_ids: list[int] = []
        for token_id in self._llama.generate(list(prompt), temp=0.0, top_k=1):
            first = first or time.perf_counter() - began
            token_ids.append(token_id)
            if len(token_ids) == num_tokens:
                break
        total = time.perf_counter() - began
        return Answer(tuple(token_ids), first, total, len(prompt) - known)


@contextlib.contextmanager
def open_sus_local(model: Path, n_threads: int, kv_dir: Path) -> Iterator[SusLocal]:
    """The model in this project's engine, closed at the end."""
    import sus_local

    with sus_local.load(
        model, n_ctx=N_CTX, n_threads=n_threads, flash_attn=FLASH_ATTN, kv_dir=kv_dir
    ) as llm:
        yield SusLocal(llm)


@contextlib.contextmanager
def open_llama_server(programs: Path, model: Path, n_threads: int) -> Iterator[LlamaServer]:
    """The model in a llama-server of its own, ended at the end."""
    port = _free_port()
    command = [programs / "llama-server", "-m", model, "-c", N_CTX, "-t", n_threads]
    command += ["--port", port, "--no-webui"]
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_healthy(process, port)
        yield LlamaServer(port)
    finally:
        process.terminate()
        process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise SystemExit("llama-server did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
