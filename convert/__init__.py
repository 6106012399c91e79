"""Conversion of Hugging Face checkpoints to GGUF, in one streaming pass.

:func:`convert` does it, :func:`plan` tells beforehand what it makes and needs.
"""

from sus_local.convert.manifest import verify_model
from sus_local.convert.pipeline import ConvertedOutput, Report, convert, plan
from sus_local.convert.plan import Plan, PlannedOutput
from sus_local.convert.progress import Event, Planned, Progress, Resumed
from sus_local.convert.types import FILE_TYPES, TENSOR_TYPES

__all__ = [
    "FILE_TYPES",
    "TENSOR_TYPES",
    "ConvertedOutput",
    "Event",
    "Plan",
    "Planned",
    "PlannedOutput",
    "Progress",
    "Report",
    "Resumed",
    "convert",
    "plan",
    "verify_model",
]
