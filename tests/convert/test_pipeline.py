"""Whole conversions: what comes out, what survives, what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sus_local import checksums, models
from sus_local.convert import Event, Planned, Progress, Resumed, convert, plan
from sus_local.convert.output import Output
from sus_local.convert.readback import Readback
from sus_local.convert.vocab import Vocabulary, read_vocabulary
from sus_local.convert.writer import Place
from sus_local.errors import (
    ConvertError,
    DiskFullError,
    ImatrixError,
    NonFiniteError,
    PermissionDeniedError,
    SourceNotFoundError,
    StorageError,
    TokenizerError,
    UnsupportedModelError,
    VerificationError,
)

from .checkpoints import (
    encode,
    leftovers,
    random_tensors,
    tensor_shapes,
    write_checkpoint,
    write_weights,
)
from .imatrices import write_legacy
from .reference import read_tensors

pytestmark = pytest.mark.model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny", num_shards=3, hidden=256, ffn=512, num_layers=4)


def test_several_types_come_out_of_one_pass_equal_to_single_ones(
    folder: Path, tmp_path: Path
) -> None:
    both = convert(str(folder), types=["Q4_K_M", "Q8_0"], output=tmp_path / "both")
    for made in both.outputs:
        alone = convert(str(folder), types=[made.type], output=tmp_path / made.type)
        assert alone.outputs[0].sha256 == made.sha256
        assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.sha256
        assert made.path.stat().st_size == made.bytes
        assert len(read_tensors(made.path)) == made.tensors
    names = {"tiny-q4_k_m.gguf", "tiny-q8_0.gguf"}
    assert leftovers(tmp_path / "both") == names | {f"{name}.json" for name in names}


def test_the_number_of_threads_changes_nothing(folder: Path, tmp_path: Path) -> None:
    digests = {
        convert(str(folder), types=["Q4_K_M"], output=tmp_path / f"{n}.gguf", threads=n)
        .outputs[0]
        .sha256
        for n in (1, 2, 7)
    }
    assert len(digests) == 1


def test_without_output_it_goes_to_the_store_and_is_found_there(folder: Path) -> None:
    report = convert(str(folder), types=["q8_0"])
    (stored,) = models.find_models("tiny:q8_0", models.list_models())
    assert stored.path == report.outputs[0].path
    assert stored.manifest["type"] == "Q8_0"


def test_the_manifest_tells_shards_tensors_and_options(folder: Path, tmp_path: Path) -> None:
    convert(str(folder), types=["Q4_0"], output=tmp_path / "a.gguf", tensor_types=["ffn_down=Q8_0"])
    manifest = json.loads((tmp_path / "a.gguf.json").read_text(encoding="utf-8"))
    for shard in manifest["source"]["shards"]:
        content = (folder / shard["name"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    content = (tmp_path / "a.gguf").read_bytes()
    for tensor in manifest["tensors"]:
        piece = content[tensor["offset"] : tensor["offset"] + tensor["bytes"]]
        assert hashlib.sha256(piece).hexdigest() == tensor["sha256"]
    assert manifest["options"]["tensor_types"] == ["ffn_down=Q8_0"]
    assert "llama-cpp-python" in manifest["versions"]


def test_verify_finds_a_changed_byte_and_names_the_tensor(folder: Path, tmp_path: Path) -> None:
    path = convert(str(folder), types=["Q8_0"], output=tmp_path / "a.gguf").outputs[0].path
    checksums.verify(models.at_path(path))
    manifest = models.read_manifest(path)
    target = next(t for t in manifest["tensors"] if t["name"] == "blk.2.ffn_up.weight")
    with path.open("r+b") as file:
        file.seek(target["offset"] + 100)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(VerificationError, match=r"blk\.2\.ffn_up\.weight"):
        checksums.verify(models.at_path(path))


def test_split_files_hold_the_same_tensors(folder: Path, tmp_path: Path) -> None:
    whole = convert(str(folder), types=["Q4_K_M"], output=tmp_path / "a.gguf").outputs[0]
    split = convert(
        str(folder), types=["Q4_K_M"], output=tmp_path / "b.gguf", split_size=400_000
    ).outputs[0]
    assert len(split.files) > 3
    assert split.path.name == f"b-00001-of-{len(split.files):05d}.gguf"
    merged: dict[str, Any] = {}
    for path in split.files:
        merged |= read_tensors(path)
    assert merged == read_tensors(whole.path)
    checksums.verify(models.at_path(split.path))


@pytest.mark.usefixtures("bare_llama_cpp")
def test_llama_cpp_loads_a_split_model(folder: Path, tmp_path: Path) -> None:
    import llama_cpp

    made = convert(
        str(folder), types=["Q8_0"], output=tmp_path / "b.gguf", split_size=1_000_000
    ).outputs[0]
    model = llama_cpp.Llama(str(made.path), n_ctx=64, verbose=False)
    model.eval([5, 6, 7])
    assert model.n_tokens == 3
    model.close()


def test_events_tell_the_plan_first_and_every_byte(folder: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    convert(str(folder), types=["Q4_0"], output=tmp_path / "a.gguf", progress=events.append)
    assert isinstance(events[0], Planned)
    steps = [event for event in events if isinstance(event, Progress)]
    for phase in ("convert", "verify"):
        last = [step for step in steps if step.phase == phase][-1]
        assert last.bytes == last.total_bytes > 0
        assert last.seconds_left == 0
    assert steps[-1].phase == "verify"


def test_the_plan_is_what_comes_out(folder: Path, tmp_path: Path) -> None:
    planned = plan(str(folder), types=["Q4_K_M", "F16"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = convert(str(folder), types=["Q4_K_M", "F16"], output=tmp_path / "out")
    assert [made.bytes for made in report.outputs] == [made.bytes for made in planned.outputs]
    assert [made.path for made in report.outputs] == [made.path for made in planned.outputs]
    assert planned.fits
    assert planned.peak_disk_bytes == sum(made.bytes for made in report.outputs)
    assert planned.parameters == sum(
        len(data) // 2 if kind == "F16" else len(data) // 4
        for kind, data in read_tensors(report.outputs[1].path).values()
    )


def test_what_is_made_already_is_not_made_again(folder: Path, tmp_path: Path) -> None:
    first = convert(str(folder), types=["Q4_0"], output=tmp_path / "out").outputs[0]
    before = first.path.stat().st_mtime_ns
    events: list[Event] = []
    again = convert(
        str(folder), types=["Q4_0", "Q8_0"], output=tmp_path / "out", progress=events.append
    )
    assert again.outputs[0] == first
    assert first.path.stat().st_mtime_ns == before
    assert Resumed(first.tensors) in events


def test_rests_of_a_kill_at_the_very_end_are_cleared(folder: Path, tmp_path: Path) -> None:
    convert(str(folder), types=["Q4_0"], output=tmp_path / "out" / "a.gguf")
    for rest in ("a.gguf.lock", "a.gguf.journal"):
        (tmp_path / "out" / rest).write_text("")
    convert(str(folder), types=["Q4_0"], output=tmp_path / "out" / "a.gguf")
    assert leftovers(tmp_path / "out") == {"a.gguf", "a.gguf.json"}


def test_other_weights_are_converted_anew(folder: Path, tmp_path: Path) -> None:
    first = convert(str(folder), types=["Q4_0"], output=tmp_path / "a.gguf").outputs[0]
    write_checkpoint(folder, num_shards=3, hidden=256, ffn=512, num_layers=4, seed=1)
    for path in folder.glob("*.safetensors"):
        os.utime(path, ns=(10**18, 10**18))
    second = convert(str(folder), types=["Q4_0"], output=tmp_path / "a.gguf").outputs[0]
    assert first.sha256 != second.sha256


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_stop_it_and_leave_nothing(
    tmp_path: Path, value: float, dtype: str
) -> None:
    folder = write_checkpoint(tmp_path / "in", dtype=dtype, num_heads=4)
    shapes = tensor_shapes(num_layers=2, hidden=64, ffn=128, rows_q=64, rows_kv=32, vocab_size=384)
    tensors = random_tensors(shapes, dtype=dtype)
    name = "model.layers.1.self_attn.q_proj.weight"
    values = np.ones((64, 64), np.float32)
    values[17, 3] = value
    write_weights(folder, {**tensors, name: (dtype, (64, 64), encode(values, dtype))})
    with pytest.raises(NonFiniteError, match=rf"{name} is .* at row 17, column 3") as caught:
        convert(str(folder), types=["Q8_0"], output=tmp_path / "out" / "a.gguf")
    assert caught.value.index == (17, 3)
    assert leftovers(tmp_path / "out") == set()


def test_a_weight_too_large_for_one_type_costs_the_work_of_that_one_alone(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "in", num_heads=4)
    shapes = tensor_shapes(num_layers=2, hidden=64, ffn=128, rows_q=64, rows_kv=32, vocab_size=384)
    name = "model.layers.1.self_attn.v_proj.weight"
    values = encode(np.full((32, 64), 1e5, np.float32), "BF16")
    write_weights(folder, {**random_tensors(shapes), name: ("BF16", (32, 64), values)})
    with pytest.raises(NonFiniteError, match=rf"{name} has values too large for F16"):
        convert(str(folder), types=["Q8_0", "F16"], output=tmp_path / "out")
    assert leftovers(tmp_path / "out") == {"in-q8_0.gguf.partial", "in-q8_0.gguf.journal"}
    events: list[Event] = []
    convert(str(folder), types=["Q8_0"], output=tmp_path / "out", progress=events.append)
    assert any(isinstance(event, Resumed) for event in events)


def test_a_chat_template_that_renders_otherwise_stops_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.convert.verify.render", lambda messages: "### Human: hi\n")
    with pytest.raises(VerificationError, match="chat template"):
        convert(str(folder), types=["Q8_0"], output=tmp_path / "out" / "a.gguf")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_encodes_otherwise_stops_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misread(*args: Any) -> Vocabulary:
        return replace(read_vocabulary(*args), add_space_prefix=True)

    monkeypatch.setattr("sus_local.convert.prepare.read_vocabulary", misread)
    with pytest.raises(TokenizerError, match=r"llama\.cpp would encode"):
        convert(str(folder), types=["Q8_0"], output=tmp_path / "out" / "a.gguf")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_and_the_work_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = Output.write, 0

    def full(self: Output, *args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", full)
        with pytest.raises(DiskFullError, match=r"a\.gguf"):
            convert(str(folder), types=["Q8_0"], output=tmp_path / "out" / "a.gguf")
    events: list[Event] = []
    convert(str(folder), types=["Q8_0"], output=tmp_path / "out" / "a.gguf", progress=events.append)
    assert any(isinstance(event, Resumed) for event in events)


def test_a_full_disk_is_told_with_its_place_wherever_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError, match=r"while writing .*vocabulary\.gguf"):
        plan(str(folder), types=["Q8_0"], output=tmp_path)
    monkeypatch.setattr("sus_local.convert.prepare.free_bytes", full)
    with pytest.raises(DiskFullError, match="while reading or writing"):
        convert(str(folder), types=["Q8_0"], output=tmp_path)


def test_a_file_too_large_for_its_disk_leads_to_smaller_ones(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(Output, "write", refuse)
    with pytest.raises(StorageError, match=r"file too large while writing .*a\.gguf") as caught:
        convert(str(folder), types=["Q8_0"], output=tmp_path / "a.gguf")
    assert "--split-size 4G" in caught.value.hint
    assert caught.value.path == str(tmp_path / "a.gguf")


@pytest.mark.skipif(sys.platform != "linux", reason="names are of any bytes on Linux alone")
def test_paths_that_are_not_utf8_are_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    folder = write_checkpoint(place / "in")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    made = convert(str(folder), types=["Q8_0"], output=place / "a.gguf").outputs[0]
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.sha256


def test_what_does_not_fit_on_the_disk_is_refused_before_it_begins(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sus_local.convert.estimates.free_bytes", lambda path: 1000)
    planned = plan(str(folder), types=["Q8_0"], output=tmp_path / "out" / "a.gguf")
    assert not planned.fits
    assert "is free" in planned.problems[0].message
    with pytest.raises(DiskFullError) as caught:
        convert(str(folder), types=["Q8_0"], output=tmp_path / "out" / "a.gguf")
    assert caught.value.peak_disk_bytes == planned.peak_disk_bytes
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConvertError, match="file is neither"):
        convert(str(folder), types=["Q8_0"], output=tmp_path / "file" / "folder" / "a.gguf")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(PermissionDeniedError):
        convert(str(folder), types=["Q8_0"], output=locked / "a.gguf")


def test_damage_between_writing_and_reading_back_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Readback.add

    def damage(self: Readback, place: Place, offset: int, data: memoryview) -> None:
        if place.spec.name == "blk.1.attn_k.weight":
            with (tmp_path / "a.gguf.partial").open("r+b") as file:
                file.seek(place.offset + 5)
                file.write(b"\xff\xff\xff")
        add(self, place, offset, data)

    monkeypatch.setattr(Readback, "add", damage)
    with pytest.raises(VerificationError, match=r"blk\.1\.attn_k\.weight"):
        convert(str(folder), types=["Q8_0"], output=tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"types": []}, ConvertError, "no type"),
        ({"types": ["Q9_K"]}, ConvertError, "Q9_K"),
        ({"types": ["Q8_0", "Q4_0"], "output": Path("a.gguf")}, ConvertError, "2 types"),
        ({"types": ["IQ2_XS"]}, ImatrixError, "importance"),
        ({"types": ["Q2_K_S"]}, ImatrixError, "Q2_K"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    folder: Path, options: dict[str, Any], kind: type[Exception], word: str
) -> None:
    with pytest.raises(kind, match=word):
        convert(str(folder), **options)


def test_another_architecture_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["MixtralForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="MixtralForCausalLM"):
        convert(str(folder), types=["Q8_0"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        convert(str(tmp_path / "nowhere"), types=["Q8_0"])


def test_a_damaged_output_is_made_anew_once_the_damage_is_known(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.gguf"
    made = convert(str(folder), types=["Q8_0"], output=path).outputs[0]
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerificationError):
        checksums.verify(models.at_path(path))
    assert convert(str(folder), types=["Q8_0"], output=path).outputs[0].sha256 == made.sha256
    checksums.verify(models.at_path(path))


@pytest.mark.parametrize("files", [[], [1], [{}], 5])
def test_a_rubbish_manifest_is_no_sign_of_a_finished_output(
    folder: Path, tmp_path: Path, files: object
) -> None:
    path = tmp_path / "a.gguf"
    made = convert(str(folder), types=["Q8_0"], output=path).outputs[0]
    models.write_manifest(path, {**models.read_manifest(path), "files": files})
    assert convert(str(folder), types=["Q8_0"], output=path).outputs[0].sha256 == made.sha256
    checksums.verify(models.at_path(path))


def test_other_rope_factors_make_another_file(tmp_path: Path) -> None:
    def made(factor: float) -> str:
        scaling = {"rope_type": "llama3", "factor": factor}
        folder = write_checkpoint(tmp_path / "in", config={"rope_scaling": scaling})
        times = (folder / "model.safetensors").stat()
        os.utime(folder / "model.safetensors", ns=(times.st_atime_ns, 10**18))
        return convert(str(folder), types=["F16"], output=tmp_path / "a.gguf").outputs[0].sha256

    assert made(8.0) != made(32.0)


def test_a_plan_tells_which_model_it_would_replace(folder: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "x" / "tiny")
    output = tmp_path / "out"
    assert plan(str(folder), types=["Q8_0"], output=output).outputs[0].replaces == ""
    convert(str(folder), types=["Q8_0"], output=output)
    assert plan(str(folder), types=["Q8_0"], output=output).outputs[0].replaces == ""
    assert plan(str(other), types=["Q8_0"], output=output).outputs[0].replaces == str(folder)


def test_what_a_plan_cannot_do_it_refuses(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file" / "x.gguf", tmp_path / "file" / "sub", tmp_path / "file"):
        with pytest.raises(ConvertError, match="is neither"):
            plan(str(folder), types=["Q8_0"], output=output)
    with pytest.raises(ConvertError, match="which has no revision main"):
        plan(str(folder), types=["Q8_0"], revision="main")
    with pytest.raises(ConvertError, match="no tensor that is quantized matches attn_w"):
        plan(str(folder), types=["Q8_0"], tensor_types=["attn_w=Q4_0"])
    raw = (folder / "tokenizer.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(TokenizerError):
        plan(str(folder), types=["Q8_0"])


def test_an_importance_matrix_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.dat"
    write_legacy(path, {"model.layers.0.mlp": np.ones(256, np.float32)})
    with pytest.raises(ImatrixError, match="has 1 entries, none for a tensor of this model"):
        plan(str(folder), types=["Q4_K_S"], imatrix=path)
