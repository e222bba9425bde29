"""ThreadWait: a thread that waits, and may poll meanwhile, is woken by any other thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.streams import Stream
from pybrpc.streams.thread_wait import ThreadWait
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.protos import conformance_pb2 as pb


def in_a_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """The thread, started, and what the function returned or raised, once it has."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def end_of(thread: threading.Thread) -> None:
    thread.join(WAIT_S)
    assert not thread.is_alive()


@pytest.mark.python_only
def test_thread_that_polls_is_woken_by_another_one() -> None:
    dispatcher = EpollDispatcher()  # its own thread is not started: so the caller polls
    try:
        wait = ThreadWait(dispatcher)
        thread, results = in_a_thread(lambda: dispatcher.wait(wait, 1e18))
        wait_until(lambda: dispatcher._role.polling_thread == thread.ident)
        wait.end()
        end_of(thread)
        assert results == [True]
    finally:
        dispatcher.close()


def test_end_after_its_dispatcher_was_closed_is_none() -> None:
    dispatcher = EpollDispatcher()
    dispatcher.start()
    dispatcher.close()
    wait = ThreadWait(dispatcher)
    wait.end()
    assert wait.is_over


class Silent:
    """Its streams are held, and say nothing."""

    def __init__(self) -> None:
        self.streams: list[Any] = []

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.streams.append(controller.accept_stream())
        return pb.EchoResponse(message="")


@pytest.fixture
def stream() -> Iterator[Stream]:
    """With a window of 4 bytes that nobody empties."""
    service, options = Silent(), pybrpc.StreamOptions(max_buf_size=4)
    with pybrpc.Server() as server:
        server.add_service(ECHO, service, partial=True)
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=WAIT_S) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            with stub.Echo.stream(echo_request(), options=options) as call:
                call.stream.send(b"full")
                yield call.stream
            for each in service.streams:
                each.reset()


@pytest.mark.python_only
@pytest.mark.parametrize("wait", ["recv", "send", "drain", "wait_consumed", "wait_closed"])
def test_reset_of_another_thread_ends_every_wait(stream: Stream, wait: str) -> None:
    waits: dict[str, Callable[[], object]] = {
        "recv": stream.recv,
        "send": lambda: stream.send(b"more"),
        "drain": stream.drain,
        "wait_consumed": stream.wait_consumed,
        "wait_closed": stream.wait_closed,
    }
    thread, results = in_a_thread(waits[wait])
    wait_until(has_waiter)
    stream.reset()
    end_of(thread)
    (end,) = results
    assert isinstance(end, pybrpc.errors.StreamResetError)


def has_waiter() -> bool:
    dispatcher: Any = default_runtime().dispatcher
    return bool(dispatcher._role.has_waiters())
