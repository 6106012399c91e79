"""The runtime's speed, side by side with llama.cpp's own programs, in one run.

    python bench/runtime.py                         a random 1.2 B model, everything
    python bench/runtime.py --shape sus-chat        a random one with two of SUS-Chat-34B's layers
    python bench/runtime.py --model m.gguf --only decode,prefill

llama-bench, llama-batched-bench and llama-server are built from the source of the installed
llama-cpp-python at the first run. Each pair of figures is taken one right after the other, and the
ratio is the median over the pairs, so a machine with other work gives a fair ratio too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import conversations
import quotations
import structured
from figures import Figure
from llama_cpp_tools import find_programs
from padded_model import write_padded_model
from platformdirs import user_cache_path
from random_model import SHAPES, write_random_model
from sides import LlamaCppPython, Settings, Side, open_llama_server, open_sus_local
from throughput import Throughput

from sus_local.cores import num_fast_cores
from sus_local.offload.gguf_facts import ModelFacts, read_facts

CASES = (
    "decode", "prefill", "batched", "schema", "chat", "interrupted", "restart", "saving", "idle",
    "second", "quotations",
)  # fmt: skip


def main() -> int:
    """Run what the command line says; 1 if a figure is not as wanted."""
    options = _options()
    model = options.model or _random_model(options.cache, options.shape)
    facts = read_facts(model)
    settings = _settings(options, facts)
    programs = find_programs(options.cache, source=options.llama_cpp, build=options.build)
    figures = []
    for figure in _run(options, model, settings, programs, facts.n_vocab):
        figures.append(figure)
        print(_line(figure), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"model": model.name, "figures": [each.as_json() for each in figures]}))
    else:
        print(table(figures))
    return int(any(figure.met is False for figure in figures))


def _settings(options: argparse.Namespace, facts: ModelFacts) -> Settings:
    flash_attn = {"on": True, "off": False}.get(options.flash_attn)
    n_ctx = min(Settings.n_ctx, facts.n_ctx_train)
    return Settings(options.threads, n_ctx=n_ctx, flash_attn=flash_attn)


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    head = "| what | sus-local | other | ratio | spread | wanted |\n|---|---|---|---|---|---|"
    return "\n".join([head, *map(_line, figures)])


def _line(figure: Figure) -> str:
    theirs = "" if figure.theirs is None else f"{figure.theirs:.4g} ({figure.against})"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.3f}"
    spread = "" if figure.spread is None else "–".join(f"{each:.3f}" for each in figure.spread)
    wanted = "" if figure.wanted is None else f"{figure.wanted[0]} {figure.wanted[1]}"
    verdict = {True: " ✓", False: " ✗", None: ""}[figure.met]
    ours = f"{figure.ours:.4g} {figure.unit}"
    return f"| {figure.name} | {ours} | {theirs} | {ratio} | {spread} | {wanted}{verdict} |"


def _run(
    options: argparse.Namespace, model: Path, settings: Settings, programs: Path, n_vocab: int
) -> Iterator[Figure]:
    only = options.only
    with contextlib.ExitStack() as stack:
        kv_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(open_sus_local(model, settings, kv_dir))
        speed = Throughput(ours, programs, model, settings, n_vocab)
        cases: dict[str, Callable[[], Iterator[Figure]]] = {
            "decode": lambda: speed.decode(options.rounds),
            "prefill": lambda: speed.prefill(options.rounds),
            "batched": lambda: speed.batched(options.rounds),
            "saving": lambda: conversations.saving(ours, n_vocab),
            "idle": lambda: conversations.idle_conversations(ours, n_vocab),
            "second": lambda: conversations.second_model(ours, model, settings, n_vocab),
        }
        for name in CASES:
            if name in only and name in cases:
                yield from cases[name]()
        if {"chat", "interrupted", "schema"} & only:
            server = stack.enter_context(open_llama_server(programs, model, settings))
            everyone: list[Side] = [ours, server, LlamaCppPython(model, settings)]
            if "schema" in only:
                yield from structured.by_schema(ours, server, options.rounds, n_vocab)
            if "chat" in only:
                yield from conversations.long_conversation(everyone, n_vocab)
            if "interrupted" in only:
                yield from conversations.interrupted(everyone, n_vocab)
    if "quotations" in only:
        padded = _made(options.cache / "demo-padded-q4_k_m.gguf", write_padded_model)
        yield from quotations.conversation(padded, settings, programs, options.rounds)
    if "restart" in only:
        yield from conversations.restart(model, settings, n_vocab)


def _random_model(cache: Path, shape: str) -> Path:
    path = cache / f"random-{shape}-q4_k_m.gguf"
    return _made(path, lambda path: write_random_model(path, SHAPES[shape]))


def _made(path: Path, write: Callable[[Path], Path]) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, help="a GGUF file, instead of a random one")
    add("--shape", choices=SHAPES, default="1.2b", help="of the random model")
    add("--only", type=_names, default=set(CASES), help=f"some of {','.join(CASES)}")
    add("--rounds", type=int, default=5, help="pairs of measurements a figure")
    add("--flash-attn", choices=("on", "off"), help="of sus-local, instead of what it would take")
    add("--threads", type=int, default=num_fast_cores())
    add("--cache", type=Path, default=user_cache_path("sus-local-bench"))
    add("--llama-cpp", type=Path, help="llama.cpp's source, instead of downloading it")
    add("--build", type=Path, help="a folder in which llama.cpp was built with CMake")
    add("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _names(text: str) -> set[str]:
    names = set(text.split(","))
    if names - set(CASES):
        raise argparse.ArgumentTypeError(f"choose from {','.join(CASES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
