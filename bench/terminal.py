"""What one feels in a terminal chat, beside other programs: ``python bench/terminal.py --help``.

Each program runs in a pseudo-terminal of its own, one after the other, round after round, and is
driven by its keyboard; times are those at which the screen shows something.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from peers import WORD, LlamaCli, Llm, Peer, SusLocalChat, TerminalChat
from random_model import Shape, write_random_model
from sides import Settings, open_llama_server

QUESTION = "What is the capital of China?"
LONG = "Please remember that my name is Otto and that I live in Bremen. " * 20
NUM_LONG = 3
REST_SECONDS = 3.0
STOP_SECONDS = 20.0
SHOWN_SECONDS = 2.0
# Small enough to load at once, slow enough that an answer can be interrupted.
SLOW = Shape(n_layer=12, n_embd=768, n_ff=2048, n_head=12, n_head_kv=4, n_vocab=8000)
MARKS = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
_SAVED = re.compile(r"KV cache (\d+)/(\d+)")


@dataclass
class Column:
    """What was seen of one program: for each thing its figures, one a round, or words."""

    figures: dict[str, list[float]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, figure: float) -> None:
        """Take a figure."""
        self.figures.setdefault(what, []).append(figure)

    def add_words(self, what: str, words: str) -> None:
        """Take what was seen, once more only if it is something else."""
        before = self.words.get(what)
        if before is None or words not in before:
            self.words[what] = words if before is None else f"{before}; {words}"

    def cell(self, what: str) -> str:
        """The median, and the smallest and the largest."""
        values = self.figures.get(what)
        if not values:
            return self.words.get(what, "–")
        low, high = min(values), max(values)
        spread = f" ({_short(low)}–{_short(high)})" if high > low else ""
        return f"{_short(statistics.median(values))}{spread}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


ROWS = (
    PROMPT, FIRST, NEXT, MEMORY, REST, STOP, AFTER_STOP, KILLED, RESTART, RECOMPUTED,
) = (
    "seconds to the first prompt",
    "seconds from start to the first letters of an answer",
    "seconds from Enter to the first letters, second question",
    "MiB of memory after two answers",
    "processor seconds a minute at rest",
    "seconds from Ctrl-C to the prompt",
    "after Ctrl-C",
    "kept of an answer on kill -9, of 100 words shown",
    "seconds from Enter to the first letters, going on after a restart",
    "prompt tokens computed then",
)  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        slow = write_random_model(Path(folder) / "slow.gguf", SLOW)
        columns: dict[str, Column] = {}
        for number in range(1, options.rounds + 1):
            for peer in _peers(options, Path(folder, str(number))):
                print(f"round {number}: {peer.name}", file=sys.stderr)
                column = columns.setdefault(peer.name, Column())
                for measure in (_first, _interrupted, _killed, _restarted):
                    measure(peer, column, options.model, slow)
        if options.build:
            columns["llama-server"] = _server(options.build / "bin", options.model)
    table = "\n".join(_table(columns))
    print(table)
    if options.write:
        text = options.write.read_text(encoding="utf-8")
        fresh = MARKS.sub(lambda marks: f"{marks[1]}{table}\n{marks[2]}", text)
        options.write.write_text(fresh, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the demo model's GGUF")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--build", type=Path, help="a folder in which llama.cpp was built, with bin/"
    )
    parser.add_argument("--llm", type=Path, help="the program llm, with its plugin llm-gguf")
    parser.add_argument("--write", type=Path, help="a page that has the table between two marks")
    options = parser.parse_args()
    options.model = options.model.resolve()
    return options


def _peers(options: argparse.Namespace, folder: Path) -> Iterator[Peer]:
    """Each with a home of its own in ``folder``: a round must not find the KV of another one."""
    yield SusLocalChat(folder / "sus-local")
    if options.build:
        yield LlamaCli(options.build / "bin" / "llama-cli")
    if options.llm:
        yield Llm(options.llm, folder / "llm")


def _open(peer: Peer, model: Path, *, resume: bool = False) -> TerminalChat:
    command = peer.command(model, resume=resume)
    if command is None:
        raise ValueError(f"{peer.name} cannot resume")
    return TerminalChat(peer, command)


def _first(peer: Peer, column: Column, model: Path, _slow: Path) -> None:
    """From nothing to the first answers, and what the program takes at rest."""
    with _open(peer, model) as chat:
        prompt = chat.wait(chat.shows_prompt)
        column.add(PROMPT, prompt)
        column.add(FIRST, prompt + chat.ask(QUESTION))
        chat.wait(chat.is_ready)
        column.add(NEXT, chat.ask("And of France?"))
        chat.wait(chat.is_ready)
        chat.read_for(REST_SECONDS)  # a title is made
        column.add(MEMORY, chat.memory() / (1 << 20))
        before = chat.processor_seconds()
        chat.read_for(REST_SECONDS)
        column.add(REST, (chat.processor_seconds() - before) * 60 / REST_SECONDS)


def _interrupted(peer: Peer, column: Column, _model: Path, slow: Path) -> None:
    """Ctrl-C in an answer."""
    with _open(peer, slow) as chat:
        chat.wait(chat.shows_prompt)
        chat.ask(QUESTION)
        chat.read_for(SHOWN_SECONDS)
        chat.type("\x03")
        took = chat.wait_at_most(lambda: chat.is_ready() or chat.has_ended(), STOP_SECONDS)
        column.add(STOP, STOP_SECONDS if took is None else took)
        chat.read_for(0.5)
        outcome = "the chat ends" if chat.has_ended() else "the chat goes on"
        if took is None:
            outcome = f"the answer goes on, for more than {STOP_SECONDS:.0f} s"
        column.add_words(AFTER_STOP, outcome)


def _killed(peer: Peer, column: Column, _model: Path, slow: Path) -> None:
    """``kill -9`` in an answer."""
    with _open(peer, slow) as chat:
        chat.wait(chat.shows_prompt)
        chat.ask(QUESTION)
        chat.read_for(SHOWN_SECONDS)
        shown = chat.words()
        chat.kill()
    column.add(KILLED, 100 * min(1.0, len(WORD.findall(peer.kept())) / shown))


def _restarted(peer: Peer, column: Column, model: Path, _slow: Path) -> None:
    """A conversation that goes on in another process."""
    with _open(peer, model) as chat:
        chat.wait(chat.shows_prompt)
        for number in range(NUM_LONG):
            chat.ask(f"{LONG} This is message number {number}.")
            chat.wait(chat.is_ready)
        chat.type("exit\r" if isinstance(peer, Llm) else "\x04")
        chat.wait(chat.has_ended, 20)
    if peer.command(model, resume=True) is None:
        column.words[RESTART] = column.words[RECOMPUTED] = "cannot go on"
        return
    with _open(peer, model, resume=True) as chat:
        chat.wait(chat.is_ready)
        column.add(RESTART, chat.ask(QUESTION))
        chat.wait(chat.is_ready)
        found = _SAVED.search("\n".join(chat.lines()))
        if found:
            column.add(RECOMPUTED, int(found[2]) - int(found[1]))
        else:
            column.words[RECOMPUTED] = "not told; it keeps none"


def _server(programs: Path, model: Path) -> Column:
    """llama-server has no terminal; only what is left of a conversation after a restart."""
    column, messages, settings = Column(), [], Settings(n_threads=2)
    with open_llama_server(programs, model, settings) as side:
        for number in range(NUM_LONG):
            messages.append(_message("user", f"{LONG} This is message number {number}."))
            answer, _ = side.chat(messages)
            messages.append(_message("assistant", answer))
    with open_llama_server(programs, model, settings) as side:
        messages.append(_message("user", QUESTION))
        column.add(RECOMPUTED, side.chat(messages)[1])
    return column


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _table(columns: dict[str, Column]) -> Iterator[str]:
    """Markdown."""
    yield "| | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for row in ROWS:
        yield f"| {row} | " + " | ".join(each.cell(row) for each in columns.values()) + " |"


if __name__ == "__main__":
    main()
