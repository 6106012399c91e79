"""Byte-level BPE tokenizers in ``tokenizer.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sus_local.convert import convert
from sus_local.convert.bpe import _LLAMA3
from sus_local.convert.config import parse_config
from sus_local.convert.source import open_source
from sus_local.convert.vocab import read_vocabulary
from sus_local.errors import TokenizerError

from .checkpoints import write_checkpoint, write_json

TEXT = "Hello hello world, how are you? I'm fine 12345 你好世界 def f(x): return x  # it\n\n" * 4


def write_bpe_checkpoint(folder: Path, *, llama3: bool = True) -> Path:
    """A checkpoint with a trained ``tokenizer.json`` and no ``tokenizer.model``."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if llama3:
        split = pre_tokenizers.Split(Regex(_LLAMA3), "isolated")
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    write_checkpoint(folder)
    (folder / "tokenizer.model").unlink()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"bos_token": "<|begin|>", "eos_token": "<|end|>"})
    return folder


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


@pytest.mark.model
@pytest.mark.parametrize(("llama3", "pre"), [(True, "llama-bpe"), (False, "gpt-2")])
def test_llama_cpp_encodes_as_the_tokenizers_library(
    tmp_path: Path, llama3: bool, pre: str
) -> None:
    from gguf import GGUFReader

    folder = write_bpe_checkpoint(tmp_path / "in", llama3=llama3)
    report = convert(str(folder), types=["Q8_0"], output=tmp_path / "out.gguf")
    reader = GGUFReader(report.outputs[0].path)
    fields = {
        key: reader.get_field(f"tokenizer.ggml.{key}")
        for key in ("model", "pre", "eos_token_id", "add_bos_token")
    }
    told = {key: field.contents() for key, field in fields.items() if field is not None}
    assert told == {"model": "gpt2", "pre": pre, "eos_token_id": 1, "add_bos_token": False}


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


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece"])
def test_another_kind_of_tokenizer_json_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = write_bpe_checkpoint(tmp_path)
    edit(folder, model={"type": kind, "vocab": []})
    source = open_source(str(folder))
    with pytest.raises(TokenizerError, match=kind):
        read_vocabulary(source, parse_config(source.config))
