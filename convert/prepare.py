"""Everything about a conversion that is known before the first weight is read."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sus_local.convert import mixture as mixtures
from sus_local.convert.config import LlamaConfig, parse_config
from sus_local.convert.estimates import (
    Plan,
    PlannedOutput,
    find_problems,
    free_bytes,
    peak_memory,
)
from sus_local.convert.fields import Value
from sus_local.convert.imatrix import Imatrix, read_imatrix
from sus_local.convert.manifest import versions
from sus_local.convert.metadata import model_fields, model_name
from sus_local.convert.options import Options
from sus_local.convert.output import Output
from sus_local.convert.quantize import Floats
from sus_local.convert.source import Source
from sus_local.convert.tensors import TensorSpec, match_tensors
from sus_local.convert.types import file_type
from sus_local.convert.vocab import Vocabulary, read_vocabulary
from sus_local.convert.writer import Layout, lay_out
from sus_local.errors import ConvertError, ImatrixError, PermissionDeniedError
from sus_local.models import read_manifest
from sus_local.paths import existing, models_dir


@dataclass(frozen=True, slots=True)
class Prepared:
    """A conversion that can begin."""

    source: Source
    options: Options
    config: LlamaConfig
    specs: Sequence[TensorSpec]
    vocabulary: Vocabulary
    imatrix: Imatrix | None
    outputs: Sequence[Output]
    plan: Plan

    def importance(self, spec: TensorSpec) -> Floats | None:
        """The importance of a tensor's columns, where it is known and has a meaning."""
        if self.imatrix is None or not mixtures.is_quantized(spec):
            return None
        return self.imatrix.importance(spec.name, spec.columns)

    def vocabulary_fields(self) -> dict[str, Value]:
        """As much metadata as llama.cpp needs to load the vocabulary."""
        model = model_fields(self.source, self.config, self.specs, self.outputs[0].mixture)
        return {**model, **self.vocabulary.fields()}

    def options_told(self) -> dict[str, Any]:
        """The options, for the manifest."""
        return {
            "imatrix": self.imatrix.digest if self.imatrix is not None else None,
            "tensor_types": list(self.options.tensor_types),
            "pure": self.options.pure,
            "split_size": self.options.split_size,
        }


def prepare(source: Source, options: Options) -> Prepared:
    """Read everything but the weights, and lay the outputs out.

    Raises:
        CheckpointError: The checkpoint cannot be converted.
        ConvertError: The options do not fit it.
    """
    names = _type_names(options.types)
    overrides = mixtures.parse_overrides(options.tensor_types)
    config = parse_config(source.config)
    specs = match_tensors(config, source.tensors)
    mixtures.check_overrides(overrides, specs)
    vocabulary = read_vocabulary(source, config)
    imatrix = read_imatrix(options.imatrix) if options.imatrix is not None else None
    outputs: list[Output] = []
    for name, path in zip(names, _output_paths(source, options, names), strict=True):
        types = mixtures.choose_types(
            specs,
            config,
            name,
            has_imatrix=imatrix is not None,
            overrides=overrides,
            pure=options.pure,
        )
        _check_imatrix(specs, types, name, imatrix)
        fields: dict[str, Value] = {
            **model_fields(source, config, specs, name),
            **vocabulary.fields(),
            **(imatrix.fields() if imatrix is not None else {}),
        }
        layout = lay_out(fields, specs, types, split_size=options.split_size)
        fingerprint = _fingerprint(source, layout, imatrix)
        outputs.append(Output(path, layout, fingerprint, mixture=name))
    plan = _plan(source, options, config, specs, outputs)
    return Prepared(source, options, config, specs, vocabulary, imatrix, outputs, plan)


def _type_names(types: Sequence[str]) -> list[str]:
    wanted = [types] if isinstance(types, str) else types
    names = list(dict.fromkeys(file_type(name) for name in wanted))
    if not names:
        raise ConvertError("no type is given", hint="give one with -q, for instance -q Q4_K_M")
    return names


def _output_paths(source: Source, options: Options, names: Sequence[str]) -> list[Path]:
    output = options.output
    if output is not None and output.suffix.lower() == ".gguf" and not output.is_dir():
        if len(names) > 1:
            raise ConvertError(
                f"{len(names)} types cannot go into one file {output}",
                hint="give a folder with -o",
                num_types=len(names),
            )
        _check_folder(output.parent)
        return [output]
    folder = output if output is not None else models_dir()
    _check_folder(folder)
    stem = model_name(source).lower()
    return [folder / f"{stem}-{name.lower()}.gguf" for name in names]


def _check_folder(folder: Path) -> None:
    """Refuse what cannot become a folder to write in, before any work."""
    there = existing(folder)
    if not there.is_dir():
        raise ConvertError(
            f"{there} is neither a .gguf file nor a folder",
            hint="give a folder, or a file that ends in .gguf, with -o",
        )
    if not os.access(there, os.W_OK):
        raise PermissionDeniedError(
            f"no permission to write in {there}", hint="give another place with -o", path=str(there)
        )


def _check_imatrix(
    specs: Sequence[TensorSpec], types: dict[str, str], mixture: str, imatrix: Imatrix | None
) -> None:
    """Refuse what llama.cpp would: a type of few bits without importances, or foreign ones."""
    if imatrix is not None and not any(spec.name in imatrix.entries for spec in specs):
        raise ImatrixError(
            f"{imatrix.name} has {len(imatrix.entries)} entries, none for a tensor of this model",
            hint="use the importance matrix that was made for this model",
            num_entries=len(imatrix.entries),
        )
    for spec in specs:
        if not mixtures.is_quantized(spec):
            continue
        weights = imatrix.importance(spec.name, spec.columns) if imatrix is not None else None
        needed = mixtures.needs_imatrix(spec.name, types[spec.name], mixture)
        if weights is None and needed:
            lacks = "has no entry for it" if imatrix is not None else "is not given"
            raise ImatrixError(
                f"{mixture} stores {spec.name} as {types[spec.name]}, which needs an importance "
                f"matrix, and one {lacks}",
                hint="give one with --imatrix FILE, or choose a larger type",
                tensor=spec.name,
                type=types[spec.name],
            )


def _fingerprint(source: Source, layout: Layout, imatrix: Imatrix | None) -> str:
    """Of everything that decides the bytes of an output."""
    facts: dict[str, Any] = {
        "headers": [hashlib.sha256(part.header).hexdigest() for part in layout.parts],
        "shards": [(shard.name, shard.size, shard.version) for shard in source.shards],
        "imatrix": imatrix.digest if imatrix is not None else None,
        "versions": versions(),
    }
    computed = [place.spec.values for place in layout.places.values() if place.spec.values]
    if computed:
        facts["computed"] = computed
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _plan(
    source: Source,
    options: Options,
    config: LlamaConfig,
    specs: Sequence[TensorSpec],
    outputs: Sequence[Output],
) -> Plan:
    threads = options.num_threads()
    widest = max(4 * spec.columns * (config.head_dim if spec.heads else 1) for spec in specs)
    memory = peak_memory(threads, widest, len(outputs), config.vocab_size)
    missing = [output for output in outputs if output.finished() is None]
    held = sum(output.held_bytes() for output in outputs)
    disk = [(output.path.parent, output.layout.size - output.held_bytes()) for output in missing]
    if source.spool is not None:
        disk.append((source.spool, source.peak_disk_bytes))
    return Plan(
        source=source.label,
        revision=source.revision,
        parameters=sum(spec.size for spec in specs if spec.source),
        source_bytes=sum(source.tensors[s.source].num_bytes for s in specs if s.source),
        threads=threads,
        outputs=[_planned(output) for output in outputs],
        peak_memory_bytes=memory,
        peak_disk_bytes=sum(output.layout.size for output in outputs) + source.peak_disk_bytes,
        free_disk_bytes=free_bytes(outputs[0].path.parent) + held,
        problems=find_problems(memory, disk),
    )


def _planned(output: Output) -> PlannedOutput:
    counts = Counter(place.type for place in output.layout.places.values())
    return PlannedOutput(
        path=output.paths[0],
        type=output.mixture,
        bytes=output.layout.size,
        files=len(output.paths),
        tensors=dict(counts),
        replaces=_replaced(output),
    )


def _replaced(output: Output) -> str:
    """What the model was made from that lies in an output's place, if it is another one."""
    path = output.paths[0]
    if not path.is_file() or output.finished() is not None:
        return ""
    source = read_manifest(path).get("source")
    label = source.get("label") if isinstance(source, dict) else source
    return str(label or "something unknown")
