"""Files at which llama.cpp would end the process: each is refused in one line, and no test dies."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from sus_local.backend.native_limits import check_header
from sus_local.errors import InvalidModelError, SusLocalError
from sus_local.loading import load

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
NUMBERS = {
    "block_count": 2, "expert_count": 0, "expert_used_count": 0, "expert_group_count": 0,
    "expert_group_used_count": 0, "nextn_predict_layers": 0,
}  # fmt: skip


def write(
    path: Path,
    *,
    tokens: list[str] | None = None,
    tokenizer: str = "llama",
    epsilon: float = 1e-5,
    scaling: str = "linear",
    matrix: Any = np.float32,
    **numbers: int | list[int],
) -> Path:
    """A header that is in order, but for what is given."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in {**NUMBERS, **numbers}.items():
        add = writer.add_array if isinstance(value, list) else writer.add_uint32
        add(f"llama.{key}", value)
    writer.add_layer_norm_rms_eps(epsilon)
    writer.add_string("llama.rope.scaling.type", scaling)
    writer.add_tokenizer_model(tokenizer)
    writer.add_token_list(["<unk>", "<s>", "</s>", *BYTES] if tokens is None else tokens)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=matrix))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    "sound",
    [
        {},
        {"expert_count": 8, "expert_used_count": 2},
        {"scaling": "yarn"},
        {"tokenizer": "gpt2", "tokens": ["a", "b"]},
        {"tokens": ["", "\0", *BYTES]},
        {"matrix": np.float16},
    ],
)
def test_what_llama_cpp_survives_is_let_through(tmp_path: Path, sound: dict[str, Any]) -> None:
    check_header(write(tmp_path / "a.gguf", **sound))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"block_count": 513}, "513 layers"),
        ({"nextn_predict_layers": 3}, "predicts more layers"),
        ({"epsilon": -1.0}, "epsilon -1.0"),
        ({"epsilon": math.nan}, "epsilon nan"),
        ({"scaling": "lineer"}, "'lineer'"),
        ({"expert_count": 8}, "uses 0 of 8 experts"),
        ({"expert_count": 2000, "expert_used_count": 2}, "2 of 2000 experts"),
        ({"expert_used_count": 2}, "uses 2 of 0 experts"),
        ({"expert_used_count": [2, 2]}, "experts"),
        ({"expert_group_count": 2}, "0 experts are in 2 groups"),
        ({"expert_count": 8, "expert_used_count": 2, "expert_group_count": 3}, "in 3 groups"),
        ({"expert_count": 8, "expert_used_count": 2, "expert_group_count": 2}, "0 of 2 groups"),
        ({"tokenizer": "no_vocab"}, "'no_vocab'"),
        ({"tokens": ["a", "a", "b", *BYTES]}, "1 tokens twice, of 259"),
        ({"tokens": ["a\0b", "a\0c", *BYTES]}, "1 tokens twice, of 258"),
        ({"tokens": BYTES[:-1]}, "lacks 1 of 256 bytes, <0xFF> first"),
        ({"matrix": np.int8}, "type I8"),
        ({"matrix": np.float64}, "type F64"),
    ],
)
def test_what_would_end_the_process_is_refused(
    tmp_path: Path, broken: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidModelError, match=why) as caught:
        check_header(write(tmp_path / "a.gguf", **broken))
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        (b"<0x0A>", b"<0x0a>"),
        (b"<0x41>", b"<0x42>"),
        (rb"(llama.block_count\x04\0\0\0)....", rb"\1" + b"\xff" * 4),
    ],
)
def test_a_damaged_model_is_refused_before_it_is_loaded(
    demo_gguf: Path, tmp_path: Path, sound: bytes, broken: bytes
) -> None:
    damaged, count = re.subn(sound, broken, demo_gguf.read_bytes(), count=1, flags=re.DOTALL)
    assert count == 1
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    with pytest.raises(SusLocalError) as caught:
        load(path)
    assert isinstance(caught.value, InvalidModelError)
