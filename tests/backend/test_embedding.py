"""Embeddings: from a model that names its pooling, and only from one."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

import sus_local
from sus_local.errors import ContextOverflowError, RequestError

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def embedding_gguf(demo_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, with mean pooling named in its file."""
    path = tmp_path_factory.mktemp("embedding") / "embedding.gguf"
    reader = gguf.GGUFReader(demo_gguf)
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    writer.add_uint32("llama.pooling_type", gguf.PoolingType.MEAN)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_similar_texts_have_similar_embeddings(embedding_gguf: Path) -> None:
    with sus_local.load(embedding_gguf, kv_disk_bytes=0) as llm:
        one, near, far = (llm.embed(text) for text in ("hello there", "hello there!", "中国的首都"))
        assert np.isclose(one @ one, 1)
        assert one @ near > one @ far + 0.2
        answer = llm.generate([{"role": "user", "content": "hi"}])
    assert answer.text


def test_a_text_that_is_too_long_is_refused_with_numbers(embedding_gguf: Path) -> None:
    with (
        sus_local.load(embedding_gguf, kv_disk_bytes=0) as llm,
        pytest.raises(ContextOverflowError, match="an embedding takes from 1 to 2048") as caught,
    ):
        llm.embed("word " * 3000)
    assert caught.value.num_tokens > caught.value.n_ctx == 2048


def test_a_chat_model_says_that_it_makes_none(demo_gguf: Path) -> None:
    with (
        sus_local.load(demo_gguf, kv_disk_bytes=0) as llm,
        pytest.raises(RequestError, match="names no pooling"),
    ):
        llm.embed("hello")
