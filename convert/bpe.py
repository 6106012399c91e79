"""Byte-level BPE tokenizers of ``tokenizer.json`` → the ``gpt2`` vocabulary of a GGUF file.

llama.cpp knows the way that text is split before BPE by a name; here it is told from the patterns
in the file. A pattern that is not in the table is refused, for the text would be split otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sus_local.convert import sentencepiece_file as pieces
from sus_local.convert.config import LlamaConfig
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

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

# What the pre-tokenizer consists of, and llama.cpp's name for it.
_NAMES: Mapping[tuple[str, ...], str] = {
    (f"split {_LLAMA3}", "bytes"): "llama-bpe",
    (f"split {_QWEN2}", "bytes"): "qwen2",
    ("bytes split",): "gpt-2",
    ("digits", "bytes split"): "smollm",
}


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
    pre = _pre_tokenizer(tokenizer.get("pre_tokenizer"))
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
    raise TokenizerError(f"tokenizer.json has the merge {merge!r}, expected two texts")


def _pre_tokenizer(settings: object) -> str:
    parts = tuple(_describe(settings))
    if parts not in _NAMES:
        told = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        raise TokenizerError(
            f"the pre-tokenizer of tokenizer.json ({told}) is none that llama.cpp has a name for",
            hint=f"known: {', '.join(_NAMES.values())}",
        )
    return _NAMES[parts]


def _describe(settings: object) -> list[str]:
    if not isinstance(settings, dict):
        return ["?"]
    kind = settings.get("type")
    if kind == "Sequence":
        return [part for each in settings.get("pretokenizers") or [] for part in _describe(each)]
    if kind == "ByteLevel" and not settings.get("add_prefix_space"):
        return ["bytes split" if settings.get("use_regex", True) else "bytes"]
    if kind == "Digits" and settings.get("individual_digits"):
        return ["digits"]
    if kind == "Split" and settings.get("behavior") == "Isolated" and not settings.get("invert"):
        return [f"split {(settings.get('pattern') or {}).get('Regex')}"]
    return [f"? {kind}"]


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
    tokenizer = Tokenizer.from_file(str(path))

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return encode
