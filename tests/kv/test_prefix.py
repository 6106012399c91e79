"""The longest cached prefix, against looking at every chain of blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sus_local.kv.blocks import Block, make_block, root_key
from sus_local.kv.prefix import PrefixIndex, common_length

ROOT = root_key("model")
RUNS = st.lists(st.integers(0, 1), min_size=1, max_size=4)
CHAINS = st.lists(st.lists(RUNS, min_size=1, max_size=4), max_size=8)
PROMPTS = st.lists(st.integers(0, 1), max_size=16)


def blocks_of(chain: list[list[int]]) -> list[Block]:
    blocks: list[Block] = []
    for run in chain:
        parent, start = (blocks[-1].key, blocks[-1].end) if blocks else (ROOT, 0)
        blocks.append(make_block(parent, start, run, b"kv"))
    return blocks


def index_of(chains: list[list[list[int]]]) -> PrefixIndex:
    index = PrefixIndex()
    for chain in chains:
        for block in blocks_of(chain):
            index.add(block)
    return index


def shared(first: list[int], second: list[int]) -> int:
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


@given(CHAINS, PROMPTS, st.integers(0, 20))
def test_longest_is_what_brute_force_finds(
    chains: list[list[list[int]]], prompt: list[int], limit: int
) -> None:
    flat = [[token for run in chain for token in run] for chain in chains]
    expected = max((shared(tokens, prompt[:limit]) for tokens in flat), default=0)
    found = index_of(chains).longest(ROOT, prompt, limit)
    assert found.length == expected
    held = [token for block in found.blocks for token in block.token_ids]
    assert held[: found.length] == prompt[: found.length]
    assert not found.blocks or found.blocks[-1].end >= found.length > found.blocks[-1].start


@given(CHAINS, PROMPTS, st.data())
def test_removed_blocks_are_found_no_more(
    chains: list[list[list[int]]], prompt: list[int], data: st.DataObject
) -> None:
    index = index_of(chains)
    keys = [block.key for block in index]
    gone = data.draw(st.sets(st.sampled_from(keys))) if keys else set()
    for key in gone:
        index.remove(key)
        index.remove(key)
    expected = 0
    for chain in chains:
        whole: list[int] = []
        for block in blocks_of(chain):
            if block.key in gone:
                break
            whole += block.token_ids
        expected = max(expected, shared(whole, prompt))
    assert index.longest(ROOT, prompt).length == expected
    assert len(index) == len(keys) - len(gone)


@given(CHAINS)
def test_ancestry_goes_back_to_the_root(chains: list[list[list[int]]]) -> None:
    index = index_of(chains)
    for chain in chains:
        blocks = blocks_of(chain)
        assert index.ancestry(blocks[-1].key) == blocks[::-1]


@given(CHAINS, PROMPTS)
def test_futures_follow_exactly_the_prompt(
    chains: list[list[list[int]]], prompt: list[int]
) -> None:
    flat = {tuple(token for run in chain for token in run) for chain in chains}
    futures = set(index_of(chains).following(ROOT, prompt))
    tip = tuple(prompt)
    expected = {t[len(tip) :] for t in flat if t[: len(tip)] == tip and len(t) > len(tip)}
    # A chain that is the beginning of another, cut the same way, is no future of its own.
    assert futures <= expected
    assert {max(expected, key=len)} <= futures if expected else not futures


def test_another_root_finds_nothing() -> None:
    index = index_of([[[1, 2], [3]]])
    assert index.longest(root_key("other"), [1, 2, 3]).length == 0


@given(PROMPTS, PROMPTS, st.integers(0, 8))
def test_common_length_counts_to_the_first_difference(
    run: list[int], tokens: list[int], start: int
) -> None:
    expected = shared(run, tokens[start:])
    assert common_length(run, tokens, start, max(start, len(tokens))) == expected
