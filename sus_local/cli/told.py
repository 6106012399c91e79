"""The library's own words in the user's language: errors, their hints, notices.

The library speaks English, with the numbers filled in. Here such a sentence is recognised by the
catalogue's English, in which ``{name}`` stands for whatever varies, and said again in Chinese with
the same in its places. A sentence without a translation stays English.

>>> from sus_local.cli import text
>>> text.use("zh")
>>> told("there is no conversation 7")
'没有编号为 7 的对话'
>>> told("no such file or directory while reading a.json")
'读取 a.json 时出错：没有这个文件或目录'
>>> text.use("en")
>>> told("there is no conversation 7")
'there is no conversation 7'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from sus_local.cli import text

_PLACE = re.compile(r"\{(\w+)\}")
_WORDS = {"doing", "error", "found", "kind", "lacks", "mean", "memory", "reason", "wanted"}
_WORDS |= {"what", "where", "who", "why"}
"""Names of places that hold words of the library, not a user's names and numbers."""


def told(english: str) -> str:
    """A sentence of the library in the language in use."""
    return english if text.language() == "en" else _in_chinese(english)


def _in_chinese(english: str) -> str:
    texts = _texts()
    if english in texts:
        return texts[english]
    for pattern, chinese in _patterns():
        found = pattern.fullmatch(english)
        if found:
            return _filled(chinese, found.groupdict())
    return english


def _filled(chinese: str, values: Mapping[str, str]) -> str:
    told = {k: _in_chinese(value) if k in _WORDS else value for k, value in values.items()}
    return _PLACE.sub(lambda place: told[place[1]], chinese)


def pattern_of(english: str) -> re.Pattern[str]:
    """What recognises a sentence of the catalogue.

    >>> pattern_of("there is no turn {turn}").fullmatch("there is no turn 3")["turn"]
    '3'
    """
    parts = _PLACE.split(english)
    places = parts[1::2]
    literal = [re.escape(part) for part in parts[::2]]
    filled = "".join(f"{one}(?P<{place}>.+?)" for one, place in zip(literal, places, strict=False))
    return re.compile(filled + literal[-1], re.DOTALL)


@lru_cache(maxsize=1)
def _texts() -> Mapping[str, str]:
    from sus_local.cli.zh_click import USAGE
    from sus_local.cli.zh_convert_errors import CONVERT_ERRORS
    from sus_local.cli.zh_errors import ERRORS, PHRASES
    from sus_local.cli.zh_hints import HINTS

    return {**PHRASES, **USAGE, **HINTS, **ERRORS, **CONVERT_ERRORS}


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """The sentences with places: those that begin with words of their own, the longest first."""
    open_ones = [(english, chinese) for english, chinese in _texts().items() if "{" in english]
    open_ones.sort(key=lambda pair: (pair[0].startswith("{"), -len(_PLACE.sub("", pair[0]))))
    return [(pattern_of(english), chinese) for english, chinese in open_ones]
