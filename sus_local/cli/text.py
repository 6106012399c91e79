"""The language of what the program says: English, or Chinese for a zh locale or ``--lang zh``.

The English text is the key, so that code reads as what it prints; the Chinese of it is in
:mod:`sus_local.cli.zh`. A text without a translation stays English.

>>> use("en")
>>> t("title: {title}", title="Capitals")
'title: Capitals'
>>> use("zh")
>>> t("title: {title}", title="Capitals")
'标题：Capitals'
>>> use("en")
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

LANGUAGES = ("en", "zh")

_language = "en"


def use(language: str) -> None:
    """Speak ``language`` from now on: one of :data:`LANGUAGES`."""
    global _language
    _language = language


def language() -> str:
    """The language in use."""
    return _language


def _windows_locale() -> str:
    """The locale of Windows, which no variable tells; elsewhere nothing."""
    if sys.platform != "win32":
        return ""
    import ctypes
    import locale

    return locale.windows_locale.get(ctypes.windll.kernel32.GetUserDefaultUILanguage(), "")


def choose(
    args: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    system_locale: Callable[[], str] = _windows_locale,
) -> str:
    """The language for a command line: that of ``--lang``, else that of the locale.

    Args:
        system_locale: Asked where no variable tells it.

    >>> choose(["chat", "--lang", "zh"], {}), choose(["chat"], {"LANG": "zh_CN.UTF-8"})
    ('zh', 'zh')
    >>> choose(["chat", "--lang=en"], {"LANG": "zh_CN.UTF-8"}), choose([], {"LC_ALL": "C"})
    ('en', 'en')
    """
    for index, arg in enumerate(args):
        value = args[index + 1] if arg == "--lang" and index + 1 < len(args) else ""
        value = arg.removeprefix("--lang=") if arg.startswith("--lang=") else value
        if value in LANGUAGES:
            return value
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environ[name] for name in names if environ.get(name)), "") or system_locale()
    return "zh" if locale.lower().startswith("zh") else "en"


def t(english: str, **values: object) -> str:
    """``english`` in the language in use, with ``values`` filled in by ``str.format``."""
    text = english
    if _language == "zh":
        from sus_local.cli.zh import TEXTS

        text = TEXTS.get(english, english)
    return text.format(**values) if values else text
