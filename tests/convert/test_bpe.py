"""Byte-level BPE tokenizers in ``tokenizer.json``."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sus_local.convert import convert
from sus_local.convert.bpe import library_encoder
from sus_local.convert.config import parse_config
from sus_local.convert.fields import Value
from sus_local.convert.pre_tokenizers import LLAMA3, NAMES, pre_tokenizer_name
from sus_local.convert.source import Source, open_source
from sus_local.convert.verify import check_tokenizer, vocabulary_of
from sus_local.convert.vocab import read_vocabulary
from sus_local.errors import TokenizerError

from .checkpoints import write_checkpoint, write_json

TEXT = (
    "Hello hello world, how ARE you? I'm fine, I'LL go 12345 ٣٤ 你好世界 カタカナ 한국어 "
    "नमस्ते हिन्दी ไทย é def f(x): return x  # it\n\n\t3.14;\r\n"
) * 4
LETTERS = " \n\tabXYZ'sé'LL.,!?-_()#019٣你好ひカ한글हिไ🙂\u0301\u3000"


def pre_tokenizer(parts: Sequence[str]) -> dict[str, Any]:
    """The JSON that consists of these parts."""
    made: list[dict[str, Any]] = []
    for part in parts:
        kind, _, regex = part.partition(" ")
        if kind == "split":
            pattern = {"Regex": regex}
            made.append(
                {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
            )
        elif kind == "digits":
            made.append({"type": "Digits", "individual_digits": True})
        elif kind == "bytes":
            level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
            made.append({**level, "use_regex": bool(regex)})
    return {"type": "Sequence", "pretokenizers": made} if len(made) > 1 else made[0]


def write_bpe_checkpoint(folder: Path, *, name: str = "llama-bpe") -> Path:
    """A checkpoint with a trained ``tokenizer.json`` and no ``tokenizer.model``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    parts = next(parts for parts, known in NAMES.items() if known == name)
    empty = json.loads(Tokenizer(models.BPE(ignore_merges="words" in parts)).to_str())
    empty["pre_tokenizer"] = pre_tokenizer(parts)
    tokenizer = Tokenizer.from_str(json.dumps(empty))
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    write_checkpoint(folder, vocab_size=480)
    (folder / "tokenizer.model").unlink()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"bos_token": "<|begin|>", "eos_token": "<|end|>"})
    return folder


def gate(source: Source) -> None:
    """Both readers of ``tokenizer.json``: this project's, and the library's."""
    read_vocabulary(source, parse_config(source.config))
    library_encoder(source)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


@pytest.mark.model
@pytest.mark.parametrize("name", NAMES.values())
def test_llama_cpp_encodes_as_the_tokenizers_library(tmp_path: Path, name: str) -> None:
    folder = write_bpe_checkpoint(tmp_path, name=name)
    source = open_source(str(folder))
    vocabulary = read_vocabulary(source, parse_config(source.config))
    assert vocabulary.pre == name
    fields: dict[str, Value] = {"general.architecture": "llama", **vocabulary.fields()}
    check_tokenizer(source, vocabulary, fields)
    encode, random_letters = library_encoder(source), random.Random(1)
    with vocabulary_of(fields) as llama_encode:
        for _ in range(300):
            text = "".join(random_letters.choices(LETTERS, k=random_letters.randint(1, 30)))
            assert llama_encode(text) == encode(text), text


@pytest.mark.skipif(sys.platform != "linux", reason="names are of any bytes on Linux alone")
def test_a_path_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    folder = write_bpe_checkpoint(tmp_path / "in").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    assert library_encoder(open_source(str(folder)))("Hello")


@pytest.mark.model
def test_a_converted_file_names_its_pre_tokenizer(tmp_path: Path) -> None:
    from gguf import GGUFReader

    folder = write_bpe_checkpoint(tmp_path / "in")
    report = convert(str(folder), types=["Q8_0"], output=tmp_path / "out.gguf")
    reader = GGUFReader(report.outputs[0].path)
    fields = {
        key: reader.get_field(f"tokenizer.ggml.{key}")
        for key in ("model", "pre", "eos_token_id", "add_bos_token")
    }
    told = {key: field.contents() for key, field in fields.items() if field is not None}
    assert told == {"model": "gpt2", "pre": "llama-bpe", "eos_token_id": 1, "add_bos_token": False}


def test_other_spellings_of_a_pre_tokenizer_are_known(tmp_path: Path) -> None:
    spelled = pre_tokenizer((f"split {LLAMA3}", "bytes"))
    split = spelled["pretokenizers"][0]
    split["pattern"] = {"Regex": LLAMA3.replace(r"\r\n", "\r\n")}
    split.update(behavior="Removed", invert=True)
    assert pre_tokenizer_name({"pre_tokenizer": spelled, "model": {}}) == "dbrx"
    split.update(behavior="Removed", invert=False)
    assert pre_tokenizer_name({"pre_tokenizer": spelled, "model": {}}) == ""


def test_a_template_of_the_post_processor_asks_for_bos(tmp_path: Path) -> None:
    folder = write_bpe_checkpoint(tmp_path)
    single = [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A"}}]
    edit(folder, post_processor={"type": "TemplateProcessing", "single": single, "pair": []})
    source = open_source(str(folder))
    vocabulary = read_vocabulary(source, parse_config(source.config))
    assert (vocabulary.add_bos, vocabulary.add_eos) == (True, False)


def test_an_unknown_pre_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write_bpe_checkpoint(tmp_path)
    edit(folder, pre_tokenizer={"type": "Whitespace"})
    source = open_source(str(folder))
    with pytest.raises(TokenizerError, match="pre-tokenizer"):
        read_vocabulary(source, parse_config(source.config))


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"type": "BPE"}},
        {"model": {"type": "BPE", "vocab": ["a"], "merges": []}},
        {"model": {"type": "BPE", "vocab": {"a": "1"}, "merges": []}},
        {"model": {"type": "BPE", "vocab": {"a": 1}, "merges": [5]}},
        {"added_tokens": [{"id": "x"}]},
        {"post_processor": {"processors": [{"type": "TemplateProcessing", "single": [7]}]}},
    ],
)
def test_rubbish_in_tokenizer_json_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_bpe_checkpoint(tmp_path)
    edit(folder, **change)
    source = open_source(str(folder))
    with pytest.raises(TokenizerError):
        gate(source)


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece"])
def test_another_kind_of_tokenizer_json_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = write_bpe_checkpoint(tmp_path)
    edit(folder, model={"type": kind, "vocab": []})
    source = open_source(str(folder))
    with pytest.raises(TokenizerError, match=kind):
        read_vocabulary(source, parse_config(source.config))
