"""The local store of models, its names and its checksums."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from sus_local import checksums, models, paths
from sus_local.errors import InvalidModelError, ModelNotFoundError, VerificationError
from sus_local.header import read_header


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUS_LOCAL_HOME", str(tmp_path))
    paths.models_dir().mkdir()
    return paths.models_dir()


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(extra: bytes = b"") -> bytes:
    """A tiny GGUF: two texts, two numbers, an array of texts, one tensor of 2 × 3."""
    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("中"),
        text("scores") + struct.pack("<IIQ", 9, 6, 3) + struct.pack("<3f", 1, 2, 3),
        text("general.file_type") + struct.pack("<II", 4, 15),
        text("llama.context_length") + struct.pack("<II", 4, 8192),
    ]
    tensor = text("w") + struct.pack("<IQQIQ", 2, 3, 2, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor
    return head + bytes(-len(head) % 32) + extra


def put(store: Path, name: str, content: bytes = b"GGUF", **manifest: Any) -> Path:
    path = store / name
    path.write_bytes(content)
    if manifest:
        models.write_manifest(path, manifest)
    return path


def record(*files: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": path.name,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]


def test_a_header_tells_type_context_and_parameters(store: Path) -> None:
    header = read_header(put(store, "a.gguf", gguf(bytes(24))))
    assert header.architecture == "llama"
    assert (header.file_type, header.n_ctx_train, header.num_parameters) == ("Q4_K_M", 8192, 6)
    assert header.tensors[0].shape == (3, 2)
    assert header.tensors_offset == len(gguf())


@pytest.mark.parametrize("length", [5, 30, 100, 150, 200])
def test_a_header_that_is_cut_off_is_refused(store: Path, length: int) -> None:
    path = put(store, "a.gguf", gguf()[:length])
    with pytest.raises(InvalidModelError, match="is damaged"):
        read_header(path)


def test_a_hostile_length_is_refused(store: Path) -> None:
    huge = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**63)
    with pytest.raises(InvalidModelError, match="does not fit the file"):
        read_header(put(store, "a.gguf", huge))


def test_what_is_no_gguf_is_refused(store: Path) -> None:
    with pytest.raises(InvalidModelError, match="not a GGUF"):
        read_header(put(store, "a.gguf", b"PK\x03\x04"))
    with pytest.raises(ModelNotFoundError):
        read_header(store / "absent.gguf")


def test_split_files_are_one_model(store: Path) -> None:
    put(store, "Big-Q4_0-00002-of-00002.gguf", b"22")
    put(store, "Big-Q4_0-00001-of-00002.gguf", b"1")
    put(store, "alone.gguf", b"333")
    alone, big = models.list_models()
    assert (alone.name, alone.num_bytes, alone.is_complete) == ("alone", 3, True)
    assert (big.name, big.num_bytes, big.is_complete) == ("Big-Q4_0", 3, True)
    assert big.path.name == "Big-Q4_0-00001-of-00002.gguf"
    assert models.at_path(big.files[1]).path == big.path
    big.files[1].unlink()
    assert not models.list_models()[1].is_complete
    with pytest.raises(ModelNotFoundError, match="Big-Q4_0 lacks parts"):
        models.resolve("big:q4_0")


@pytest.mark.parametrize(
    "count", ["00001-of-00000", "00005-of-00002", "00000-of-00002", "0000١-of-00001"]
)
def test_a_count_that_cannot_be_is_a_part_of_the_name(store: Path, count: str) -> None:
    path = put(store, f"x-{count}.gguf", type="Q8_0")
    (model,) = models.list_models()
    assert (model.name, model.files, model.is_complete) == (f"x-{count}", (path,), True)
    assert model.manifest == {"type": "Q8_0"}
    assert models.at_path(path) == model


@pytest.mark.parametrize("name", ["m", "a[b]", *(() if os.name == "nt" else ("*", "x?"))])
def test_a_split_model_is_its_own_files_and_no_others(store: Path, name: str) -> None:
    others = [f"{other}-0000{n}-of-00002.gguf" for other in ("m-big", "ab", "xy") for n in (1, 2)]
    for other in (*others, "m.gguf.json", "m-00001-of-00003.gguf"):
        put(store, other)
    first = put(store, f"{name}-00001-of-00002.gguf")
    second = put(store, f"{name}-00002-of-00002.gguf")
    model = models.at_path(second)
    assert model.files == (first, second)
    models.remove(model)
    left = {path.name for path in store.iterdir()}
    assert left == {*others, "m.gguf.json", "m-00001-of-00003.gguf"}


def test_models_of_one_name_are_told_apart(store: Path) -> None:
    put(store, "a-Q8_0.gguf", b"1")
    for total in (2, 3):
        for number in range(1, total + 1):
            put(store, f"a-Q8_0-{number:05d}-of-{total:05d}.gguf", b"1")
    found = {model.name: len(model.files) for model in models.list_models()}
    assert found == {"a-Q8_0": 1, "a-Q8_0-00001-of-00002": 2, "a-Q8_0-00001-of-00003": 3}
    assert models.find("a-q8_0").files == (store / "a-Q8_0.gguf",)
    assert len(models.find("a-Q8_0-00001-of-00003").files) == 3


def test_what_is_no_file_is_no_model(store: Path) -> None:
    (store / "folder.gguf").mkdir()
    (store / "dangling.gguf").symlink_to(store / "absent.gguf")
    put(store, "CAPITALS.GGUF")
    assert [model.name for model in models.list_models()] == ["CAPITALS"]


def test_a_file_that_is_no_model_is_not_found_as_one(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes").write_text("mine")
    with pytest.raises(ModelNotFoundError, match="no model notes") as caught:
        models.find("notes")
    assert "is not a GGUF file" in caught.value.hint
    put(store, "notes.gguf")
    assert models.find("notes").path == store / "notes.gguf"
    Path("bare").write_bytes(b"GGUF")
    assert models.find("bare").path == Path("bare")
    with pytest.raises(ModelNotFoundError):
        models.find("~nobody-of-this-name/x.gguf")


@pytest.mark.parametrize(
    "name",
    [
        "SUS-Chat-34B-Q4_K_M",
        "sus-chat-34b-q4_k_m",
        "SUS-Chat-34B-Q4_K_M.gguf",
        "sus-chat-34b:Q4_K_M",
        "SUSTech/SUS-Chat-34B:q4_k_m",
    ],
)
def test_a_model_goes_by_several_names(store: Path, name: str) -> None:
    source = {"repository": "SUSTech/SUS-Chat-34B"}
    path = put(store, "SUS-Chat-34B-Q4_K_M.gguf", source=source)
    put(store, "SUS-Chat-34B-Q8_0.gguf", source=source)
    assert models.resolve(name) == path


def test_a_path_is_a_name(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "mine.gguf")
    assert models.resolve(str(path)) == models.resolve(path) == path
    monkeypatch.chdir(tmp_path)
    assert models.find("mine.gguf").path == Path("mine.gguf")
    with pytest.raises(ModelNotFoundError, match="there is no file"):
        models.find("./other.gguf")
    with pytest.raises(ModelNotFoundError, match="is a folder") as caught:
        models.find(str(tmp_path))
    assert f"sus-local convert {tmp_path}" in caught.value.hint


def test_of_several_the_one_used_last_is_meant(store: Path) -> None:
    put(store, "A-Q4_0.gguf")
    wanted = put(store, "A-Q8_0.gguf")
    with pytest.raises(ModelNotFoundError, match="2 models are called a: A-Q4_0, A-Q8_0"):
        models.find("a")
    models.remember_used(wanted)
    assert models.find("a").path == wanted


def test_an_unknown_name_leads_to_the_nearest(store: Path) -> None:
    put(store, "SUS-Chat-34B-Q4_K_M.gguf")
    with pytest.raises(ModelNotFoundError) as caught:
        models.find("sus-chat-34")
    assert caught.value.message == "there is no model sus-chat-34"
    assert "did you mean SUS-Chat-34B-Q4_K_M?" in caught.value.hint
    assert caught.value.nearest == ["SUS-Chat-34B-Q4_K_M"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("org/repo:Q4_K_M", "sus-local pull org/repo:Q4_K_M"),
        ("nothing", "sus-local demo"),
        ("", "sus-local demo"),
    ],
)
def test_an_unknown_name_leads_to_a_command(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        models.find(name)
    assert hint in caught.value.hint


def test_a_checkpoint_folder_leads_to_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoint").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError) as caught:
        models.find("checkpoint")
    assert "sus-local convert checkpoint" in caught.value.hint


def test_the_last_used_model_is_forgotten_with_its_file(store: Path) -> None:
    assert models.last_used() is None
    path = put(store, "a.gguf")
    models.remember_used(path)
    last = models.last_used()
    assert last is not None
    assert last.path == path
    models.remove(last)
    assert models.last_used() is None


def test_removing_takes_the_manifest_too(store: Path) -> None:
    put(store, "a-00001-of-00002.gguf", type="Q4_0")
    put(store, "a-00002-of-00002.gguf")
    models.remove(models.find("a"))
    assert list(store.iterdir()) == []


def test_a_broken_manifest_is_none(store: Path) -> None:
    path = put(store, "a.gguf")
    models.manifest_path(path).write_text("{")
    assert models.read_manifest(path) == {}


def test_verifying_records_its_success(store: Path) -> None:
    path = put(store, "a.gguf", b"GGUF" * 10)
    models.write_manifest(path, {"files": record(path)})
    assert checksums.state(models.find("a")) == "recorded"
    counted: list[int] = []
    checked = checksums.verify(models.find("a"), on_bytes=counted.append)
    assert (checked.num_files, checked.num_bytes, sum(counted)) == (1, 40, 40)
    assert checksums.state(models.find("a")) == "verified"
    path.write_bytes(b"GGUF" * 9 + b"FFUG")
    assert checksums.state(models.find("a")) == "changed"


def test_verifying_names_the_damaged_tensor(store: Path) -> None:
    path = put(store, "a.gguf", b"0123456789")
    good = hashlib.sha256(b"01234").hexdigest()
    other = hashlib.sha256(b"56789").hexdigest()
    tensors = [
        {"name": "x", "file": 0, "offset": 0, "bytes": 5, "sha256": good},
        {"name": "y", "file": 0, "offset": 5, "bytes": 5, "sha256": other},
    ]
    models.write_manifest(path, {"files": record(path), "tensors": tensors})
    path.write_bytes(b"01234567x9")
    with pytest.raises(VerificationError, match=r"a.gguf is not what was recorded \(tensor y\)"):
        checksums.verify(models.find("a"))


def test_verifying_finds_a_short_and_a_missing_file(store: Path) -> None:
    path = put(store, "a.gguf", b"0123456789")
    entries = record(path)
    path.write_bytes(b"012")
    models.write_manifest(path, {"files": entries})
    with pytest.raises(VerificationError, match="has 3 bytes, expected 10"):
        checksums.verify(models.find("a"))
    first, second = put(store, "b-00001-of-00002.gguf"), put(store, "b-00002-of-00002.gguf")
    models.write_manifest(first, {"files": record(first, second)})
    for part in (second, first):
        content = part.read_bytes()
        part.unlink()
        with pytest.raises(VerificationError, match=f"{part.name} is missing"):
            checksums.verify(models.find("b"))
        part.write_bytes(content)
    checksums.verify(models.find("b"))


def test_a_copy_is_verified_itself_not_the_file_it_was_copied_from(store: Path) -> None:
    path = put(store, "a.gguf", b"0123456789")
    copy = put(store, "copy.gguf", b"0123456789", files=record(path))
    models.write_manifest(path, {"files": record(path)})
    checksums.verify(models.find("copy"))
    copy.write_bytes(b"0123456x89")
    with pytest.raises(VerificationError, match=r"copy.gguf is not what was recorded"):
        checksums.verify(models.find("copy"))
    checksums.verify(models.find("a"))


def test_a_damage_that_was_found_is_remembered_until_it_is_mended(store: Path) -> None:
    path = put(store, "a.gguf", b"0123456789")
    models.write_manifest(path, {"files": record(path)})
    path.write_bytes(b"012345678x")
    with pytest.raises(VerificationError):
        checksums.verify(models.find("a"))
    assert models.read_manifest(path)["damaged"] == "a.gguf"
    assert checksums.state(models.find("a")) == "changed"
    path.write_bytes(b"0123456789")
    checksums.verify(models.find("a"))
    assert "damaged" not in models.read_manifest(path)
    assert checksums.state(models.find("a")) == "verified"


def test_a_manifest_that_is_made_anew_meanwhile_stays(store: Path) -> None:
    def remake(_: int) -> None:
        models.write_manifest(path, {"files": record(put(store, "other.gguf"))})

    path = put(store, "a.gguf", b"0123456789")
    models.write_manifest(path, {"files": record(path)})
    checksums.verify(models.find("a"), on_bytes=remake)
    assert models.read_manifest(path) == {"files": record(store / "other.gguf")}


@pytest.mark.parametrize(
    "manifest",
    [
        "[" * 100_000,
        '{"files": [{"name": "../x.gguf", "bytes": 4, "sha256": "0"}], "tensors": [1, {}]}',
        '{"files": [{"name": "\\u0000", "bytes": 4, "sha256": "0"}]}',
        '{"files": [1, {}]}',
        '{"files": 5}',
    ],
)
def test_a_rubbish_manifest_harms_nobody(store: Path, manifest: str) -> None:
    path = put(store, "a.gguf")
    models.manifest_path(path).write_text(manifest)
    (model,) = models.list_models()
    assert checksums.state(model) in ("none", "recorded")
    with pytest.raises((InvalidModelError, VerificationError)):
        checksums.verify(model)


def test_without_a_manifest_there_is_nothing_to_verify(store: Path) -> None:
    put(store, "a.gguf")
    assert checksums.state(models.find("a")) == "none"
    with pytest.raises(InvalidModelError, match="nothing is recorded"):
        checksums.verify(models.find("a"))
