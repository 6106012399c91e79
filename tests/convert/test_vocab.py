"""The vocabulary of a checkpoint, and the gate that compares encodings."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sus_local.convert import sentencepiece_file as pieces
from sus_local.convert.config import LlamaConfig, parse_config
from sus_local.convert.metadata import model_fields
from sus_local.convert.source import Source, open_source
from sus_local.convert.tensors import expected_tensors
from sus_local.convert.verify import PROBES, check_gates, check_tokenizer, vocabulary_of
from sus_local.convert.vocab import Vocabulary, read_vocabulary
from sus_local.errors import TokenizerError
from sus_local.template import CHAT_TEMPLATE

from .checkpoints import VOCAB_SIZE, sentencepiece_model, write_checkpoint, write_json


def read(folder: Path) -> tuple[Source, LlamaConfig, Vocabulary]:
    source = open_source(str(folder))
    config = parse_config(source.config)
    return source, config, read_vocabulary(source, config)


def gate(folder: Path, **changes: Any) -> Vocabulary:
    """Run the tokenizer gate, with a vocabulary that was changed before."""
    source, config, vocabulary = read(folder)
    changed = replace(vocabulary, **changes)
    fields = model_fields(source, config, list(expected_tensors(config)), "F32")
    check_gates(source, changed, {**fields, **changed.fields()})
    return vocabulary


def add_tokens(folder: Path, decoder: dict[str, Any], **settings: Any) -> None:
    path = folder / "tokenizer_config.json"
    write_json(path, {**json.loads(path.read_text()), "added_tokens_decoder": decoder, **settings})


def test_pieces_keep_their_text_score_and_kind(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    folder = write_checkpoint(tmp_path)
    vocabulary = read(folder)[2]
    model = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert len(vocabulary.tokens) == model.vocab_size()
    for index, token in enumerate(vocabulary.tokens):
        assert token.text.decode() == model.id_to_piece(index)
        assert token.score == pytest.approx(model.get_score(index))
        assert (token.kind == pieces.BYTE) == model.is_byte(index)
        assert (token.kind == pieces.CONTROL) == model.is_control(index)
        assert (token.kind == pieces.UNKNOWN) == model.is_unknown(index)


def test_special_tokens_and_flags_are_those_of_sus_chat(tmp_path: Path) -> None:
    vocabulary = read(write_checkpoint(tmp_path))[2]
    assert vocabulary.special == {"bos": 1, "eos": 2, "unknown": 0, "padding": 0}
    assert (vocabulary.add_bos, vocabulary.add_eos) == (False, False)
    assert vocabulary.add_space_prefix is False
    assert vocabulary.chat_template == CHAT_TEMPLATE


def test_a_larger_model_pads_the_vocabulary(tmp_path: Path) -> None:
    vocabulary = read(write_checkpoint(tmp_path, vocab_size=VOCAB_SIZE + 3))[2]
    assert [token.text for token in vocabulary.tokens[-3:]] == [
        b"[PAD384]",
        b"[PAD385]",
        b"[PAD386]",
    ]
    assert {token.kind for token in vocabulary.tokens[-3:]} == {pieces.UNUSED}


def test_a_smaller_model_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="384 pieces, the model only 383") as caught:
        read(write_checkpoint(tmp_path, vocab_size=VOCAB_SIZE - 1))
    assert caught.value.vocab_size == VOCAB_SIZE - 1


def test_added_tokens_take_their_places(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, vocab_size=VOCAB_SIZE + 4)
    write_json(folder / "added_tokens.json", {"<extra>": VOCAB_SIZE})
    decoder = {
        str(VOCAB_SIZE + 1): {"content": "<|im_end|>"},
        str(VOCAB_SIZE + 2): {"content": "▁▁word"},
        str(VOCAB_SIZE + 9): {"content": "beyond the embedding"},
    }
    add_tokens(folder, decoder, eos_token={"content": "<|im_end|>"})
    vocabulary = gate(folder)
    found = [(token.text, token.kind) for token in vocabulary.tokens[VOCAB_SIZE:]]
    assert found[:3] == [
        (b"<extra>", pieces.USER_DEFINED),
        (b"<|im_end|>", pieces.CONTROL),
        (b"  word", pieces.USER_DEFINED),
    ]
    assert vocabulary.special["eos"] == VOCAB_SIZE + 1
    assert vocabulary.chat_template is None


@pytest.mark.parametrize("own", ["{{ messages[0].content }}", None])
def test_another_model_keeps_its_own_template(tmp_path: Path, own: str | None) -> None:
    folder = write_checkpoint(tmp_path)
    add_tokens(folder, {}, eos_token="<unk>", chat_template=own)
    assert read(folder)[2].chat_template == own


def test_an_own_template_of_sus_chat_becomes_the_exact_one(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    add_tokens(folder, {}, chat_template="### Human: {{ x }}\n\n### Assistant: ")
    assert read(folder)[2].chat_template == CHAT_TEMPLATE


@pytest.mark.parametrize("content", [b"", b"\x0a", b"\xff" * 40, b"not a model at all"])
def test_a_broken_tokenizer_model_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "tokenizer.model").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.model"):
        read(folder)


def test_a_tokenizer_model_cut_off_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    raw = (folder / "tokenizer.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(TokenizerError):
        gate(folder)


def test_a_tokenizer_model_without_bytes_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    raw = (folder / "tokenizer.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(raw.replace(b"<0x0A>", b"<0xxA>"))
    with pytest.raises(TokenizerError, match=r"lacks 1 of 256 bytes, <0x0A> first"):
        read(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"added_tokens_decoder": {"5": {"special": False}}},
        {"added_tokens_decoder": {"5": {"content": ""}}},
        {"added_tokens_decoder": {"5": {"content": None}}},
        {"added_tokens_decoder": {"5": None}},
        {"added_tokens_decoder": {"five": {"content": "a"}}},
        {"added_tokens_decoder": [1]},
        {"added_tokens_decoder": {"5": {"content": "\ud800"}}},
        {"bos_token": "\ud800"},
        {"chat_template": [{"name": {}, "template": "x"}]},
    ],
)
def test_rubbish_in_the_settings_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = write_checkpoint(tmp_path)
    add_tokens(folder, {}, **settings)
    with pytest.raises(TokenizerError) as caught:
        read(folder)
    assert caught.value.hint


def test_settings_may_start_with_a_byte_order_mark_but_not_nest_for_ever(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    path = folder / "tokenizer_config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert not read(folder)[2].add_bos
    path.write_text("[" * 100_000)
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json cannot be read"):
        read(folder)


def test_no_tokenizer_at_all_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "tokenizer.model").unlink()
    with pytest.raises(TokenizerError, match=r"no tokenizer\.model"):
        read(folder)


@pytest.mark.model
@pytest.mark.parametrize("prefix", [False, True])
def test_the_gate_passes_with_the_models_own_space_prefix(tmp_path: Path, prefix: bool) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "tokenizer.model").write_bytes(sentencepiece_model(dummy_prefix=prefix))
    assert gate(folder).add_space_prefix is prefix


@pytest.mark.model
def test_the_gate_stops_a_wrong_space_prefix_and_shows_the_first_difference(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    with pytest.raises(TokenizerError, match="at token 0") as caught:
        gate(folder, add_space_prefix=True)
    assert caught.value.text == PROBES[0]
    assert caught.value.found != caught.value.expected


@pytest.mark.model
def test_the_gate_stops_wrong_scores(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    tokens = [token._replace(score=-token.score) for token in read(folder)[2].tokens]
    with pytest.raises(TokenizerError):
        gate(folder, tokens=tokens)


@pytest.mark.model
def test_text_that_looks_like_control_tokens_stays_text(tmp_path: Path) -> None:
    source, config, vocabulary = read(write_checkpoint(tmp_path))
    fields = {**model_fields(source, config, [], "F32"), **vocabulary.fields()}
    with vocabulary_of(fields) as encode:
        assert 2 not in encode("<|endoftext|>")
    check_tokenizer(source, vocabulary, fields)


@pytest.mark.model
def test_a_vocabulary_that_llama_cpp_cannot_load_is_told(tmp_path: Path) -> None:
    _, _, vocabulary = read(write_checkpoint(tmp_path))
    with pytest.raises(TokenizerError, match="cannot load"), vocabulary_of(vocabulary.fields()):
        pass


@given(place=st.integers(0, 4000), content=st.binary(min_size=1, max_size=12))
def test_damage_anywhere_is_read_or_refused_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, place: int, content: bytes
) -> None:
    raw = bytearray(sentencepiece_model())
    raw[place : place + len(content)] = content
    path = tmp_path_factory.mktemp("damaged") / "tokenizer.model"
    path.write_bytes(raw)
    with contextlib.suppress(TokenizerError):
        assert pieces.read_sentencepiece(path).pieces
