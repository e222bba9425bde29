"""The requests of one connection delay those of another one by a turn, however many there are."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.server_call import LONG_BODY_BYTES
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoRequest, EchoResponse, RawPeer, request, text_of
from tests.peers.serving import as_async, async_echo, echo, make_server, serving_in_loop, start

PIPELINED = 300


class Slow:
    """A handler that keeps its thread, and how often it has begun."""

    def __init__(self, sleep_s: float = 0.003) -> None:
        self.runs = 0
        self._sleep_s = sleep_s

    def __call__(self, request: Any, controller: Controller) -> Any:
        self.runs += 1
        time.sleep(self._sleep_s)
        return EchoResponse(message="")


def runs_before_another_is_answered(endpoint: Any, slow: Slow) -> int:
    """How many of PIPELINED requests of one peer run before one of another peer is answered."""
    with RawPeer(endpoint) as greedy, RawPeer(endpoint) as polite:
        text_of(polite.call("Stream"))
        greedy.send(*(request(number) for number in range(PIPELINED)))
        wait_until(lambda: slow.runs > 0)
        text_of(polite.call("Stream"))
        runs = slow.runs
        greedy.read_answers(PIPELINED)
    return runs


FORMS: dict[str, Callable[[Slow], tuple[Any, Any]]] = {
    "plain": lambda slow: (slow, echo),
    "async": lambda slow: (as_async(slow), async_echo),
}


@pytest.mark.parametrize("form", FORMS)
def test_handlers_that_keep_their_thread_run_in_turn(form: str) -> None:
    slow = Slow()
    with make_server(*FORMS[form](slow), max_workers=2) as server:
        assert runs_before_another_is_answered(start(server), slow) < PIPELINED / 3


@pytest.mark.parametrize("form", FORMS)
def test_handlers_run_in_turn_in_a_loop_of_the_application(form: str) -> None:
    slow = Slow()

    async def main() -> int:
        async with serving_in_loop(*FORMS[form](slow), max_workers=2) as server:
            return await asyncio.to_thread(runs_before_another_is_answered, server.endpoint, slow)

    assert asyncio.run(main()) < PIPELINED / 3


class Watched:
    """A request class that notes in which threads it is parsed."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def watch(self, server: Any) -> None:
        entry = server._run.registry.entry_named("EchoService.Echo")
        message_type = entry.request_type
        parse = message_type._from_string

        def from_string(data: Any) -> Any:
            self.threads.append(threading.current_thread().name)
            return parse(data)

        message_type._from_string = from_string


LONG = EchoRequest(message="x" * LONG_BODY_BYTES).SerializeToString()
SHORT = EchoRequest(message="x").SerializeToString()
BODIES: dict[str, dict[str, Any]] = {
    "long": {"body": LONG},
    "compressed": {"body": gzip.compress(SHORT), "compress_type": CompressType.GZIP},
}


@pytest.mark.python_only
@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
@pytest.mark.parametrize("fields", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("is_bound", [False, True], ids=["threads", "loop"])
def test_body_that_takes_long_is_parsed_by_a_worker(
    is_bound: bool, fields: dict[str, Any], kind: Any
) -> None:
    watched, ran_in = Watched(), set[str]()

    def handle(request: Any, controller: Controller) -> Any:
        ran_in.add(threading.current_thread().name)
        return echo(request, controller)

    def call_many(server: Any) -> None:
        with RawPeer(server.endpoint) as peer:
            for _ in range(20):
                assert text_of(peer.call(**fields)).startswith("x")

    async def main() -> None:
        async with serving_in_loop(kind(handle)) as server:
            watched.watch(server)
            await asyncio.to_thread(call_many, server)

    if is_bound:
        asyncio.run(main())
    else:
        with make_server(kind(handle)) as server:
            start(server)
            watched.watch(server)
            call_many(server)
    assert len(watched.threads) == 20
    assert all(name.startswith("pybrpc-worker") for name in watched.threads)
    if kind is as_async:
        own = threading.current_thread().name if is_bound else "pybrpc-handler-loop"
        assert ran_in == {own}


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
def test_short_and_long_requests_of_one_connection_are_all_answered(kind: Any) -> None:
    with make_server(kind(echo)) as server, RawPeer(start(server)) as peer:
        fields = [{"body": SHORT}, *BODIES.values()]
        peer.send(*(request(number, **fields[number % 3]) for number in range(60)))
        answers = peer.read_answers(60)
        assert [len(text_of(answers[number])) for number in range(60)] == [
            1,
            LONG_BODY_BYTES,
            1,
        ] * 20
