"""Chinese for a zh locale or ``--lang zh``: all that the program says, not only some of it."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sus_local.cli import main, text
from sus_local.cli.localise import localised
from sus_local.cli.logs import shown
from sus_local.cli.told import _texts, told
from sus_local.cli.zh import TEXTS
from tests.cli.sentences import ROOT, VALUE, Sentence, sentences

CHINESE = re.compile(r"[\u3400-\u9fff]")
PLACE = re.compile(r"\{(\w+)[^}]*\}")
COMMAND = re.compile(r"^(SUS-Chat-34B: )?(sus-local|/\w+|pip |CMAKE_ARGS=|.* --help$)")


@pytest.fixture
def chinese() -> Iterator[None]:
    text.use("zh")
    yield
    text.use("en")


def literals() -> list[tuple[str, str]]:
    """Every text that the command line hands to ``t``, and where."""
    found = []
    for path in sorted((ROOT / "sus_local" / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_t = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t"
            if is_t and isinstance(node.args[0], ast.Constant):
                found.append((f"{path.name}:{node.lineno}", str(node.args[0].value)))
    return found


def test_every_text_of_the_command_line_is_translated() -> None:
    missing = [f"{place} {english}" for place, english in literals() if english not in TEXTS]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("catalogue", [TEXTS, _texts()], ids=["texts", "errors"])
def test_a_translation_fills_the_same_places(catalogue: dict[str, str]) -> None:
    for english, translated in catalogue.items():
        assert set(PLACE.findall(translated)) == set(PLACE.findall(english)), english


def test_every_error_and_hint_is_told_in_chinese(chinese: None) -> None:
    wrong = [f"{each.place} {each.english}" for each in sentences() if not is_told(each)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "why",
    [
        "tensor output.weight is of type I8, which holds no weights",
        "it has 513 layers, llama.cpp takes 512",
        "its norms have the epsilon nan",
        "its positions are scaled by 'junk', which llama.cpp does not know",
        "it uses 0 of 8 experts",
        "its 8 experts are in 3 groups",
        "it uses 0 of 2 groups of experts",
        "its tokenizer is 'bert', this program knows llama and gpt2",
        "it has 1 tokens twice, of 2560",
        "its vocabulary lacks 1 of 256 bytes, <0x0A> first",
    ],
)
def test_what_is_wrong_with_a_model_is_told_in_chinese(chinese: None, why: str) -> None:
    translated = told(f"/a/b c.gguf cannot be used: {why}")
    assert translated.startswith("/a/b c.gguf 无法使用：")
    assert not re.search(r"\b(its?|the|are|tokens)\b", translated)


def is_told(sentence: Sentence) -> bool:
    """Whether a sentence becomes Chinese with all its values; a command to type stays."""
    translated = told(sentence.english)
    whole = translated.count(VALUE) == sentence.english.count(VALUE)
    named = CHINESE.search(translated) or COMMAND.match(translated) or translated == VALUE
    return whole and bool(named)


def test_the_source_is_really_read() -> None:
    found = [each.english for each in sentences()]
    assert len(found) > 250
    assert f"there is no conversation {VALUE}" in found  # an f-string
    assert "start a new conversation, or load a larger n_ctx" in found  # given to a function
    assert f"this would fit: {VALUE}" in found  # returned by a function


def commands(command: click.Command) -> Iterator[click.Command]:
    """A command and all below it."""
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child)


def test_every_help_is_chinese(chinese: None) -> None:
    for command in commands(localised(main.cli)):
        context = command.context_class(command, info_name="it", help_option_names=["-h", "--help"])
        english = [line for line in command.get_help(context).split("\n") if is_english(line)]
        assert not english, f"{command.name}: {english}"


def is_english(line: str) -> bool:
    """Whether a line of a help has a remark in English; commands to type and names stay."""
    remark = re.sub(r"^\s+(sus-local|cat) .*?(\s\s|$)|^\s+--?[\w-].*?\s\s", "", line)
    words = re.findall(r"\b[a-z]{3,}\b", remark)
    return len(words) > 1 and not CHINESE.search(remark)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["cht"], "错误：没有命令 'cht'。是不是 chat？\n提示：sus-local --help"),
        (["chat", "--tmp", "1"], "没有选项 '--tmp'。"),
        (["history", "search"], "缺少参数 'WORDS...'。"),
        (["history", "show", "x"], "的值无效：'x' 不是整数。"),
        (["run", "--temp", "hot", "m", "p"], "'--temp' 的值无效：'hot' 不是数字。"),
        (["run", "--schema", "/no/such", "m", "p"], "文件 '/no/such' 不存在。"),
        (["run", "--kv-type", "z", "m", "p"], "'z' 不在 'f16', 'q8_0', 'q4_0' 之中。"),
        (["run", "m", "p", "--stop"], "选项 '--stop' 需要一个值。"),
        (["models", "list", "--json=1"], "选项 '--json' 不接受值。"),
        (["pull", "a/b", "c"], "多余的参数（c）"),
        (["chat", "--continue", "--no-history"], "--no-history 没有可以继续的内容"),
        (["history", "show", "7"], "错误：没有编号为 7 的对话\n提示：sus-local history list"),
        (["chat", "/no/such.gguf"], "错误：没有文件 /no/such.gguf"),
        (["convert", "nowhere", "-q", "Q4_K_M"], "错误：没有这个文件夹：nowhere"),
    ],
)
def test_what_goes_wrong_is_told_in_chinese(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert main.run(["--lang", "zh", *arguments]) in (1, 2)
    finally:
        text.use("en")
    assert expected in capsys.readouterr().err


def test_the_locale_decides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    try:
        assert main.run(["chat", "--help"]) == 0
        assert capsys.readouterr().out.startswith("用法：sus-local chat [选项] [MODEL]\n")
    finally:
        text.use("en")


@pytest.mark.parametrize(
    ("environ", "expected"), [({}, "zh"), ({"LANG": "en_US.UTF-8"}, "en"), ({"LANG": ""}, "zh")]
)
def test_the_system_is_asked_where_no_variable_tells(
    environ: dict[str, str], expected: str
) -> None:
    assert text.choose(["chat"], environ, lambda: "zh_CN") == expected


def test_what_programs_read_is_english_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        main.run(["history", "show", "7", "--json", "--lang", "zh"])
    finally:
        text.use("en")
    assert '"message": "there is no conversation 7"' in capsys.readouterr().out


def test_a_path_in_an_error_stays_as_it_is(chinese: None, tmp_path: Path) -> None:
    odd = tmp_path / "there is no turn 3, or reading"
    assert told(f"there is no file {odd}") == f"没有文件 {odd}"


@pytest.mark.parametrize(
    "english",
    [
        "weights of 12 layers",
        "KV cache, q8_0, 1 layer",
        "kept 12 tokens in the context, restored 3 tokens from disk",
        "nothing was cached; diverged at 7 from 90 cached tokens",
        "RTX 4090 is here, but the installed llama.cpp was built without CUDA: pip install x",
        "the hub answered 503 when asked for a.gguf; next attempt in 4 s",
        "needs 21.00 GB of memory, this machine has 8.00 GB",
    ],
)
def test_other_words_of_the_library_are_told_in_chinese(chinese: None, english: str) -> None:
    assert len(re.findall(r"\b[a-z]{3,}\b", told(english))) <= 4  # names and commands
    assert CHINESE.search(told(english))


def test_what_the_library_logs_is_shown_in_the_language_in_use(
    chinese: None, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    with shown(seen.append):
        logging.getLogger("sus_local.hub").warning("%s; next attempt in %.0f s", "no", 4.0)
    assert seen == ["no；4 秒后重试"]
    assert capsys.readouterr() == ("", "")
