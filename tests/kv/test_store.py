"""One index over the tiers: a block is found as long as one of them has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sus_local.kv import tiers
from sus_local.kv.blocks import Block, root_key
from sus_local.kv.store import BlockStore
from sus_local.kv.tiers import DiskTier, RamTier

ROOT = root_key("model")
KV = b"k" * 100


def save_chain(store: BlockStore, *runs: tuple[int, ...], root: bytes = ROOT) -> list[Block]:
    blocks: list[Block] = []
    for run in runs:
        parent, start = (blocks[-1].key, blocks[-1].end) if blocks else (root, 0)
        blocks.append(store.save(parent, start, run, KV))
    return blocks


def test_what_is_saved_is_found_and_loaded() -> None:
    store = BlockStore(RamTier(1000))
    blocks = save_chain(store, (1, 2), (3,))
    found = store.longest(ROOT, [1, 2, 3, 4])
    assert (found.length, list(found.blocks)) == (3, blocks)
    assert [store.load(block) for block in blocks] == [KV, KV]


def test_the_oldest_chain_goes_and_its_end_before_its_beginning() -> None:
    store = BlockStore(RamTier(500))
    save_chain(store, (1,), (2,), (3,))
    save_chain(store, (7,), (8,))
    save_chain(store, (9,))
    assert store.longest(ROOT, [1, 2, 3]).length == 2
    store.touch(store.longest(ROOT, [1, 2, 3]).blocks[-1].key)
    save_chain(store, (9,), (10,))
    assert store.longest(ROOT, [1, 2, 3]).length == 2
    assert store.longest(ROOT, [7, 8]).length == 1
    store.check_invariants()


def test_a_chain_longer_than_the_budget_keeps_its_beginning() -> None:
    """Its own beginning never makes way for its end, which would be found no more."""
    store = BlockStore(RamTier(300))
    blocks = save_chain(store, *((n,) for n in range(10)))
    assert store.longest(ROOT, list(range(10))).length == 3
    assert [block.key in store for block in blocks] == [True] * 3 + [False] * 7
    store.check_invariants()


def test_what_fits_depends_on_what_comes_before() -> None:
    store = BlockStore(RamTier(300))
    first, second = save_chain(store, (1,), (2,))
    assert [store.fits(200, key) for key in (ROOT, first.key, second.key)] == [True, True, False]


def test_a_chain_that_grows_becomes_the_newest_before_anything_goes() -> None:
    store = BlockStore(RamTier(400))
    first, second = save_chain(store, (1,), (2,))
    save_chain(store, (7,), (8,))
    store.save(second.key, 2, (3,), KV)
    assert store.longest(ROOT, [1, 2, 3]).length == 3
    assert store.longest(ROOT, [7, 8]).length == 1
    assert first.key in store


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=30))
def test_every_block_that_is_kept_can_be_reached(chains: list[list[int]]) -> None:
    store = BlockStore(RamTier(600))
    for chain in chains:
        save_chain(store, *((token,) for token in chain))
        store.check_invariants()
        for block in store._index:
            assert store._index.ancestry(block.key)[-1].parent == ROOT


def test_disk_gives_back_what_ram_let_go(tmp_path: Path) -> None:
    store = BlockStore(RamTier(100), DiskTier(tmp_path, 1 << 20))
    (first,) = save_chain(store, (1,))
    (second,) = save_chain(store, (2,))
    assert (store.source(first), store.source(second)) == ("disk", "RAM")
    assert store.load(first) == KV
    assert (store.source(first), store.source(second)) == ("RAM", "disk")
    store.close()


def test_a_new_store_finds_what_an_old_one_left(tmp_path: Path) -> None:
    store = BlockStore(RamTier(1000), DiskTier(tmp_path, 1 << 20))
    save_chain(store, (1, 2), (3, 4))
    store.close()
    again = BlockStore(RamTier(1000), DiskTier(tmp_path, 1 << 20))
    found = again.longest(ROOT, [1, 2, 3, 9])
    assert found.length == 3
    assert [again.load(block) for block in found.blocks] == [KV, KV]
    again.close()


def test_after_a_restart_ends_go_before_beginnings_too(tmp_path: Path) -> None:
    store = BlockStore(RamTier(0), DiskTier(tmp_path, 1 << 20))
    save_chain(store, (1,), (2,), (3,))
    store.close()
    size = sum(path.stat().st_size for path in tmp_path.iterdir()) // 3
    again = BlockStore(RamTier(0), DiskTier(tmp_path, 3 * size))
    save_chain(again, (7,))
    assert again.longest(ROOT, [1, 2, 3]).length == 2
    again.close()


def test_a_smaller_budget_applies_from_the_start(tmp_path: Path) -> None:
    store = BlockStore(RamTier(0), DiskTier(tmp_path, 1 << 20))
    save_chain(store, *((n,) for n in range(6)))
    store.close()
    size = sum(path.stat().st_size for path in tmp_path.iterdir()) // 6
    again = BlockStore(RamTier(0), DiskTier(tmp_path, 2 * size))
    again.check_invariants()
    assert again.longest(ROOT, list(range(6))).length == 2
    again.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_block_that_no_tier_has_whole_is_found_no_more(tmp_path: Path) -> None:
    store = BlockStore(RamTier(0), DiskTier(tmp_path, 1 << 20))
    first, second = save_chain(store, (1,), (2,))
    store.close()
    (tmp_path / f"{second.key.hex()}.kv").write_bytes(b"torn")
    assert store.load(second) is None
    assert store.longest(ROOT, [1, 2]).length == 1
    assert store.load(first) == KV
    store.check_invariants()
    store.close()


def test_a_dropped_block_is_gone_from_every_tier(tmp_path: Path) -> None:
    store = BlockStore(RamTier(1000), DiskTier(tmp_path, 1 << 20))
    (block,) = save_chain(store, (1,))
    store.drop(block)
    store.close()
    assert store.longest(ROOT, [1]).length == 0
    assert list(tmp_path.iterdir()) == []


def test_without_any_budget_nothing_is_kept() -> None:
    store = BlockStore(RamTier(0))
    assert not store.fits(1, ROOT)
    save_chain(store, (1,), (2,))
    assert len(store) == 0


# A disk that is behind


class Unhurried(DiskTier):
    """Writes only when it is told."""

    def _order(self, verb: str, key: bytes) -> None:
        self._orders.put((verb, key))

    def write(self, num_orders: int | None = None) -> None:
        for _ in range(self._orders.qsize() if num_orders is None else num_orders):
            self._carry_out(*self._orders.get())


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unhurried:
    monkeypatch.setattr(tiers, "MAX_PENDING_BYTES", len(KV))
    return Unhurried(tmp_path, 1 << 20)


def length_on_disk(disk: DiskTier, token_ids: list[int]) -> int:
    """How much of a prompt a store finds after a restart."""
    found = BlockStore(RamTier(0), DiskTier(disk.folder, 1 << 20))
    return found.longest(ROOT, token_ids).length


def test_what_a_disk_was_behind_with_is_written_before_what_follows(disk: Unhurried) -> None:
    store = BlockStore(RamTier(1000), disk)
    blocks = save_chain(store, (1,), (2,), (3,))
    disk.write()
    assert [block.key in store for block in blocks] == [True] * 3
    assert length_on_disk(disk, [1, 2, 3]) == 1
    for token in (4, 5, 6, 7):
        blocks.append(store.save(blocks[-1].key, blocks[-1].end, (token,), KV))
        disk.write()
        held = [block.key in disk for block in blocks]
        assert held == sorted(held, reverse=True)
    assert length_on_disk(disk, [1, 2, 3, 4, 5, 6, 7]) == 5


def test_a_disk_that_keeps_up_again_gets_all_that_ram_holds(
    disk: Unhurried, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BlockStore(RamTier(1000), disk)
    last = save_chain(store, (1,), (2,), (3,), (4,))[-1]
    monkeypatch.setattr(tiers, "MAX_PENDING_BYTES", 1 << 20)
    store.save(last.key, last.end, (5,), KV)
    disk.write()
    assert length_on_disk(disk, [1, 2, 3, 4, 5]) == 5


def test_what_ram_has_no_room_for_waits_until_the_disk_has_what_comes_before(
    disk: Unhurried,
) -> None:
    store = BlockStore(RamTier(300), disk)
    last = save_chain(store, (1,), (2,), (3,))[-1]
    assert not store.fits(100, last.key)
    for _ in range(3):
        disk.write()
        assert store.fits(100, last.key)
        block = store.save(last.key, last.end, (4,), KV)
    assert store.source(block) == "disk"
    disk.write()
    assert length_on_disk(disk, [1, 2, 3, 4]) == 4
    store.check_invariants()


def test_what_the_disk_lacks_counts_against_its_budget(disk: Unhurried) -> None:
    store = BlockStore(RamTier(300), disk)
    last = save_chain(store, (1,), (2,), (3,))[-1]
    disk.write()
    fits = {}
    for num_blocks in (4, 6, 8):
        disk.budget_bytes = num_blocks * disk.num_bytes + tiers.MAX_HEADER_BYTES
        fits[num_blocks] = store.fits(3 * disk.num_bytes, last.key)
    assert fits == {4: False, 6: True, 8: True}


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(0, 4))),
    st.integers(0, 8),
)
def test_however_far_behind_no_block_is_on_disk_without_those_before_it(
    chains: list[tuple[list[int], int]], num_ram_blocks: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiers, "MAX_PENDING_BYTES", 2 * len(KV))
        disk = Unhurried(Path("unused"), 1800)
        patch.setattr(disk, "_write", lambda pending: disk._pending.pop(pending[0].key))
        store = BlockStore(RamTier(num_ram_blocks * len(KV)), disk)
        blocks: dict[bytes, Block] = {}
        for chain, num_orders in chains:
            saved = save_chain(store, *((token,) for token in chain))
            blocks |= {block.key: block for block in saved}
            disk.write(min(num_orders, disk._orders.qsize()))
            store.check_invariants()
            for key in disk._sizes:
                assert blocks[key].start == 0 or blocks[key].parent in disk
