"""Which blocking calls would wait for themselves: only those of which that is certain."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import WouldDeadlockError
from pybrpc.rpc import answering_loops
from pybrpc.rpc.answering_loops import (
    check_may_block,
    forget_server,
    may_be_answered_by_loop,
    note_channel,
    note_server,
    noted_servers,
)

HERE = Endpoint("127.0.0.1", 8000)


class Server:
    """It needs a loop for its method "Async" alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop

    def loop_that_answers(self, service: str, method: str) -> asyncio.AbstractEventLoop | None:
        return self.loop if method == "Async" else None


class Channel:
    def __init__(self) -> None:
        self.asked_again = 0

    def forget_open_source(self) -> None:
        self.asked_again += 1


@pytest.fixture(autouse=True)
def nothing_is_noted() -> Iterator[None]:
    assert not noted_servers
    yield
    noted_servers.clear()


def blocks_itself(*endpoints: Endpoint, method: str = "Async") -> bool:
    """Whether a call that gets one of `endpoints` is refused in a loop of this thread, which is
    that of the noted servers."""

    async def call() -> bool:
        for server in noted_servers.values():
            known: Any = server
            known.loop = asyncio.get_running_loop()
        try:
            check_may_block(lambda: endpoints, "S", method)
        except WouldDeadlockError:
            return True
        return False

    return asyncio.run(call())


def test_call_that_its_own_loop_has_to_answer_is_refused() -> None:
    note_server({HERE}, Server(None))
    assert blocks_itself(HERE)


def test_text_says_what_to_do() -> None:
    async def call() -> None:
        note_server([HERE], Server(asyncio.get_running_loop()))
        with pytest.raises(WouldDeadlockError) as caught:
            check_may_block(lambda: [HERE], "a.S", "Async")
        assert str(caught.value) == (
            "a blocking call of a.S.Async in the thread of the asyncio loop that has to answer it, "
            "at 127.0.0.1:8000, would wait for itself: await it on a pybrpc.aio.Channel, or block "
            "in another thread (asyncio.to_thread)"
        )

    asyncio.run(call())


def test_call_of_a_method_that_needs_no_loop_is_allowed() -> None:
    note_server({HERE}, Server(None))
    assert not blocks_itself(HERE, method="Plain")


@pytest.mark.parametrize(
    "other", [Endpoint("127.0.0.1", 8001), Endpoint("10.0.0.1", 8000), Endpoint("myhost", 8000)]
)
def test_call_to_another_address_is_allowed(other: Endpoint) -> None:
    note_server({HERE}, Server(None))
    assert not may_be_answered_by_loop(other)
    assert not blocks_itself(other)


def test_call_outside_of_a_loop_or_in_another_one_is_allowed() -> None:
    note_server({HERE}, Server(asyncio.new_event_loop()))
    check_may_block(lambda: [HERE], "S", "Async")

    async def call() -> None:
        check_may_block(lambda: [HERE], "S", "Async")

    asyncio.run(call())
    (server,) = noted_servers.values()
    known: Any = server
    known.loop.close()


@pytest.mark.parametrize("listens", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("called", ["localhost", "LocalHost"])
def test_localhost_is_the_loopback_address(listens: str, called: str) -> None:
    note_server({Endpoint(listens, 8000)}, Server(None))
    assert may_be_answered_by_loop(Endpoint(called, 8000)) == blocks_itself(Endpoint(called, 8000))
    assert blocks_itself(Endpoint(called, 8000))
    assert not blocks_itself(Endpoint(called, 8001))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere another process may listen there")
@pytest.mark.parametrize(
    ("listens", "called", "is_certain"),
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "127.0.0.1", True),
        ("::", "::1", True),
        ("0.0.0.0", "localhost", True),
        ("::", "localhost", True),
        ("0.0.0.0", "::1", False),
        ("127.0.0.1", "0.0.0.0", False),
        ("0.0.0.0", "10.0.0.1", False),
    ],
)
def test_server_on_every_address_is_on_the_loopback_address(
    listens: str, called: str, is_certain: bool
) -> None:
    note_server({Endpoint(listens, 8000)}, Server(None))
    assert may_be_answered_by_loop(Endpoint(called, 8000)) == is_certain
    assert blocks_itself(Endpoint(called, 8000)) == is_certain


def test_server_that_stops_is_forgotten_but_not_its_successor() -> None:
    first, second = Server(None), Server(None)
    note_server({HERE, Endpoint("localhost", 8000)}, first)
    note_server({HERE}, second)
    forget_server(first)
    assert noted_servers == {HERE: second}
    forget_server(second)
    assert not may_be_answered_by_loop(HERE)
    assert not blocks_itself(HERE)


def test_channels_ask_again_when_a_server_starts() -> None:
    gc.collect()  # channels of other tests
    known = len(answering_loops._channels)
    channel, gone = Channel(), Channel()
    note_channel(channel)
    note_channel(gone)
    del gone
    gc.collect()
    assert len(answering_loops._channels) == known + 1
    note_server({HERE}, Server(None))
    assert channel.asked_again == 1


def test_call_to_a_cluster_is_refused_only_if_the_loop_has_to_answer_it_wherever_it_goes() -> None:
    other, elsewhere = Endpoint("127.0.0.1", 8001), Endpoint("10.0.0.1", 8000)
    assert not may_be_answered_by_loop(None)
    note_server({HERE}, Server(None))
    note_server({other}, Server(None))
    assert may_be_answered_by_loop(None)
    assert blocks_itself(HERE, other)
    assert not blocks_itself(HERE, other, elsewhere)
    assert not blocks_itself(HERE, other, method="Plain")
    assert not blocks_itself()
