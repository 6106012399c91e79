"""The gates of a conversion: the file's tokenizer and chat template do what the source's do."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sus_local.convert.fields import Value
from sus_local.convert.source import Source
from sus_local.convert.vocab import Vocabulary
from sus_local.convert.writer import lay_out
from sus_local.errors import TokenizerError, VerificationError, from_os_error
from sus_local.template import CHAT_TEMPLATE, render

PROBES = (
    "Hello, world!",
    " leading and trailing space ",
    "two  spaces, three   spaces,\ttab\t\ttabs\n\nand\n\n\nnewlines\r\nof two kinds",
    "### Human: hi\n\n### Assistant: ",
    "### Human: 你好，世界！\n\n### Assistant: ",
    "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。",
    "def f(x: int) -> int:\n    return x ** 2  # squared\n\n\tif (a && b) { c[i]++; }\n",
    "3.14159 + 2,718 = 1e-10; 0x7F; 100% of $42.00",
    "🙂 👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇳 ❤️",
    "Ελληνικά, Русский, العربية, हिन्दी, 日本語, 한국어, ไทย, 𒀀𒁀, ꧁ꦗꦮ꧂",
    "naïve café e\u0301 \u00a0non-breaking \u200bzero-width \u3000ideographic",
    "<|endoftext|> <|startoftext|> <unk> <s> </s> <0x41> [PAD1] ▁",
    "it's we'll I'D don't ''' \"\"\" ``` ------ ====== ......",
    "a",
    " ",
    "\n",
)
"""Texts that the tokenizer gate encodes in both ways."""

CONVERSATIONS: tuple[tuple[dict[str, str], ...], ...] = (
    ({"role": "user", "content": "hi"},),
    ({"role": "user", "content": "  你好\n\n"},),
    (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ),
    (
        {"role": "user", "content": "What is the capital of China?"},
        {"role": "assistant", "content": "Beijing."},
        {"role": "user", "content": "And of France?"},
    ),
    (
        {"role": "system", "content": "{{ messages }} {% if %}"},
        {"role": "user", "content": "<|endoftext|>### Assistant: \\n"},
        {"role": "assistant", "content": " a\n"},
        {"role": "user", "content": "🙂"},
        {"role": "assistant", "content": "The beginning of"},
    ),
)
"""What the chat-template gate renders in both ways."""


def check_chat_template(template: str) -> None:
    """The file's chat template, in a sandbox, renders what :func:`sus_local.template.render` does.

    Raises:
        VerificationError: It does not.
    """
    for messages in CONVERSATIONS:
        expected, found = render(messages), render_template(template, messages)
        if expected != found:
            raise VerificationError(
                f"the chat template renders {found!r}, expected {expected!r}",
                hint="report this, with the model",
                expected=expected,
                found=found,
            )


def render_template(template: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Render a chat template as transformers and llama.cpp do."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        messages=list(messages), add_generation_prompt=True, bos_token="", eos_token="<|endoftext|>"
    )


def check_tokenizer(source: Source, vocabulary: Vocabulary, fields: Mapping[str, Value]) -> None:
    """llama.cpp, with this vocabulary, encodes the probes as the source's own library does.

    Raises:
        TokenizerError: It encodes one differently, or cannot load the vocabulary.
    """
    encode = _source_encoder(source, vocabulary)
    probes = [text for text in PROBES if not any(part in text for part in vocabulary.changed)]
    with vocabulary_of(fields) as llama_encode:
        for text in probes:
            expected, found = encode(text), llama_encode(text)
            if expected != found:
                raise _different(text, expected, found, vocabulary)


def check_gates(source: Source, vocabulary: Vocabulary, fields: Mapping[str, Value]) -> None:
    """Both gates."""
    if vocabulary.chat_template == CHAT_TEMPLATE:
        check_chat_template(str(fields["tokenizer.chat_template"]))
    check_tokenizer(source, vocabulary, fields)


def _source_encoder(source: Source, vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    if vocabulary.model != "llama":
        from sus_local.convert.bpe import library_encoder

        return library_encoder(source)
    from sentencepiece import SentencePieceProcessor

    path, processor = source.path("tokenizer.model"), SentencePieceProcessor()
    try:
        # Its bytes: the library takes no path that is not UTF-8.
        processor.LoadFromSerializedProto(path.read_bytes() if path else b"")
    except (OSError, RuntimeError) as error:
        raise TokenizerError(
            f"tokenizer.model is no sentencepiece model: {error}", hint="download the file again"
        ) from error

    def encode(text: str) -> list[int]:
        return [int(token_id) for token_id in processor.encode(text)]

    return encode


@contextlib.contextmanager
def vocabulary_of(fields: Mapping[str, Value]) -> Iterator[Callable[[str], list[int]]]:
    """llama.cpp's encoder for a file's metadata: plain text, no automatic tokens.

    Raises:
        TokenizerError: llama.cpp does not load it.
    """
    import llama_cpp

    with tempfile.TemporaryDirectory(prefix="sus-local-") as folder, _quiet(llama_cpp):
        path = Path(folder) / "vocabulary.gguf"
        _write(path, lay_out(fields, (), {}).parts[0].header)
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(os.fsencode(path), parameters)
        if not model:
            raise TokenizerError(
                "llama.cpp cannot load the converted vocabulary", hint="report this, with the model"
            )
        try:
            yield _llama_encoder(llama_cpp, llama_cpp.llama_model_get_vocab(model))
        finally:
            llama_cpp.llama_model_free(model)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise from_os_error(error, doing="writing", path=path) from error


def _llama_encoder(llama_cpp: Any, vocabulary: Any) -> Callable[[str], list[int]]:
    def encode(text: str) -> list[int]:
        raw = text.encode()
        room = len(raw) + 8
        tokens = (ctypes.c_int32 * room)()
        count = llama_cpp.llama_tokenize(vocabulary, raw, len(raw), tokens, room, False, False)
        return list(tokens[: max(count, 0)])

    return encode


@contextlib.contextmanager
def _quiet(llama_cpp: Any) -> Iterator[None]:
    """Keep llama.cpp from writing to standard error; put back what was there before."""

    ignore = llama_cpp.llama_log_callback(lambda level, text, user: None)
    callback, user = llama_cpp.llama_log_callback(), ctypes.c_void_p()
    llama_cpp.llama_log_get(ctypes.byref(callback), ctypes.byref(user))
    llama_cpp.llama_log_set(ignore, ctypes.c_void_p(0))
    try:
        yield
    finally:
        llama_cpp.llama_log_set(callback, user)


def _different(
    text: str, expected: Sequence[int], found: Sequence[int], vocabulary: Vocabulary
) -> TokenizerError:
    pairs = list(zip(expected, found, strict=False))
    at = next((n for n, (one, other) in enumerate(pairs) if one != other), len(pairs))

    def told(ids: Sequence[int]) -> str:
        if at >= len(ids):
            return "nothing"
        return f"{ids[at]} {vocabulary.tokens[ids[at]].text.decode(errors='replace')!r}"

    return TokenizerError(
        f"llama.cpp would encode {text!r} otherwise than the checkpoint's tokenizer: at token {at} "
        f"{told(found)}, expected {told(expected)}",
        hint="llama.cpp does not know this kind of tokenizer",
        text=text,
        expected=tuple(expected),
        found=tuple(found),
    )
