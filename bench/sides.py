"""The programs that are compared, each behind the same small door: token ids in, token ids out."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import sus_local
from sus_local import LLM, SamplingParams
from sus_local.backend.openmp import release_threads


@dataclass(frozen=True)
class Settings:
    """How every program loads the model.

    Attributes:
        flash_attn: Of sus-local; None leaves it to the memory plan.
        draft_max: Of sus-local; 0 where each token is to be decoded by itself.
    """

    n_threads: int
    n_ctx: int = 8192
    flash_attn: bool | None = None
    draft_max: int | None = 0


@dataclass(frozen=True)
class Answer:
    """What one request gave.

    Attributes:
        ttft_s: From the call to the first token, by a clock outside the program.
        prefilled_tokens: Prompt tokens that it computed.
    """

    token_ids: tuple[int, ...]
    ttft_s: float
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

    def __init__(self, llm: LLM) -> None:
        self.llm = llm

    def answer(self, prompt: Sequence[int], num_tokens: int) -> Answer:
        began = time.perf_counter()
        stream = self.llm.stream(list(prompt), sampling=_greedy(num_tokens))
        next(piece for piece in stream if piece.token_ids)
        first = time.perf_counter() - began
        result = stream.result  # waits for the end, and wakes once
        return Answer(result.token_ids, first, result.usage.prefilled_tokens)

    def decode_speed(self, prompt: Sequence[int], num_tokens: int) -> float:
        """Tokens a second after the first one, by the engine's own clock, as llama-bench does."""
        result = self.llm.generate(list(prompt), sampling=_greedy(num_tokens))
        return result.timings.decode_tokens_per_s

    def obey(self, prompt: Sequence[int], schema: dict[str, Any], num_tokens: int) -> str:
        """An answer by a JSON schema, of at most so many tokens."""
        ruled = SamplingParams(temperature=0, max_tokens=num_tokens, json_schema=schema)
        return self.llm.generate(list(prompt), sampling=ruled).text


def _greedy(num_tokens: int) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True)


class LlamaServer:
    """llama-server, spoken to over its socket, with its prompt cache at its default."""

    name = "llama-server"

    def __init__(self, port: int) -> None:
        self._port = port

    def answer(self, prompt: Sequence[int], num_tokens: int) -> Answer:
        body = {
            "prompt": list(prompt), "n_predict": num_tokens, "temperature": 0, "top_k": 1,
            "ignore_eos": True, "cache_prompt": True, "stream": True, "return_tokens": True,
        }  # fmt: skip
        began, first = time.perf_counter(), 0.0
        token_ids: list[int] = []
        computed = 0
        for event in self._complete(body):
            if event.get("tokens") and not token_ids:
                first = time.perf_counter() - began
            token_ids += event.get("tokens", [])
            computed = event.get("timings", {}).get("prompt_n", computed)
        return Answer(tuple(token_ids), first, computed)

    def obey(self, prompt: Sequence[int], schema: dict[str, Any], num_tokens: int) -> str:
        """An answer by a JSON schema, of at most so many tokens."""
        body = {
            "prompt": list(prompt), "n_predict": num_tokens, "temperature": 0, "top_k": 1,
            "json_schema": schema, "cache_prompt": True, "stream": True,
        }  # fmt: skip
        return "".join(event["content"] for event in self._complete(body))

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[str, int]:
        """The answer to a conversation, of at most 32 tokens, and the prompt tokens computed."""
        body = {"messages": messages, "temperature": 0, "max_tokens": 32}
        with self._post("/v1/chat/completions", body) as response:
            answer = json.load(response)
        return answer["choices"][0]["message"]["content"], int(answer["timings"]["prompt_n"])

    def _complete(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with self._post("/completion", body) as response:
            for line in response:
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:])

    @contextlib.contextmanager
    def _post(self, path: str, body: dict[str, Any]) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            yield connection.getresponse()


class LlamaCppPython:
    """``llama_cpp.Llama``, the bindings' own class."""

    name = "llama_cpp.Llama"

    def __init__(self, model: Path, settings: Settings) -> None:
        from llama_cpp import Llama  # compiled code, too heavy for a look at --help

        self._llama = Llama(
            str(model),
            n_ctx=settings.n_ctx,
            n_threads=settings.n_threads,
            n_threads_batch=settings.n_threads,
            verbose=False,
        )

    def answer(self, prompt: Sequence[int], num_tokens: int) -> Answer:
        before = self._llama._input_ids.tolist()
        known = self._llama.longest_token_prefix(before, list(prompt)[:-1])
        began, first = time.perf_counter(), 0.0
        token_ids: list[int] = []
        for token_id in self._llama.generate(list(prompt), temp=0.0, top_k=1):
            first = first or time.perf_counter() - began
            token_ids.append(token_id)
            if len(token_ids) == num_tokens:
                break
        release_threads()  # or they would slow down whoever is measured next in this process
        return Answer(tuple(token_ids), first, len(prompt) - known)


@contextlib.contextmanager
def open_sus_local(model: Path, settings: Settings, kv_dir: Path) -> Iterator[SusLocal]:
    """The model in this project's engine, closed at the end."""
    with sus_local.load(model, **asdict(settings), kv_dir=kv_dir) as llm:
        yield SusLocal(llm)


@contextlib.contextmanager
def open_llama_server(
    programs: Path, model: Path, settings: Settings, *options: str
) -> Iterator[LlamaServer]:
    """The model in a llama-server of its own, ended at the end."""
    port = _free_port()
    command = [programs / "llama-server", "-m", model, "--port", port, "--no-webui"]
    command += ["-c", settings.n_ctx, "-t", settings.n_threads, *options]
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
