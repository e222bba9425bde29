"""The thread of a proxy: what runs in it, and what a defect in there costs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from pybrpc.testing.faulty_proxy.proxy_loop import READ, LoopClosedError, ProxyLoop
from tests.peers.proxied import HANG_S


@pytest.fixture
def loop() -> Iterator[ProxyLoop]:
    made = ProxyLoop("loop under test")
    yield made
    made.close(lambda: None)


class Handler:
    """Records its calls, and raises."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.advanced = 0

    def on_ready(self, sock: socket.socket, mask: int, now: float) -> None:
        raise ValueError("a defect")

    def advance(self, now: float) -> None:
        self.advanced += 1
        raise ValueError("a defect")

    def close(self) -> None:
        self.closed.set()


def test_calls_run_in_the_thread_and_give_or_raise_what_they_do(loop: ProxyLoop) -> None:
    thread = loop.call(threading.current_thread)
    assert thread.name == "loop under test"
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda: 1 // 0)
    assert loop.call(lambda: loop.call(threading.current_thread)) is thread


def test_thread_can_not_end_itself(loop: ProxyLoop) -> None:
    with pytest.raises(RuntimeError, match="can't be closed by its own plan"):
        loop.call(lambda: loop.close(lambda: None))


def test_closed_one_takes_no_calls() -> None:
    loop, ran = ProxyLoop("loop under test"), []
    for _ in range(2):
        loop.close(lambda: ran.append(threading.current_thread().name))
    assert ran == ["loop under test"]
    with pytest.raises(LoopClosedError):
        loop.call(lambda: None)


@pytest.mark.parametrize("what", ["socket", "time"])
def test_defect_in_a_handler_closes_it_and_is_logged(
    loop: ProxyLoop, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    handler = Handler()
    near, far = socket.socketpair()
    with near, far:
        if what == "socket":
            loop.call(lambda: loop.watch(near, READ, handler))
            far.send(b"x")
        else:
            loop.call(lambda: loop.wake_at(handler, 0.0))
        assert handler.closed.wait(HANG_S)
        loop.call(lambda: loop.watch(near, 0, handler))
    assert "raised and is closed" in caplog.text
    assert loop.call(lambda: 7) == 7


def test_more_wake_ups_than_anybody_reads_are_as_good_as_one(
    loop: ProxyLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def send(self, data: bytes) -> int:
            raise BlockingIOError

        def close(self) -> None:
            pass

    real = loop._wake_sender
    monkeypatch.setattr(loop, "_wake_sender", Full())
    loop._wake()
    monkeypatch.setattr(loop, "_wake_sender", real)
    assert loop.call(lambda: 7) == 7
