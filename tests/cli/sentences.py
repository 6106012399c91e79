"""What the library says when it fails, read from its source: every message and hint of an error.

A value that varies stands as ``‹value›``, whatever it is.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sus_local import errors

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = (ROOT / "sus_local", ROOT / "convert")
VALUE = "‹value›"

_NAMES = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.SusLocalError)
} | {"InternalError", "UsageError", "BadParameter"}


@dataclass(frozen=True)
class Sentence:
    """A message or a hint, and where it is."""

    place: str
    english: str


@functools.cache
def sentences() -> tuple[Sentence, ...]:
    """Every message and hint of every error that is made anywhere."""
    return tuple(_sentences())


def _sentences() -> Iterator[Sentence]:
    for path in sorted(file for folder in FOLDERS for file in folder.rglob("*.py")):
        module = _Module(ast.parse(path.read_text(encoding="utf-8")))
        for call, function in module.calls():
            place = f"{path.relative_to(ROOT)}:{call.lineno}"
            message = call.args[:1] if _called(call) in _NAMES else []
            for part in [*message, *_hints(call)]:
                for english in filter(None, module.values(part, function)):
                    yield Sentence(place, english)


class _Module:
    """A module's source, in which expressions are followed to the texts they can be."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._followed: list[tuple[str, ast.AST]] = []
        self._functions = [
            node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))
        ]

    def calls(self) -> Iterator[tuple[ast.Call, ast.AST]]:
        """Where errors are made, or what makes them is given a hint; and the function around."""
        for node, function in self._inside(self._tree, self._tree):
            if isinstance(node, ast.Call) and (_called(node) in _NAMES or _hints(node)):
                yield node, function

    def _inside(self, node: ast.AST, function: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, ast.FunctionDef) else function
            yield child, inner
            yield from self._inside(child, inner)

    def values(self, node: ast.expr, function: ast.AST) -> list[str]:
        """The texts that an expression can be; nothing where others answer for it."""
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if isinstance(node, ast.JoinedStr):
            parts = itertools.product(*(self._part(part, function) for part in node.values))
            return ["".join(each) for each in parts]
        if isinstance(node, ast.IfExp):
            return self.values(node.body, function) + self.values(node.orelse, function)
        if isinstance(node, ast.BinOp):
            pairs = itertools.product(
                self.values(node.left, function), self.values(node.right, function)
            )
            return [left + right for left, right in pairs]
        if isinstance(node, ast.Name):
            return self._named(node.id, function)
        if isinstance(node, ast.Call):
            return self._returned(node, function)
        return []

    def _part(self, part: ast.expr, function: ast.AST) -> list[str]:
        """A part of an f-string: what a variable can be, if that is words."""
        if isinstance(part, ast.Constant):
            return [str(part.value)]
        if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            found = self.values(part.value, function)
            if any(" " in each for each in found):
                return found
        return [VALUE]

    def _named(self, name: str, function: ast.AST) -> list[str]:
        """What is assigned to a name, or given for a parameter of this name."""
        if (name, function) in self._followed:
            return []
        self._followed.append((name, function))
        try:
            return self._assigned(name, function) or self._given(name, function)
        finally:
            self._followed.pop()

    def _assigned(self, name: str, function: ast.AST) -> list[str]:
        found: list[str] = []
        for scope in (function, self._tree):
            for node in ast.walk(scope):
                if isinstance(node, ast.Assign) and _is_name(node.targets[0], name):
                    found += self.values(node.value, function)
                elif isinstance(node, ast.AugAssign) and _is_name(node.target, name):
                    more = self.values(node.value, function)
                    found = [one + other for one in found for other in more]
            if found:
                return found
        return []

    def _given(self, name: str, function: ast.AST) -> list[str]:
        if not isinstance(function, ast.FunctionDef):
            return []
        names = [each.arg for each in function.args.args if each.arg != "self"]
        found: list[str] = []
        for node, around in self._inside(self._tree, self._tree):
            if isinstance(node, ast.Call) and _called(node) == function.name and name in names:
                place = names.index(name)
                given = [k.value for k in node.keywords if k.arg == name]
                given += node.args[place : place + 1]
                for each in given:
                    found += self.values(each, around)
        return found

    def _returned(self, call: ast.Call, function: ast.AST) -> list[str]:
        """What a function of this module returns; ``t`` translates by itself."""
        name = _called(call)
        if name in ("rstrip", "strip") and isinstance(call.func, ast.Attribute):
            return self.values(call.func.value, function)
        found: list[str] = []
        for each in self._functions:
            if isinstance(each, ast.FunctionDef) and each.name == name:
                for node in ast.walk(each):
                    if isinstance(node, ast.Return) and node.value is not None:
                        found += self.values(node.value, each)
        return found


def _called(call: ast.Call) -> str:
    func = call.func
    return func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")


def _hints(call: ast.Call) -> list[ast.expr]:
    return [keyword.value for keyword in call.keywords if keyword.arg == "hint"]


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
