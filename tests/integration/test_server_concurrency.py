"""Handlers that block hold up nobody else; limits hold."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.rpc.controller import Controller
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Gate, as_async, async_echo, echo, make_server, serving, start


class Meeting:
    """A handler that answers once `count` calls are in it at the same time."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count)

    def __call__(self, request: Any, controller: Controller) -> Any:
        self.barrier.wait(30)
        return echo(request, controller)


@pytest.mark.parametrize("count", [2, 50])
def test_blocking_handlers_of_one_connection_run_at_once(count: int) -> None:
    with serving(Meeting(count)) as peer:
        peer.send(*(request(i) for i in range(count)))
        assert {text_of(answer) for answer in peer.read_answers(count).values()} == {"hello"}


def test_blocking_handlers_that_come_one_by_one_run_at_once() -> None:
    with serving(Meeting(20)) as peer:
        for i in range(20):
            peer.send(request(i))
        assert len(peer.read_answers(20)) == 20


def test_meeting_again_and_again() -> None:
    """The handler has become known to be slow, and workers are idle."""
    with serving(Meeting(20)) as peer:
        for _ in range(10):
            peer.send(*(request(i) for i in range(20)))
            assert len(peer.read_answers(20)) == 20


@pytest.mark.parametrize("other", [echo, async_echo], ids=["def", "async"])
def test_blocked_handlers_hold_up_no_other_request_of_their_connection(other: Any) -> None:
    gate = Gate()
    with serving(gate, other) as peer:
        peer.send(*(request(i) for i in range(10)), request(10, "Stream"))
        assert peer.read_answer().correlation_id == 10
        gate.wait_entered(10)
        assert text_of(peer.call("Stream")) == "hello"
        gate.open()
        assert set(peer.read_answers(10)) == set(range(10))


def test_blocked_handler_holds_up_no_other_connection() -> None:
    gate = Gate()
    with make_server(gate, echo) as server, RawPeer(start(server)) as one:
        one.send(request(1))
        gate.wait_entered()
        with RawPeer(server.endpoint) as two:
            for _ in range(100):
                assert text_of(two.call("Stream")) == "hello"
        gate.open()
        assert text_of(one.read_answer()) == "hello"


def test_answer_in_front_of_a_blocked_handler_is_not_kept_back() -> None:
    gate = Gate()
    with serving(gate, echo) as peer:
        for _ in range(20):
            peer.send(request(1, "Stream"), request(2), request(3, "Stream"))
            answers = [peer.read_answer().correlation_id for _ in range(2)]
            assert sorted(answers) == [1, 3]
        gate.open()
        assert len([peer.read_answer() for _ in range(20)]) == 20


def test_blocked_async_handlers_hold_up_no_plain_ones() -> None:
    gate = Gate()
    with serving(as_async(gate), echo) as peer:
        peer.send(request(1))
        gate.wait_entered()
        assert text_of(peer.call("Stream")) == "hello"
        gate.open()
        assert text_of(peer.read_answer()) == "hello"


def test_max_workers_limits_handlers_that_run_at_once() -> None:
    gate = Gate()
    with make_server(gate, echo, max_workers=3) as server, RawPeer(start(server)) as peer:
        peer.send(*(request(i) for i in range(8)))
        gate.wait_entered(3)
        assert not gate.entered.acquire(timeout=0.02)
        assert server.statistics().workers == 3
        gate.open()
        assert len(peer.read_answers(8)) == 8


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
def test_max_concurrency_answers_elimit(kind: Any) -> None:
    gate = Gate()
    with serving(gate, kind(echo), max_concurrency=2) as peer:
        peer.send(request(1), request(2))
        gate.wait_entered(2)
        refused = peer.call("Stream")
        identity = "[{}:{}]".format(*peer.sock.getpeername())
        assert refused.error_code == ErrorCode.ELIMIT
        assert refused.error_text == f"{identity}[E2004]Reached server's max_concurrency=2"
        gate.open()
        assert len(peer.read_answers(2)) == 2
        assert text_of(peer.call("Stream")) == "hello"


@pytest.mark.parametrize("handler", [echo, async_echo], ids=["def", "async"])
def test_client_that_has_its_answer_is_under_the_limit_again(handler: Any) -> None:
    with serving(handler, max_concurrency=1) as peer:
        assert [peer.call().error_code for _ in range(500)] == [0] * 500


def test_max_concurrency_counts_all_connections() -> None:
    gate = Gate()
    with make_server(gate, max_concurrency=1) as server, RawPeer(start(server)) as one:
        one.send(request(1))
        gate.wait_entered()
        with RawPeer(server.endpoint) as two:
            assert two.call("Stream").error_code == ErrorCode.ELIMIT
        gate.open()
        assert text_of(one.read_answer()) == "hello"


def test_requests_of_a_connection_that_is_gone_are_not_run() -> None:
    gate = Gate()
    with make_server(gate, max_workers=1) as server:
        with RawPeer(start(server)) as peer:
            peer.send(*(request(i) for i in range(10)))
            gate.wait_entered()
            peer.reset()
        wait_until(lambda: server.statistics().connections == 0)
        gate.open()
        wait_until(lambda: server.statistics().running == 0)
        assert not gate.entered.acquire(blocking=False)


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
@pytest.mark.parametrize("how", ["close", "reset", "shut_writing"])
def test_is_canceled_says_that_the_caller_is_gone(kind: Any, how: str) -> None:
    """Also by shutting its writing side: most peers that do so are gone."""
    entered = threading.Event()
    seen: list[bool] = []

    def look(request: Any, controller: Controller) -> Any:
        seen.append(controller.is_canceled)
        entered.set()
        wait_until(lambda: controller.is_canceled)
        seen.append(controller.is_canceled)
        return echo(request, controller)

    with make_server(kind(look)) as server:
        with RawPeer(start(server)) as peer:
            peer.send(request(1))
            assert entered.wait(30)
            getattr(peer, how)()
        wait_until(lambda: server.statistics().connections == server.statistics().running == 0)
    assert seen == [False, True]


def test_many_connections_with_many_requests() -> None:
    with make_server(echo, async_echo) as server:
        endpoint = start(server)
        failures: list[BaseException] = []

        def run() -> None:
            try:
                with RawPeer(endpoint) as peer:
                    for round in range(20):
                        count = 1 + round * 3
                        peer.send(*(request(i, ("Echo", "Stream")[i % 2]) for i in range(count)))
                        assert set(peer.read_answers(count)) == set(range(count))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        wait_until(lambda: server.statistics().running == 0)
