"""The soak's book of streams: it notices what it is there to notice."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from pybrpc.errors import (
    ErrorCode,
    Phase,
    RpcTimeoutError,
    StreamClosedError,
    StreamResetError,
    make_rpc_error,
)
from soak.echo_server import EchoServer
from soak.echo_services import AsyncEcho, PlainEcho
from soak.streams.book import STREAM_DEFECTS, Side, StreamBook, is_expected
from soak.streams.numbered import MOST_BYTES, drawn_size, pack, unpack
from soak.streams.plan import ENDS, RECEIVING, SidePlan, StreamPlan, drawn_plan
from soak.streams.script import BlockingStream, run_blocking
from soak.streams.service import STREAMS, StreamHandlers
from soak.streams.sides import Functions, script_of
from soak.tls import PLAIN

SIDE = SidePlan((10, 20), False, "functions", "close", 0.0, 1000, 1 << 20, 128, None, None)
PLAN = StreamPlan(1, SIDE, SIDE, True, 0, None)


class Pair:
    """Both sides of a stream in a book, without a stream."""

    def __init__(self) -> None:
        self.book = StreamBook()
        self.call = self.book.begin(PLAN)
        self.client = self.call.side(True, 1, 0)
        self.server = self.call.side(False, 2, 0)

    def send(self, side: Side, number: int, size: int = 10) -> bytes:
        side.tried += 1
        side.on_sent(1)
        return pack(self.call.number, 0, side.is_client, number, size)

    def defects(self) -> dict[str, int]:
        return {name: n for name, n in self.book.totals().must_be_0.items() if n}


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_numbered_messages_come_back() -> None:
    assert unpack(pack(7, 3, True, 1000, 500)) == (7, 3, True, 1000)
    assert unpack(pack(7, 3, False, 0, 0)) == (7, 3, False, 0)
    for message in (b"", b"short", pack(7, 3, True, 1, 50)[:-1] + b"x"):
        with pytest.raises(ValueError, match="bytes"):
            unpack(message)
    assert all(0 <= drawn_size(random.Random(seed)) <= MOST_BYTES for seed in range(1000))


def test_stream_that_is_as_it_should_be(pair: Pair) -> None:
    pair.server.on_received([pair.send(pair.client, 0), pair.send(pair.client, 1)])
    pair.client.on_all_arrived("wait_consumed")
    pair.client.is_closing = True
    pair.server.on_closed(None)
    assert pair.defects() == {"unended": 1}
    pair.client.on_closed(None)
    totals = pair.book.totals()
    assert set(totals.must_be_0.values()) == {0}
    assert (totals.opened, totals.sent, totals.received, totals.proofs) == (2, 2, 2, 2)
    assert totals.ends == {"closed": 2}
    assert pair.book.find(pair.call.number) is None


def test_message_that_is_lost_before_the_end(pair: Pair) -> None:
    pair.server.on_received([pair.send(pair.client, 0)])
    pair.send(pair.client, 1)
    pair.client.is_closing = True
    pair.server.on_closed(None)
    pair.client.on_closed(None)
    assert pair.defects() == {"missing": 1}


def test_message_that_is_lost_though_it_was_consumed(pair: Pair) -> None:
    pair.send(pair.client, 0)
    pair.client.on_all_arrived("wait_consumed")
    assert pair.defects() == {"missing": 1, "unended": 2}


@pytest.mark.parametrize("numbers", [[0, 0], [1, 0], [0, 2], [0, 1, 2, 3]])
def test_message_that_comes_twice_or_too_early_or_was_never_sent(
    pair: Pair, numbers: list[int]
) -> None:
    for number in range(3):
        pair.send(pair.client, number)
    pair.server.on_received([pack(pair.call.number, 0, True, number, 10) for number in numbers])
    assert pair.defects()["disordered"] >= 1


def test_message_of_another_stream(pair: Pair) -> None:
    for message in (
        pack(pair.call.number + 1, 0, True, 0, 10),
        pack(pair.call.number, 1, True, 0, 10),
        pack(pair.call.number, 0, False, 0, 10),
        b"garbage",
    ):
        pair.server.on_received([message])
    assert pair.defects()["damaged"] == 4


def test_end_that_is_told_twice(pair: Pair) -> None:
    pair.client.is_closing = pair.server.is_closing = True
    for side in (pair.client, pair.server, pair.client):
        side.on_closed(None)
    assert pair.defects() == {"ended_twice": 1}


def test_end_is_not_expected_in_a_loop_that_is_closed(pair: Pair) -> None:
    loop = pair.server.loop = asyncio.new_event_loop()
    assert pair.defects() == {"unended": 2}
    loop.close()
    assert pair.defects() == {"unended": 1}


def test_end_that_nobody_has_sent(pair: Pair) -> None:
    pair.server.on_closed(None)
    assert pair.defects()["unexplained"] == 1


@pytest.mark.parametrize("is_remote", [False, True])
@pytest.mark.parametrize("is_explained", [False, True])
def test_reset_needs_a_reason(pair: Pair, is_remote: bool, is_explained: bool) -> None:
    side, other = pair.server, pair.client
    (other if is_remote else side).may_reset = is_explained
    side.on_closed(StreamResetError("reset", peer="p:1", is_remote=is_remote))
    other.is_closing = True
    other.on_closed(None)
    assert pair.defects() == ({} if is_explained else {"unexplained": 1})


def test_idle_timeout_is_a_reason(pair: Pair) -> None:
    error = StreamResetError("reset", peer="p:1")
    error.__cause__ = RpcTimeoutError("nothing was received for 5 s")
    pair.server.on_closed(error)
    pair.client.on_closed(StreamResetError("reset", peer="p:1", is_remote=True))
    assert pair.defects() == {}


def test_errors_that_are_expected() -> None:
    eof = make_rpc_error(ErrorCode.EEOF, "Got EOF", phase=Phase.WAITING, peer="p:1")
    assert is_expected(eof)
    assert is_expected(StreamClosedError("closed", peer="p:1"))
    assert not is_expected(StreamClosedError("closed, but by whom?"))
    assert not is_expected(make_rpc_error(ErrorCode.EREQUEST, "a defect", peer="p:1"))


def test_every_defect_has_words() -> None:
    assert set(STREAM_DEFECTS) == set(StreamBook().totals().must_be_0)


def test_plans_are_of_every_kind_and_end() -> None:
    plans = [drawn_plan(random.Random(seed), is_async=False) for seed in range(500)]
    assert {plan.client.end for plan in plans} == set(ENDS)
    assert {plan.server.receiving for plan in plans} == set(RECEIVING)
    assert {plan.streams for plan in plans} == {1, 2, 3, 4, 5}
    assert not any(plan.client.end == plan.server.end == "wait" for plan in plans)
    sides = [side for plan in plans for side in (plan.client, plan.server)]
    assert not any(side.end == "leave" and side.has_functions for side in sides)


def test_script_that_suspends_itself_is_no_blocking_one() -> None:
    with pytest.raises(RuntimeError, match="has suspended itself"):
        run_blocking(asyncio.sleep(0))


@pytest.mark.parametrize("form", ["threads", "asyncio"])
@pytest.mark.parametrize("receiving", RECEIVING)
def test_streams_by_plan(receiving: Any, form: str) -> None:
    """All is well, so everything comes, both ways. Two ends at once prove nothing."""
    book = StreamBook()
    side = SidePlan((10, 0, 50_000), False, receiving, "close", 0.0, 1000, 500, 2, None, None)
    call = book.begin(StreamPlan(2, side, side, True, 1, None))
    handlers = StreamHandlers(book, is_async=form == "asyncio")
    service = (AsyncEcho if form == "asyncio" else PlainEcho).with_streams(handlers)
    with EchoServer(service, PLAIN, None) as server:
        with pybrpc.Channel(server.endpoint, timeout=30) as channel:
            opening = pybrpc.Stub(SERVICE, channel).Echo.stream(
                EchoRequest(message=f"{STREAMS}{call.number}"),
                streams=2,
                options=Functions(call, is_client=True).options(is_async=False),
            )
            with opening:
                for index, stream in enumerate(opening.streams):
                    run_blocking(script_of(stream, call.side(True, stream.id, index), False).run())
        book.wait_over(30)
    totals = book.totals()
    assert set(totals.must_be_0.values()) == {0}, totals.notes
    assert (totals.opened, totals.sent, totals.received) == (4, 12, 12)
    assert totals.ends == {"closed": 4}


def test_blocking_stream_ends_its_iteration() -> None:
    class Two:
        def batches(self, n: int) -> Any:
            return iter([[b"1"], [b"2"]])

    found: list[Any] = []

    async def take() -> None:
        async for batch in BlockingStream(Two()).batches(1):
            found.append(batch)

    run_blocking(take())
    assert found == [[b"1"], [b"2"]]
