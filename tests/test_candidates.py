"""Which files of a repository are models, and which of them is meant."""

from __future__ import annotations

import pytest

from sus_local.candidates import candidates, choose, parse_reference
from sus_local.errors import ModelNotFoundError
from sus_local.hub import HubFile, Repository


def repository(*names: str, revision: str = "main") -> Repository:
    return Repository("a/b", revision, "0" * 40, {name: HubFile(name, 1) for name in names})


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("a/b", ("a/b", "")),
        ("a/b:Q4_K_M", ("a/b", "Q4_K_M")),
        ("hf.co/a/b:q4_0", ("a/b", "q4_0")),
        ("https://huggingface.co/a/b-GGUF/", ("a/b-GGUF", "")),
        ("https://huggingface.co/a/b:Q4_0", ("a/b", "Q4_0")),
        ("a/b:Q4_0/x.gguf", ("a/b", "Q4_0/x.gguf")),
        (" a/b ", ("a/b", "")),
    ],
)
def test_references(reference: str, expected: tuple[str, str]) -> None:
    assert parse_reference(reference) == expected


@pytest.mark.parametrize("reference", ["", "a", "a/b/c", "a/b:", "a b/c", "https://x.org/a/b"])
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(ModelNotFoundError, match="names no repository"):
        parse_reference(reference)


def test_one_model_needs_no_name() -> None:
    assert choose(repository("x.gguf", "README.md")).name == "x"


def test_several_models_without_a_preferred_one_are_asked_about() -> None:
    with pytest.raises(ModelNotFoundError, match="several models: F16, Q2_K") as caught:
        choose(repository("x-F16.gguf", "x-Q2_K.gguf"))
    assert caught.value.hint == "sus-local pull a/b:F16"


def test_two_models_of_one_type_are_named_in_full() -> None:
    with pytest.raises(ModelNotFoundError, match="2 models of type Q4_K_M: x-Q4_K_M, y-Q4_K_M"):
        choose(repository("x-Q4_K_M.gguf", "y-Q4_K_M.gguf"), "Q4_K_M")


@pytest.mark.parametrize(
    "name",
    [
        "../../x-Q4_0.gguf",
        "a\\b-Q4_0.gguf",
        "C:x-Q4_0.gguf",
        "a\nb-Q4_0.gguf",
        ".x-Q4_0.gguf",
        ".cache/x-Q4_0.gguf",
        "mmproj-x-f16.gguf",
        "mmproj/mmproj-F16.gguf",
        "x.mmproj-Q8_0.gguf",
        "x-mmproj.gguf",
        "imatrix.gguf",
        "imatrix_unsloth.gguf",
        "x.imatrix.gguf",
    ],
)
def test_hostile_names_and_companions_are_no_models(name: str) -> None:
    assert candidates(repository(name)) == []


@pytest.mark.parametrize(
    "name",
    [
        "x-imatrix-Q4_K_M.gguf",
        "imatrix-Q4_K_M.gguf",
        "imatrix/x-Q4_K_M.gguf",
        "x..Q8_0.gguf",
        "x-mmproj-tuned-Q4_0.gguf",
        "x-Q4_0.GGUF",
    ],
)
def test_a_model_is_one_whatever_its_name_contains(name: str) -> None:
    assert [each.files[0].name for each in candidates(repository(name))] == [name]


@pytest.mark.parametrize(
    ("names", "stored"),
    [
        (["Q6_K/x-Q6_K.gguf"], ["x-Q6_K.gguf"]),
        (["Q4_0/x.gguf", "Q8_0/x.gguf"], ["x-Q4_0.gguf", "x-Q8_0.gguf"]),
        (["x.gguf", "a/b/x.gguf"], ["x.gguf", "x-a-b.gguf"]),
        (["old/x-Q4_0.gguf", "new/x-Q4_0.gguf"], ["new-x-Q4_0.gguf", "old-x-Q4_0.gguf"]),
        (["x-Q4_0.GGUF"], ["x-Q4_0.gguf"]),
        (["x-Q4_0-00003-of-00002.gguf"], ["x-Q4_0-00003-of-00002.gguf"]),
        (
            ["x-00001-of-00002.GGUF", "x-00002-of-00002.GGUF"],
            ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"],
        ),
    ],
)
def test_every_model_has_files_of_its_own_in_the_store(names: list[str], stored: list[str]) -> None:
    found = candidates(repository(*names))
    assert sorted(name for each in found for name in each.file_names) == sorted(stored)


WHOLE, HALF, THIRD = "x-Q4_0.gguf", "x-Q4_0-0000{}-of-00002.gguf", "x-Q4_0-0000{}-of-00003.gguf"
SPLIT = [HALF.format(part) for part in (1, 2)] + [THIRD.format(part) for part in (1, 2, 3)]


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        ("x-Q4_0", [WHOLE]),
        ("x-Q4_0-00001-of-00002", SPLIT[:2]),
        ("x-Q4_0-00001-of-00003.gguf", SPLIT[2:]),
    ],
)
def test_files_of_one_name_are_not_joined(wanted: str, files: list[str]) -> None:
    chosen = choose(repository(WHOLE, *SPLIT), wanted)
    assert [file.name for file in chosen.files] == files


def test_a_model_that_lacks_parts_is_refused() -> None:
    lacking = repository(*(THIRD.format(part) for part in (1, 3)))
    with pytest.raises(ModelNotFoundError, match="has 2 of the 3 parts of x-Q4_0") as caught:
        choose(lacking)
    assert caught.value.hint == "sus-local pull a/b --list"
    assert caught.value.num_parts == 3


@pytest.mark.parametrize(
    ("wanted", "names", "expected"),
    [
        ("x.Q4_0.gguf", ["x.Q4_0.gguf", "x.Q8_0.gguf"], "x.Q4_0.gguf"),
        ("X.q4_0", ["x.Q4_0.gguf", "x.Q8_0.gguf"], "x.Q4_0.gguf"),
        ("q8_0", ["x.Q4_0.gguf", "x.Q8_0.gguf"], "x.Q8_0.gguf"),
        ("Q4_0", ["Q4_0.gguf", "x-Q4_0.gguf"], "Q4_0.gguf"),
        ("x-Q4_0", ["x-Q4_0.gguf", "X-q4_0.gguf"], "x-Q4_0.gguf"),
        ("X-q4_0", ["x-Q4_0.gguf", "X-q4_0.gguf"], "X-q4_0.gguf"),
        ("Q4_0", ["Q4_0/x.gguf", "Q8_0/x.gguf"], "Q4_0/x.gguf"),
        ("Q8_0/x.gguf", ["Q4_0/x.gguf", "Q8_0/x.gguf"], "Q8_0/x.gguf"),
        ("Q8_0/x", ["Q4_0/x.gguf", "Q8_0/x.gguf"], "Q8_0/x.gguf"),
        ("x-Q4_0.GGUF", ["x-Q4_0.gguf", "x-Q4_0.GGUF"], "x-Q4_0.GGUF"),
    ],
)
def test_an_exact_name_wins(wanted: str, names: list[str], expected: str) -> None:
    assert choose(repository(*names), wanted).files[0].name == expected


@pytest.mark.parametrize(
    "names",
    [
        ["x-F16.gguf", "x-Q2_K.gguf"],
        ["Q2_K.gguf", "x-Q2_K.gguf"],
        ["x-Q2_K.gguf", "X-q2_k.gguf"],
        ["x-Q2_K.gguf", "x-Q2_K.GGUF"],
        ["x-Q2_K.gguf", "x-Q2_K-00001-of-00001.gguf"],
        ["Q2_K/x.gguf", "x-Q2_K.gguf", "Q3_K/x.gguf"],
        ["my model-Q2_K.gguf", "y-Q2_K.gguf"],
    ],
)
def test_each_name_of_the_error_leads_to_one_model(names: list[str]) -> None:
    with pytest.raises(ModelNotFoundError, match="several models") as caught:
        choose(repository(*names))
    chosen = [choose(repository(*names), name).files[0].name for name in caught.value.names]
    assert sorted(chosen) == sorted(names)


def test_the_hint_is_a_command_for_the_same_revision() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        choose(repository("my model-F16.gguf", "x-F16.gguf", revision="v 2"))
    assert caught.value.hint == "sus-local pull 'a/b:my model-F16' --revision 'v 2'"


def test_names_in_other_capitals_are_told_as_such() -> None:
    with pytest.raises(ModelNotFoundError, match="has 2 models called x-q4_k: X-q4_K, x-Q4_K"):
        choose(repository("x-Q4_K.gguf", "X-q4_K.gguf"), "x-q4_k")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model.safetensors", "sus-local convert a/b -q Q4_K_M"),
        ("pytorch_model-1.bin", "hf download a/b --local-dir FOLDER, then convert FOLDER"),
        (
            "mmproj-x.gguf",
            "choose another repository; those of GGUF files are mostly called …-GGUF",
        ),
    ],
)
def test_a_repository_without_a_model_has_a_next_step(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFoundError, match="has no GGUF files") as caught:
        choose(repository(name))
    assert caught.value.hint == hint
