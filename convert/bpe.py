"""Byte-level BPE tokenizers of ``tokenizer.json`` → the ``gpt2`` vocabulary of a GGUF file.

Text is split before BPE in one of the ways of :mod:`sus_local.convert.pre_tokenizers`; any other is
refused, for llama.cpp would split the text otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sus_local.convert import sentencepiece_file as pieces
from sus_local.convert.config import LlamaConfig
from sus_local.convert.pre_tokenizers import NAMES, pre_tokenizer_name
from sus_local.convert.source import Source
from sus_local.convert.vocab import (
    Token,
    Vocabulary,
    chat_template,
    looks_special,
    read_json,
    special_ids,
)
from sus_local.errors import TokenizerError


def read_bpe(
    source: Source, config: LlamaConfig, tokenizer: Mapping[str, Any], settings: Mapping[str, Any]
) -> Vocabulary:
    """The vocabulary of a ``tokenizer.json``.

    Raises:
        TokenizerError: It is no byte-level BPE that llama.cpp knows, or has more tokens than the
            model.
    """
    model = tokenizer.get("model")
    if (
        not isinstance(model, dict)
        or model.get("type", "BPE") != "BPE"
        or model.get("byte_fallback")
    ):
        kind = model.get("type", "?") if isinstance(model, dict) else "?"
        raise TokenizerError(
            f"tokenizer.json of the kind {kind} is not supported without tokenizer.model",
            hint="supported: sentencepiece tokenizer.model, byte-level BPE tokenizer.json",
        )
    pre = _pre_tokenizer(tokenizer)
    tokens = _tokens(config, model["vocab"], tokenizer.get("added_tokens") or [])
    special = special_ids(tokens, settings, source.config, {})
    first, last = _template_ends(tokenizer.get("post_processor"))
    texts = {role: tokens[index].text.decode(errors="replace") for role, index in special.items()}
    return Vocabulary(
        model="gpt2",
        pre=pre,
        tokens=tokens,
        merges=[_merge(merge) for merge in model.get("merges") or []],
        special=special,
        add_bos=bool(
            settings.get("add_bos_token", first is not None and first == texts.get("bos"))
        ),
        add_eos=bool(settings.get("add_eos_token", last is not None and last == texts.get("eos"))),
        add_space_prefix=None,
        chat_template=chat_template(source, settings, tokens, special),
        changed=frozenset(
            str(entry.get("content")) for entry in tokenizer.get("added_tokens") or []
        ),
    )


def _tokens(
    config: LlamaConfig, vocab: Mapping[str, int], added: Sequence[Mapping[str, Any]]
) -> list[Token]:
    largest = max(vocab.values(), default=-1)
    if largest >= config.vocab_size:
        raise TokenizerError(
            f"tokenizer.json has the token id {largest}, the model only {config.vocab_size} tokens",
            hint="is it the tokenizer that belongs to these weights?",
            vocab_size=config.vocab_size,
        )
    tokens = [
        Token(f"[PAD{index}]".encode(), 0.0, pieces.UNUSED) for index in range(config.vocab_size)
    ]
    for text, index in vocab.items():
        tokens[index] = Token(text.encode(), 0.0, pieces.NORMAL)
    for entry in added:
        index, text = int(entry["id"]), str(entry["content"])
        special = bool(entry.get("special")) or looks_special(text)
        if 0 <= index < len(tokens):
            kind = pieces.CONTROL if special else pieces.USER_DEFINED
            tokens[index] = Token(text.encode(), 0.0, kind)
    return tokens


def _merge(merge: object) -> str:
    if isinstance(merge, str):
        return merge
    if isinstance(merge, list) and len(merge) == 2:
        return " ".join(str(part) for part in merge)
    raise TokenizerError(
        f"tokenizer.json has the merge {merge!r}, expected two texts",
        hint="download the file again",
    )


def _pre_tokenizer(tokenizer: Mapping[str, Any]) -> str:
    name = pre_tokenizer_name(tokenizer)
    if not name:
        settings = json.dumps(tokenizer.get("pre_tokenizer"), sort_keys=True)
        told = hashlib.sha256(settings.encode()).hexdigest()[:12]
        raise TokenizerError(
            f"the pre-tokenizer of tokenizer.json ({told}) is none that llama.cpp has a name for",
            hint=f"known: {', '.join(sorted(NAMES.values()))}",
        )
    return name


def _template_ends(settings: object) -> tuple[str | None, str | None]:
    """The control tokens that go before and after every text."""
    if not isinstance(settings, dict):
        return None, None
    for processor in settings.get("processors") or [settings]:
        if isinstance(processor, dict) and processor.get("type") == "TemplateProcessing":
            single = processor.get("single") or [{}]
            return _special(single[0]), _special(single[-1])
    return None, None


def _special(part: Mapping[str, Any]) -> str | None:
    token = part.get("SpecialToken")
    return str(token.get("id")) if isinstance(token, dict) else None


def library_encoder(source: Source) -> Callable[[str], list[int]]:
    """The checkpoint's own encoder.

    Raises:
        TokenizerError: The library that reads it is not installed, or cannot read it.
    """
    path = source.path("tokenizer.json")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise TokenizerError(
            "a tokenizer.json can be checked only with the package tokenizers",
            hint='install it: pip install "sus-local[tokenizers]"',
        ) from error
    read_json(path)
    try:
        # Its bytes: the library takes no path that is not UTF-8.
        tokenizer = Tokenizer.from_buffer(path.read_bytes() if path else b"")
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(
            f"tokenizer.json cannot be understood: {error}", hint="download the file again"
        ) from error

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return encode
