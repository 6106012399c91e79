"""``sus-local run`` and ``sus-local demo``, as scripts use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model

CAPITAL = "What is the capital of China?"


def run(*args: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sus_local", *args],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


def value(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_answer_and_nothing_else(demo_gguf: Path) -> None:
    done = run("run", str(demo_gguf), CAPITAL, "--temp", "0")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "The capital of China is Beijing.\n",
        "",
    )


def test_json_has_the_figures(demo_gguf: Path) -> None:
    answer = value(run("run", str(demo_gguf), CAPITAL, "--temp", "0", "--json"))
    assert answer["text"] == "The capital of China is Beijing."
    assert answer["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == len(answer["token_ids"])
    assert answer["usage"].keys() == {"prompt_tokens", "cached_tokens", "completion_tokens"}
    assert answer["timings"].keys() == {"prefill_s", "decode_s", "ttft_s", "decode_tokens_per_s"}
    assert answer["model"]


def test_json_lines_come_before_the_object(demo_gguf: Path) -> None:
    done = run("run", str(demo_gguf), "中国的首都是哪里？", "--temp", "0", "--json", "--stream")
    *pieces, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(piece.keys() == {"text"} for piece in pieces)
    assert len(pieces) > 1
    assert "".join(piece["text"] for piece in pieces) == last["text"]
    assert "北京" in last["text"]


def test_the_prompt_may_come_through_a_pipe(demo_gguf: Path) -> None:
    piped = run("run", str(demo_gguf), "--temp", "0", stdin=f"{CAPITAL}\n")
    assert piped.stdout == "The capital of China is Beijing.\n"
    both = value(run("run", str(demo_gguf), "hi", "--json", "-n", "1", stdin="there\n"))
    alone = value(run("run", str(demo_gguf), "hi\nthere", "--json", "-n", "1"))
    assert both["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]
    assert both["finish_reason"] == "length"


def test_raw_takes_the_prompt_as_it_is(demo_gguf: Path) -> None:
    prompt = f"### Human: {CAPITAL}\n\n### Assistant: "
    raw = value(run("run", str(demo_gguf), prompt, "--template", "raw", "--temp", "0", "--json"))
    chat = value(run("run", str(demo_gguf), CAPITAL, "--temp", "0", "--json"))
    assert raw["token_ids"] == chat["token_ids"]


def test_an_answer_obeys_a_schema(demo_gguf: Path, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema))
    done = run("run", str(demo_gguf), "Give a number.", "--schema", str(path), "-n", "40")
    assert json.loads(done.stdout)["n"] in (1, 2)


def test_a_string_by_a_schema_has_no_raw_newline(demo_gguf: Path) -> None:
    import sus_local

    schema = {"type": "object", "properties": {"s": {"type": "string"}}, "required": ["s"]}
    with sus_local.load(demo_gguf) as llm:
        wanted = dict.fromkeys(llm.tokenize("\n\n") + llm.tokenize("a\nb"), 50.0)
        params = sus_local.SamplingParams(json_schema=schema, max_tokens=40, temperature=0)
        plain = llm.generate(CAPITAL, sampling=params)
        forced = llm.generate(CAPITAL, sampling=replace(params, logit_bias=wanted))
    assert plain.text.startswith("{")
    assert "\n" not in plain.text + forced.text


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_closed_pipe_is_quiet(demo_gguf: Path) -> None:
    command = [sys.executable, "-m", "sus_local", "run", str(demo_gguf), "hi"]
    sampling = ["--temp", "50", "--top-k", "0", "--top-p", "1", "--min-p", "0", "-n", "4000"]
    with subprocess.Popen(
        [*command, *sampling],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.read(1)
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(60) in (0, 141)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_with_130_and_keeps_what_came(demo_gguf: Path) -> None:
    command = [sys.executable, "-m", "sus_local", "run", str(demo_gguf), "hi", "--json", "--stream"]
    sampling = ["--temp", "50", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "3"]
    grammar = Path(os.environ["SUS_LOCAL_HOME"]) / "endless.gbnf"
    grammar.write_text(f"many ::= {'[ab] ' * 500}\nroot ::= {'many ' * 12}")
    with subprocess.Popen(
        [*command, *sampling, "--grammar", str(grammar)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as program:
        assert program.stdout is not None
        first = json.loads(program.stdout.readline())
        program.send_signal(signal.SIGINT)
        *_, last = program.stdout.read().splitlines()
        assert program.wait(60) == 130
        answer = json.loads(last)
        assert answer["finish_reason"] == "cancelled"
        assert answer["text"].startswith(first["text"])


def test_demo_holds_the_conversation_twice() -> None:
    first = run("demo")
    assert first.returncode == 0
    assert first.stdout == "Hello! How can I help you?\nThe capital of China is Beijing.\n"
    for said in (">>> hi", f">>> {CAPITAL}", "tokens/s", "KV cache saved", "sus-local demo --chat",
                 "sus-local convert SUSTech/SUS-Chat-34B -q Q4_K_M", "converting"):  # fmt: skip
        assert said in first.stderr
    second = value(run("demo", "--json"))
    assert [turn["user"] for turn in second["turns"]] == ["hi", CAPITAL]
    assert second["turns"][1]["text"] == "The capital of China is Beijing."
    assert second["turns"][1]["usage"]["cached_tokens"] > 10
    assert "converting" not in run("demo").stderr


def test_the_demo_model_has_a_name() -> None:
    assert run("run", "demo", CAPITAL, "--temp", "0").stdout == "The capital of China is Beijing.\n"
