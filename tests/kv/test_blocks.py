"""What a block's file says of itself, and that nothing else is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sus_local.kv.blocks import (
    MAX_BLOCK_TOKENS,
    MAX_HEADER_BYTES,
    chain_key,
    digest,
    header_size,
    make_block,
    pack_header,
    root_key,
    unpack_header,
)

ROOT = root_key("model")
TOKENS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=MAX_BLOCK_TOKENS)


@given(TOKENS, st.integers(0, 8192), st.binary(max_size=64))
def test_a_header_comes_back_whole(token_ids: list[int], start: int, payload: bytes) -> None:
    block = make_block(ROOT, start, token_ids, payload)
    head = pack_header(block, digest(payload))
    assert len(head) == header_size(block) <= MAX_HEADER_BYTES
    assert unpack_header(head + payload) == (block, digest(payload))


@given(TOKENS, st.data())
def test_no_altered_header_is_taken(token_ids: list[int], data: st.DataObject) -> None:
    head = bytearray(pack_header(make_block(ROOT, 0, token_ids, b"kv"), digest(b"kv")))
    head[data.draw(st.integers(0, len(head) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert unpack_header(bytes(head)) is None


@given(TOKENS, st.data())
def test_no_torn_header_is_taken(token_ids: list[int], data: st.DataObject) -> None:
    head = pack_header(make_block(ROOT, 0, token_ids, b"kv"), digest(b"kv"))
    assert unpack_header(head[: data.draw(st.integers(0, len(head) - 1))]) is None


@given(st.binary(max_size=200))
def test_rubbish_is_no_header(rubbish: bytes) -> None:
    assert unpack_header(rubbish) is None


@given(TOKENS, TOKENS)
def test_a_key_names_all_tokens_up_to_its_end(first: list[int], second: list[int]) -> None:
    parent = chain_key(ROOT, first)
    assert chain_key(parent, second) == chain_key(chain_key(ROOT, first), second)
    if first != second:
        assert chain_key(ROOT, first) != chain_key(ROOT, second)
        assert chain_key(parent, [7]) != chain_key(chain_key(ROOT, second), [7])


def test_chains_of_another_model_never_meet() -> None:
    other = root_key("other")
    assert other != ROOT
    assert chain_key(other, [1, 2]) != chain_key(ROOT, [1, 2])
