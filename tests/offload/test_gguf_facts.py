from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sus_local.errors import InvalidModelError, ModelNotFoundError
from sus_local.header import split_parts
from sus_local.offload.gguf_facts import read_facts
from tests.offload.conftest import SMALL, write_model


def test_facts_tell_the_shape_and_every_byte(make_model: Callable[..., Path]) -> None:
    path = make_model(n_layer=3, n_embd=256, n_ff=512, n_head=4, n_head_kv=2, n_vocab=512)
    facts = read_facts(path)

    assert (facts.n_layer, facts.n_embd, facts.n_ff, facts.n_vocab) == (3, 256, 512, 512)
    assert (facts.n_head, facts.n_head_kv, facts.head_dim) == (4, 2, 64)
    assert (facts.architecture, facts.file_type, facts.n_ctx_train) == ("llama", "Q4_K_M", 8192)
    assert (facts.tied, facts.embedding_type) == (False, "Q4_K")
    assert facts.embedding_bytes == 512 * 256 * 144 // 256
    assert facts.output_bytes == 512 * 256 * 210 // 256 + 4 * 256
    assert len(set(facts.layer_bytes)) == 1
    # The file is those bytes, a header, and padding of at most 31 bytes a tensor.
    assert 0 < path.stat().st_size - facts.weight_bytes < 16384


def test_a_model_without_an_output_matrix_is_tied(make_model: Callable[..., Path]) -> None:
    facts = read_facts(make_model(tied=True))
    assert facts.tied
    assert facts.output_bytes == 4 * facts.n_embd


def test_any_part_of_a_split_model_stands_for_the_whole(tmp_path: Path) -> None:
    parts = split_parts(tmp_path / "m-00002-of-00003.gguf")
    assert [part.name for part in parts] == [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]


def test_facts_of_a_split_model_add_its_parts(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    whole = read_facts(make_model())
    first = make_model("m-00001-of-00002", n_layer=1)
    second = make_model("m-00002-of-00002", n_layer=2)
    facts = read_facts(second)

    assert facts.paths == (first, second)
    assert facts.layer_bytes[0] == whole.layer_bytes[0]


def test_a_missing_part_is_named(make_model: Callable[..., Path]) -> None:
    first = make_model("m-00001-of-00002")
    with pytest.raises(ModelNotFoundError, match="m-00002-of-00002"):
        read_facts(first)


def test_a_truncated_file_is_told_with_its_numbers(make_model: Callable[..., Path]) -> None:
    path = make_model()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 1000)
    with pytest.raises(InvalidModelError, match="truncated") as caught:
        read_facts(path)
    assert (caught.value.num_bytes, caught.value.expected_bytes) == (size - 1000, size)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"something else, and long enough for a header")
    with pytest.raises(InvalidModelError):
        read_facts(path)


def test_a_model_without_a_shape_is_refused(make_model: Callable[..., Path]) -> None:
    with pytest.raises(InvalidModelError, match=r"llama\.attention\.head_count is 0"):
        read_facts(make_model(n_head=0, n_head_kv=0, kv_width=64))


@pytest.mark.parametrize("layers", [513, 2**32 - 1])
def test_an_absurd_number_of_layers_is_refused_at_once(
    make_model: Callable[..., Path], layers: int
) -> None:
    content = make_model(n_layer=2).read_bytes()
    key = b"llama.block_count\x04\0\0\0"
    path = make_model("absurd")
    path.write_bytes(content.replace(key + b"\2\0\0\0", key + layers.to_bytes(4, "little")))
    with pytest.raises(InvalidModelError, match=f"llama.block_count is {layers}, more than 512"):
        read_facts(path)


def test_an_embedding_without_extents_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "made.gguf", **SMALL)
    content = path.read_bytes()
    name = b"token_embd.weight"
    table = content.index(name) + len(name)
    flat = b"\0\0\0\0" + content[table + 4 + 16 :]
    path.write_bytes(content[:table] + flat + bytes(32))
    with pytest.raises(InvalidModelError, match=r"token_embd\.weight"):
        read_facts(path)


def test_another_architecture_is_named(tmp_path: Path) -> None:
    path = write_model(tmp_path / "made.gguf", **SMALL)
    path.write_bytes(path.read_bytes().replace(b"llama", b"mamba", 2))
    with pytest.raises(InvalidModelError, match="architecture 'mamba'"):
        read_facts(path)
