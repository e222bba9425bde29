"""SharedResult: one result for all that ask meanwhile."""

from __future__ import annotations

import threading

import pytest

from pybrpc.server.workers.pages.shared_result import SharedResult
from tests.fakes.threads import wait_until

WAIT_S = 30.0


class Maker:
    """Counts how often it makes a result; may be held up."""

    def __init__(self) -> None:
        self.made = 0
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.error: BaseException | None = None

    def make(self) -> int:
        self.made += 1
        self.started.set()
        assert self.may_end.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        return self.made


@pytest.mark.parametrize("error", [None, ValueError("broken"), SystemExit()])
def test_threads_that_ask_meanwhile_get_the_same(error: BaseException | None) -> None:
    maker = Maker()
    maker.error = error
    shared = SharedResult(maker.make)
    found: list[object] = []

    def ask() -> None:
        try:
            found.append(shared.get())
        except BaseException as raised:
            found.append(raised)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threads[0].start()
    assert maker.started.wait(WAIT_S)
    for thread in threads[1:]:
        thread.start()
    running = shared._running
    assert running is not None
    wait_until(lambda: running._condition._waiters.__len__() == 3)  # type: ignore[attr-defined]
    maker.may_end.set()
    for thread in threads:
        thread.join()
    assert maker.made == 1
    assert found == [1 if error is None else error] * 4


def test_next_one_that_asks_gets_a_new_result() -> None:
    maker = Maker()
    maker.may_end.set()
    shared = SharedResult(maker.make)
    assert [shared.get(), shared.get()] == [1, 2]
    maker.error = ValueError("broken")
    with pytest.raises(ValueError, match="broken"):
        shared.get()
    maker.error = None
    assert shared.get() == 4
