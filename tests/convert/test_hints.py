"""Whoever is refused is told the next step."""

from __future__ import annotations

import ast
from pathlib import Path

import sus_local.convert
from sus_local import errors

FOLDER = Path(sus_local.convert.__file__).parent


def test_every_error_has_a_hint() -> None:
    without = [
        f"{path.name}:{node.lineno}"
        for path in sorted(FOLDER.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_error(node.func)
        if not any(keyword.arg == "hint" for keyword in node.keywords)
    ]
    assert without == []


def is_error(called: ast.expr) -> bool:
    """Whether an expression is the name of one of this project's errors."""
    kind = vars(errors).get(called.id) if isinstance(called, ast.Name) else None
    return isinstance(kind, type) and issubclass(kind, errors.SusLocalError)
