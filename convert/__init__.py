"""Conversion of Hugging Face checkpoints to GGUF, in one streaming pass.

:func:`convert` does it, :func:`plan` tells beforehand what it makes and needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sus_local.convert.estimates import Plan, PlannedOutput
    from sus_local.convert.options import Options
    from sus_local.convert.pipeline import ConvertedOutput, Report, convert, plan
    from sus_local.convert.progress import Event, Planned, Progress, Resumed
    from sus_local.convert.types import FILE_TYPES, TENSOR_TYPES

__all__ = [
    "FILE_TYPES",
    "TENSOR_TYPES",
    "ConvertedOutput",
    "Event",
    "Options",
    "Plan",
    "Planned",
    "PlannedOutput",
    "Progress",
    "Report",
    "Resumed",
    "convert",
    "plan",
]

_HOMES = {
    "pipeline": ("ConvertedOutput", "Report", "convert", "plan"),
    "options": ("Options",),
    "estimates": ("Plan", "PlannedOutput"),
    "progress": ("Event", "Planned", "Progress", "Resumed"),
    "types": ("FILE_TYPES", "TENSOR_TYPES"),
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: the list of types must not cost the import of numpy.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name!r}")
