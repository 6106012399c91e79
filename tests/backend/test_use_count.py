"""Who uses a thing, and who waits for whom."""

from __future__ import annotations

import threading

import pytest

from sus_local.backend.use_count import UseCount
from sus_local.errors import EngineClosedError

WAIT_S = 20.0


def test_one_may_use_it_while_another_does() -> None:
    count, used = UseCount(), threading.Event()

    def use() -> None:
        with count.using():
            used.set()

    with count.using():
        threading.Thread(target=use, daemon=True).start()
        assert used.wait(WAIT_S)


def test_the_end_waits_for_who_uses_it_and_nobody_comes_after_it() -> None:
    count, ended, done = UseCount(), threading.Event(), []

    def end() -> None:
        ended.set()
        count.end()
        done.append("ended")

    ending = threading.Thread(target=end, daemon=True)
    with count.using():
        ending.start()
        assert ended.wait(WAIT_S)
        done.append("used")
    ending.join(WAIT_S)
    assert done == ["used", "ended"]
    with pytest.raises(EngineClosedError), count.using():
        pass
    count.end()
