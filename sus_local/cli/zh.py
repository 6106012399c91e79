"""What the program says, in Chinese: the English text → its translation."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "title: {title}": "标题：{title}",
    "error: {message}": "错误：{message}",
    "hint: {hint}": "提示：{hint}",
}
