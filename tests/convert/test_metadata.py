"""What a file says about its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sus_local.convert.config import parse_config
from sus_local.convert.fields import Float32, Int32, Texts, UInt32, Value, encode_field
from sus_local.convert.metadata import model_fields, model_name
from sus_local.convert.source import open_source
from sus_local.convert.tensors import expected_tensors

from .checkpoints import write_checkpoint, write_json

CARD = """---
model_name: The Model
license: other
license_name: yi-license
license_link: https://example.org/LICENSE
base_model: 01-ai/Yi-34B
language:
- zh
- en
tags: [chat]
---
# A model
"""


def fields_of(folder: Path, repository: str | None = None) -> Mapping[str, Value]:
    source = open_source(str(folder))
    if repository is not None:
        source.repository, source.revision = repository, "0123456789abcdef"
    config = parse_config(source.config)
    return model_fields(source, config, list(expected_tensors(config)), "Q4_K_M")


def test_tells_the_shape(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny_model", num_layers=3, num_kv_heads=1)
    fields = fields_of(folder)
    assert fields["general.architecture"] == "llama"
    assert fields["general.name"] == "tiny model"
    assert fields["general.file_type"] == UInt32(15)
    assert fields["llama.block_count"] == UInt32(3)
    assert fields["llama.attention.head_count_kv"] == UInt32(1)
    assert fields["llama.attention.key_length"] == UInt32(16)
    assert fields["llama.rope.freq_base"] == Float32(10000.0)
    assert fields["llama.context_length"] == UInt32(512)


def test_tells_license_and_base_model_of_the_card(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    fields = fields_of(folder)
    assert fields["general.name"] == "The Model"
    assert fields["general.license"] == "other"
    assert fields["general.license.name"] == "yi-license"
    assert fields["general.license.link"] == "https://example.org/LICENSE"
    assert fields["general.base_model.count"] == UInt32(1)
    assert fields["general.base_model.0.name"] == "Yi-34B"
    assert fields["general.base_model.0.organization"] == "01-ai"
    assert fields["general.languages"] == Texts([b"zh", b"en"])
    assert fields["general.tags"] == Texts([b"chat"])


def test_a_broken_card_is_no_obstacle(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "README.md").write_text("---\n: [\n---\n", encoding="utf-8")
    assert "general.license" not in fields_of(folder)


@pytest.mark.parametrize("front", ["date: 2024-02-30", "x: 0b_", "[" * 5000, 'license: "\\ud800"'])
def test_a_hostile_card_is_no_obstacle(tmp_path: Path, front: str) -> None:
    folder = write_checkpoint(tmp_path / "a")
    (folder / "README.md").write_text(f"---\n{front}\n---\n")
    for key, value in fields_of(folder).items():
        encode_field(key, value)


def test_sampling_that_no_file_can_hold_is_left_out(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a")
    text = '{"top_k": 3e9, "temperature": NaN, "top_p": Infinity, "min_p": 1e39, "do_sample": true}'
    (folder / "generation_config.json").write_text(text)
    assert not [key for key in fields_of(folder) if key.startswith("general.sampling")]


@pytest.mark.parametrize(
    ("folder", "name"), [(".hid", "hid"), ("...", "model"), ("models--x/y", "y")]
)
def test_a_name_is_one_that_the_store_lists(tmp_path: Path, folder: str, name: str) -> None:
    assert model_name(open_source(str(write_checkpoint(tmp_path / folder)))) == name


def test_tells_repository_and_revision(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "LICENSE").write_text("…", encoding="utf-8")
    fields = fields_of(folder, "SUSTech/SUS-Chat-34B")
    assert fields["general.name"] == "SUS Chat 34B"
    assert fields["general.organization"] == "SUSTech"
    assert fields["general.source.repo_url"] == "https://huggingface.co/SUSTech/SUS-Chat-34B"
    assert fields["sus_local.source.revision"] == "0123456789abcdef"
    assert str(fields["general.license.link"]).endswith("/blob/0123456789abcdef/LICENSE")


def test_sampling_goes_by_llama_cpps_keys(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    generation = {"temperature": 0.7, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.1}
    write_json(folder / "generation_config.json", generation)
    fields = fields_of(folder)
    assert fields["general.sampling.temp"] == Float32(0.7)
    assert fields["general.sampling.top_k"] == Int32(40)
    assert fields["general.sampling.top_p"] == Float32(0.9)
    assert fields["general.sampling.penalty_repeat"] == Float32(1.1)
    write_json(folder / "generation_config.json", {"do_sample": False, "temperature": 0.7})
    assert fields_of(folder)["general.sampling.temp"] == Float32(0.0)


def test_rope_scalings(tmp_path: Path) -> None:
    def scaled(**scaling: Any) -> Mapping[str, Value]:
        return fields_of(write_checkpoint(tmp_path, config={"rope_scaling": scaling}))

    linear = scaled(type="linear", factor=4.0)
    assert linear["llama.rope.scaling.type"] == "linear"
    assert linear["llama.rope.scaling.factor"] == Float32(4.0)
    yarn = scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=128, beta_fast=32)
    assert yarn["llama.rope.scaling.original_context_length"] == UInt32(128)
    assert yarn["llama.rope.scaling.yarn_beta_fast"] == Float32(32.0)
    assert "llama.rope.scaling.attn_factor" not in yarn


def test_a_folder_of_the_hub_cache_is_named_by_its_repository(tmp_path: Path) -> None:
    folder = tmp_path / "models--org--Big-Model" / "snapshots" / "abc"
    source = open_source(str(write_checkpoint(folder)))
    assert model_name(source) == "Big-Model"
