"""CallbackThreads: threads that come when they are needed, and go."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Iterator

import pytest

from pybrpc.streams import callback_threads as module
from pybrpc.streams.callback_threads import CallbackThreads, callback_threads
from tests.fakes.threads import WAIT_S, wait_until


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[CallbackThreads]:
    """Two at most, which end soon."""
    monkeypatch.setattr(module, "IDLE_S", 0.02)
    threads = CallbackThreads(2)
    yield threads
    wait_until(lambda: threads.threads == 0)


def test_functions_run_in_at_most_so_many_threads(threads: CallbackThreads) -> None:
    entered: queue.SimpleQueue[int] = queue.SimpleQueue()
    go_on = threading.Event()

    def function() -> None:
        entered.put(threading.get_ident())
        assert go_on.wait(WAIT_S)

    for _ in range(5):
        threads.put(function)
    assert len({entered.get(timeout=WAIT_S) for _ in range(2)}) == 2
    assert repr(threads) == "<CallbackThreads 2 threads, 3 functions waiting>"
    go_on.set()
    for _ in range(3):
        entered.get(timeout=WAIT_S)


def test_owner_has_its_share_of_the_threads_at_most() -> None:
    """However many of its functions block, those of others run."""
    threads = CallbackThreads(8)
    owner = object()
    entered: queue.SimpleQueue[str] = queue.SimpleQueue()
    go_on = threading.Event()

    def block() -> None:
        entered.put("blocks")
        assert go_on.wait(WAIT_S)

    try:
        for _ in range(10):
            threads.put(block, owner)
        for _ in range(2):
            assert entered.get(timeout=WAIT_S) == "blocks"
        threads.put(lambda: entered.put("runs"), object())
        threads.put(lambda: entered.put("runs"))
        assert [entered.get(timeout=WAIT_S) for _ in range(2)] == ["runs", "runs"]
        assert repr(threads).endswith("8 functions waiting>")
    finally:
        go_on.set()
    for _ in range(8):
        assert entered.get(timeout=WAIT_S) == "blocks"
    threads.close()
    wait_until(lambda: threads.threads == 0)
    assert (threads._running, threads._held_back) == ({}, {})


def test_handler_of_the_log_may_put_functions_when_all_threads_are_kept(
    threads: CallbackThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is code of the user, so it is called without the lock."""
    go_on = threading.Event()
    told: list[str] = []

    class Log:
        def warn(self, text: str, *values: object) -> None:
            told.append(text % values)
            if len(told) == 1:
                threads.put(lambda: None)

    monkeypatch.setattr(module, "busy_log", Log())
    for _ in range(3):
        threads.put(lambda: go_on.wait(WAIT_S))
    go_on.set()
    assert told == ["2 functions of streams or interceptors block: others wait"] * 2


def test_threads_that_have_ended_are_replaced(threads: CallbackThreads) -> None:
    ran: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(2):
        threads.put(lambda: ran.put(None))
        ran.get(timeout=WAIT_S)
        wait_until(lambda: threads.threads == 0)


def test_idle_thread_is_used_again(
    threads: CallbackThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", WAIT_S)
    ran: queue.SimpleQueue[int] = queue.SimpleQueue()
    threads.put(lambda: ran.put(threading.get_ident()))
    first = ran.get(timeout=WAIT_S)
    wait_until(lambda: bool(threads._idle))
    monkeypatch.setattr(module, "IDLE_S", 0.02)
    threads.put(lambda: ran.put(threading.get_ident()))
    assert ran.get(timeout=WAIT_S) == first


class _Owner:
    """Whose functions they are."""


def test_idle_thread_keeps_no_owner(
    threads: CallbackThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", WAIT_S)
    owner = _Owner()
    forgotten = threading.Event()
    weakref.finalize(owner, forgotten.set)
    ran: queue.SimpleQueue[None] = queue.SimpleQueue()
    threads.put(lambda: ran.put(None), owner)
    ran.get(timeout=WAIT_S)
    del owner
    wait_until(lambda: bool(threads._idle))
    assert forgotten.wait(WAIT_S)
    threads.close()


def test_function_that_raises_ends_no_thread(threads: CallbackThreads) -> None:
    ran: queue.SimpleQueue[None] = queue.SimpleQueue()
    threads.put(lambda: 1 / 0)
    threads.put(lambda: ran.put(None))
    ran.get(timeout=WAIT_S)


def test_no_thread_to_be_had(threads: CallbackThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.put(lambda: None)
    assert repr(threads) == "<CallbackThreads 0 threads, 0 functions waiting>"


def test_child_of_a_fork_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = callback_threads()
    monkeypatch.setattr(module, "_threads", before)
    module._after_fork_in_child()
    assert callback_threads() is not before
