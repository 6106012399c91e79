"""How text is split before byte-level BPE: what a ``tokenizer.json`` says, and llama.cpp's name.

llama.cpp knows each way by a name, without which it splits otherwise. Here the name is told from
the patterns in the file. Left out are ways that llama.cpp only approximates: those of Mistral's
``tekken`` and of ``gpt-4o`` keep combining marks with their letters, llama.cpp does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = QWEN2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}", r"[^\s\p{L}\p{M}")
MINICPM5 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}+")
SEED_CODER = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}{1}").replace(
    r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}\r\n]+"
)
DEEPSEEK_V3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"""
    r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
HAN_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
HAN_HANGUL = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
PUNCTUATION = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
# Letters that have a case, as DeepSeek's first tokenizers spell them out.
CASED = (
    "\\s?["
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
    "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
    "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
    "\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
    "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
    "\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    "\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943"
    "]+"
)

# What a pre-tokenizer consists of, and llama.cpp's name for it. "words" at the end: a word that is
# a token is taken as it is, whatever the merges say.
NAMES: Mapping[tuple[str, ...], str] = {
    (f"split {LLAMA3}", "bytes", "words"): "llama-bpe",
    (f"split {LLAMA3}", "bytes"): "dbrx",
    (f"split {QWEN2}", "bytes"): "qwen2",
    (f"split {QWEN35}", "bytes"): "qwen35",
    (f"split {SEED_CODER}", "bytes"): "seed-coder",
    (r"split \p{N}{1,3}", f"split {MINICPM5}", "bytes", "words"): "minicpm5",
    (r"split \p{N}{1,3}", f"split {HAN_KANA}", f"split {DEEPSEEK_V3}", "bytes"): "deepseek-v3",
    (
        r"split [\r\n]",
        f"split {CASED}",
        f"split {PUNCTUATION}",
        r"split \s+$",
        f"split {HAN_HANGUL}",
        "digits",
        "bytes",
    ): "deepseek-llm",
    (
        r"split [\r\n]",
        r"split \s?\p{L}+",
        r"split \s?\p{P}+",
        f"split {HAN_HANGUL}",
        "digits",
        "bytes",
    ): "deepseek-coder",
    ("bytes split",): "gpt-2",
    ("digits", "bytes split"): "smollm",
}


def pre_tokenizer_name(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for the way that a ``tokenizer.json`` splits text; empty if it has none.

    >>> pre_tokenizer_name({"pre_tokenizer": {"type": "ByteLevel"}, "model": {}})
    'gpt-2'
    """
    model = tokenizer.get("model")
    whole = isinstance(model, Mapping) and bool(model.get("ignore_merges"))
    parts = (*_parts(tokenizer.get("pre_tokenizer")), *(["words"] if whole else []))
    return NAMES.get(parts, "")


def _parts(settings: object) -> Iterator[str]:
    if not isinstance(settings, Mapping):
        yield "?"
        return
    kind = settings.get("type")
    if kind == "Sequence":
        for each in settings.get("pretokenizers") or []:
            yield from _parts(each)
    elif kind == "ByteLevel" and not settings.get("add_prefix_space"):
        yield "bytes split" if settings.get("use_regex", True) else "bytes"
    elif kind == "Digits" and settings.get("individual_digits"):
        yield "digits"
    elif kind == "Split":
        yield _split(settings)
    else:
        yield f"? {kind}"


def _split(settings: Mapping[str, Any]) -> str:
    pattern = settings.get("pattern")
    regex = str(pattern.get("Regex")) if isinstance(pattern, Mapping) else "?"
    # Some files hold the line ends themselves.
    regex = regex.replace("\r", r"\r").replace("\n", r"\n")
    way = (settings.get("behavior"), bool(settings.get("invert")))
    # Outside the matches of a pattern that covers every text there is nothing to remove.
    covers = regex.endswith(r"|\s+")
    known = way == ("Isolated", False) or (covers and way == ("Removed", True))
    return f"split {regex}" if known else f"? {way}"
