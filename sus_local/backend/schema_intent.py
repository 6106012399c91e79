"""What people mean by a JSON schema where they leave something out: :func:`as_meant`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEFINITIONS = ("$defs", "definitions")
_NAMED = ("properties", "patternProperties")
_VALUES = ("items", "prefixItems", "additionalProperties", "contains")
_CHOICES = ("anyOf", "oneOf")
_BESIDE = ("allOf", "not", "if", "then", "else")
_OF_OBJECTS = {"properties", "required", "additionalProperties", "patternProperties"}
_OPEN = {
    "additionalProperties", "unevaluatedProperties", "patternProperties", "allOf", "anyOf", "oneOf",
    "if", "$ref",
}  # fmt: skip


def as_meant(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what people leave out: the type of objects, and that they have no more members.

    The standard lets ``{"properties": …}`` be a number too, and an object have whatever else: a
    model would go on inventing members. An object that several parts of the schema describe stays
    open, and so do definitions that may be such parts.

    >>> as_meant({"properties": {"n": {"type": "integer"}}})
    {'properties': {'n': {'type': 'integer'}}, 'type': 'object', 'additionalProperties': False}
    >>> as_meant({"allOf": [{"required": ["n"]}]})
    {'allOf': [{'required': ['n'], 'type': 'object'}]}
    """
    meant: dict[str, Any] = _as_meant(schema, whole=True)
    for name in meant.keys() & _DEFINITIONS:
        meant[name] = _each_as_meant(meant[name], whole=not _has_sides(schema))
    return meant


def _as_meant(part: Any, *, whole: bool) -> Any:
    """A part, or some; ``whole`` where all that is said of a value is said there."""
    if isinstance(part, list):
        return [_as_meant(each, whole=whole) for each in part]
    if not isinstance(part, Mapping):
        return part
    found = dict(part)
    of_object = bool(found.keys() & _OF_OBJECTS)
    for name in found.keys() & _NAMED:
        found[name] = _each_as_meant(found[name], whole=True)
    chosen = whole and not of_object
    for names, inner_whole in ((_VALUES, True), (_CHOICES, chosen), (_BESIDE, False)):
        for name in found.keys() & names:
            found[name] = _as_meant(found[name], whole=inner_whole)
    if of_object and not found.keys() & {"type", "enum", "const"}:
        found["type"] = "object"
    if whole and "properties" in found and not found.keys() & _OPEN:
        found["additionalProperties"] = False
    return found


def _each_as_meant(parts: Any, *, whole: bool) -> Any:
    if not isinstance(parts, Mapping):
        return parts
    return {name: _as_meant(part, whole=whole) for name, part in parts.items()}


def _has_sides(part: Any) -> bool:
    """Whether somewhere in it a value is described by several parts beside each other."""
    if isinstance(part, list):
        return any(map(_has_sides, part))
    if not isinstance(part, Mapping):
        return False
    sides = sum(name in part for name in ("$ref", *_CHOICES)) + bool(part.keys() & _OF_OBJECTS)
    together = part.get("allOf")
    sides += len(together) if isinstance(together, list) else 0
    return sides > 1 or any(map(_has_sides, part.values()))
