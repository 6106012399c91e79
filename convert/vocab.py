"""The tokenizer of a checkpoint → the vocabulary of a GGUF file.

Sentencepiece models become llama.cpp's ``llama`` vocabulary with their scores and kinds. Whether a
space goes before every text is taken from the sentencepiece model: ``tokenizer_config.json`` is
often silent about it.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sus_local.convert import sentencepiece_file as pieces
from sus_local.convert.config import LlamaConfig
from sus_local.convert.fields import Float32s, Int32s, Texts, UInt32, Value
from sus_local.convert.source import Source
from sus_local.errors import TokenizerError
from sus_local.template import CHAT_TEMPLATE, END_OF_TEXT

_ROLES = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
_PAD_SCORE, _ADDED_SCORE = -10000.0, -1000.0


class Token(NamedTuple):
    """One entry of the vocabulary; ``kind`` is GGUF's token type."""

    text: bytes
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Everything that GGUF says about a tokenizer.

    Attributes:
        model: ``"llama"`` (sentencepiece) or ``"gpt2"`` (byte-level BPE).
        pre: llama.cpp's name of the pre-tokenizer.
        merges: Of byte-level BPE; empty otherwise.
        special: Ids by role: ``bos``, ``eos``, ``unknown``, ``padding``.
        add_space_prefix: Whether a space goes before every text; None where it has no meaning.
        changed: Texts that the tokenizer's own library treats otherwise than this vocabulary, by
            intention: tokens that were added to it.
    """

    model: str
    pre: str
    tokens: Sequence[Token]
    merges: Sequence[str]
    special: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool | None
    chat_template: str | None
    changed: frozenset[str]

    def fields(self) -> dict[str, Value]:
        """The metadata of GGUF."""
        fields: dict[str, Value] = {
            "tokenizer.ggml.model": self.model,
            "tokenizer.ggml.pre": self.pre,
            "tokenizer.ggml.tokens": Texts([token.text for token in self.tokens]),
            "tokenizer.ggml.token_type": Int32s([token.kind for token in self.tokens]),
        }
        if self.model == "llama":
            fields["tokenizer.ggml.scores"] = Float32s([token.score for token in self.tokens])
        if self.merges:
            fields["tokenizer.ggml.merges"] = Texts([merge.encode() for merge in self.merges])
        for role, token_id in self.special.items():
            fields[f"tokenizer.ggml.{role}_token_id"] = UInt32(token_id)
        fields["tokenizer.ggml.add_bos_token"] = self.add_bos
        fields["tokenizer.ggml.add_eos_token"] = self.add_eos
        if self.add_space_prefix is not None:
            fields["tokenizer.ggml.add_space_prefix"] = self.add_space_prefix
        if self.chat_template is not None:
            fields["tokenizer.chat_template"] = self.chat_template
        return fields


def read_vocabulary(source: Source, config: LlamaConfig) -> Vocabulary:
    """The vocabulary of a checkpoint.

    Raises:
        TokenizerError: There is no tokenizer that is known, it is broken, or it has more tokens
            than the model.
    """
    try:
        return _read(source, config)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # JSON of any shape may stand in these files; where it is none that has a meaning, they say.
        what = f"{type(error).__name__}: {error}"
        raise TokenizerError(
            f"the tokenizer's files cannot be understood: {what}", hint="download them again"
        ) from error


def _read(source: Source, config: LlamaConfig) -> Vocabulary:
    model = source.path("tokenizer.model")
    settings = read_json(source.path("tokenizer_config.json"))
    if model is not None:
        return _from_sentencepiece(source, config, model, settings)
    tokenizer = source.path("tokenizer.json")
    if tokenizer is None:
        raise TokenizerError(
            f"{source.label} has no tokenizer.model and no tokenizer.json",
            hint="put the tokenizer's files beside the weights",
        )
    from sus_local.convert.bpe import read_bpe

    return read_bpe(source, config, read_json(tokenizer), settings)


def _from_sentencepiece(
    source: Source, config: LlamaConfig, path: Path, settings: Mapping[str, Any]
) -> Vocabulary:
    parsed = pieces.read_sentencepiece(path)
    if len(parsed.pieces) > config.vocab_size:
        raise TokenizerError(
            f"tokenizer.model has {len(parsed.pieces)} pieces, the model only {config.vocab_size}",
            hint="is it the tokenizer that belongs to these weights?",
            num_pieces=len(parsed.pieces),
            vocab_size=config.vocab_size,
        )
    tokens = [_from_piece(piece) for piece in parsed.pieces]
    for index in range(len(tokens), config.vocab_size):
        tokens.append(Token(f"[PAD{index}]".encode(), _PAD_SCORE, pieces.UNUSED))
    changed = _add_tokens(tokens, source, settings)
    _check_bytes(tokens)
    special = special_ids(
        tokens,
        settings,
        source.config,
        {
            "bos": parsed.bos_id,
            "eos": parsed.eos_id,
            "unknown": parsed.unk_id,
            "padding": parsed.pad_id,
        },
    )
    return Vocabulary(
        model="llama",
        pre="default",
        tokens=tokens,
        merges=(),
        special=special,
        add_bos=bool(settings.get("add_bos_token", True)),
        add_eos=bool(settings.get("add_eos_token", False)),
        add_space_prefix=parsed.add_dummy_prefix,
        chat_template=chat_template(source, settings, tokens, special),
        changed=changed,
    )


def _check_bytes(tokens: Sequence[Token]) -> None:
    """See that there is a token for every byte: llama.cpp ends the process where it finds none."""
    texts = {token.text for token in tokens}
    missing = [
        name for name in (f"<0x{byte:02X}>" for byte in range(256)) if name.encode() not in texts
    ]
    if missing:
        raise TokenizerError(
            f"tokenizer.model lacks {len(missing)} of 256 bytes, {missing[0]} first",
            hint="llama.cpp needs a model that was trained with byte_fallback",
            num_missing=len(missing),
        )


def _from_piece(piece: pieces.Piece) -> Token:
    text = piece.text
    if piece.kind == pieces.USER_DEFINED:
        # llama.cpp looks for these in the raw text, before spaces are escaped.
        text = text.replace("\u2581", " ")
    return Token(text.encode(), piece.score, piece.kind)


def _add_tokens(tokens: list[Token], source: Source, settings: Mapping[str, Any]) -> frozenset[str]:
    """Put the tokens that were added to the sentencepiece model in their places.

    Those beyond the model's vocabulary are left out: it has no embedding for them.
    """
    changed: set[str] = set()
    added = [(int(key), text, False) for text, key in _added_json(source).items()]
    for key, entry in (settings.get("added_tokens_decoder") or {}).items():
        text = entry["content"]
        if not isinstance(text, str) or not text:
            raise TokenizerError(
                f"tokenizer_config.json has the text {text!r} for the added token {key}",
                hint="download the file again",
            )
        added.append((int(key), text, bool(entry.get("special")) or looks_special(text)))
    for index, text, special in added:
        if not 0 <= index < len(tokens):
            continue
        kind = pieces.CONTROL if special else pieces.USER_DEFINED
        shown = text if special else text.replace("\u2581", " ")
        before = tokens[index]
        if (before.text, before.kind) == (shown.encode(), kind):
            continue
        if before.kind == pieces.UNKNOWN and before.text == shown.encode():
            continue
        tokens[index] = Token(shown.encode(), _ADDED_SCORE, kind)
        changed.add(text)
    return frozenset(changed)


def _added_json(source: Source) -> dict[str, int]:
    found = read_json(source.path("added_tokens.json"))
    return {text: key for text, key in found.items() if isinstance(key, int)}


def looks_special(text: str) -> bool:
    """Whether an added token is a control token although its entry does not say so.

    >>> looks_special("<|im_end|>"), looks_special("hello")
    (True, False)
    """
    return text in ("<pad>", "<mask>") or (text.startswith("<|") and text.endswith("|>"))


def special_ids(
    tokens: Sequence[Token],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    trained: Mapping[str, int],
) -> dict[str, int]:
    """The ids of the special tokens, by GGUF's role.

    Named in ``tokenizer_config.json``, else numbered in ``config.json``, else as trained.
    """
    names = {role: _special_name(settings, name) for role, name in _ROLES.items()}
    ids = _first_ids(tokens, set(names.values()))
    found: dict[str, int] = {}
    for role, name in _ROLES.items():
        number = config.get(f"{name}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        for candidate in (ids.get(names[role]), number, trained.get(role, -1)):
            if isinstance(candidate, int) and 0 <= candidate < len(tokens):
                found[role] = candidate
                break
    return found


def _special_name(settings: Mapping[str, Any], name: str) -> bytes | None:
    text = settings.get(f"{name}_token")
    text = text.get("content") if isinstance(text, Mapping) else text
    return text.encode() if isinstance(text, str) else None


def _first_ids(tokens: Sequence[Token], texts: Container[bytes | None]) -> dict[bytes | None, int]:
    found: dict[bytes | None, int] = {}
    for index, token in enumerate(tokens):
        if token.text in texts:
            found.setdefault(token.text, index)
    return found


def chat_template(
    source: Source,
    settings: Mapping[str, Any],
    tokens: Sequence[Token],
    special: Mapping[str, int],
) -> str | None:
    """The chat template for the file.

    A model that ends its answers with SUS-Chat's end token, and has no template of its own or has
    SUS-Chat's, gets the template of :mod:`sus_local.template`. Others keep what they have.
    """
    own = _own_template(source, settings)
    eos = special.get("eos", -1)
    ends_alike = eos >= 0 and tokens[eos].text == END_OF_TEXT.encode()
    sus = own is None or ("### Human: " in own and "### Assistant: " in own)
    return CHAT_TEMPLATE if ends_alike and sus else own


def _own_template(source: Source, settings: Mapping[str, Any]) -> str | None:
    value: object = settings.get("chat_template")
    path = source.path("chat_template.jinja")
    if value is None and path is not None:
        value = path.read_text(encoding="utf-8-sig")
    if isinstance(value, list):
        named = {
            entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)
        }
        value = named.get("default")
    return value if isinstance(value, str) else None


def read_json(path: Path | None) -> dict[str, Any]:
    """A small JSON file; empty where there is none.

    Raises:
        TokenizerError: It is no JSON object.
    """
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(
            f"{path.name} cannot be read: {error}", hint="download the file again", path=str(path)
        ) from error
    if not isinstance(value, dict):
        raise TokenizerError(
            f"{path.name} holds no JSON object", hint="download the file again", path=str(path)
        )
    return value
