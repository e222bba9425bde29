"""Many calls at once through random faults: each completes exactly once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE
from pybrpc.testing.faulty_proxy import FaultyProxy, RandomFaults
from soak.echo_call import EchoCall
from soak.echo_services import PlainEcho
from soak.ledger import Ledger, LedgerTotals
from tests.peers.callers import LOOPS
from tests.peers.tls import certificates

HANG_S = 30.0
CALLS = 300
TIMEOUT_S = 2.0


@dataclasses.dataclass(frozen=True)
class Way:
    """Where to call, and the options of channels that do."""

    address: str
    options: dict[str, Any]


@pytest.fixture(
    params=[
        pytest.param((1, "plain", {}), id="single"),
        pytest.param((2, "plain", {"connection_type": "pooled", "max_pool_size": 3}), id="pooled"),
        pytest.param((3, "plain", {"connection_type": "short"}), id="short"),
        pytest.param((4, "tls", {"backup_request_ms": 5}), id="tls-backup"),
        pytest.param((5, "tls", {"connection_type": "pooled"}), id="tls-pooled"),
        pytest.param((6, "plain", {"connection_type": "auto"}), id="auto"),
    ]
)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """To a server that echoes. Nine of ten connections have a fault, and none lives long."""
    seed, kind, options = request.param
    tls = (certificates().server_tls(), certificates().client_tls()) if kind == "tls" else None
    plan = RandomFaults(seed=seed, rate=0.9, most_bytes=1 << 16, longest_s=0.2)
    over = threading.Event()
    with pybrpc.Server(tls=tls and tls[0]) as server:
        server.add_service(SERVICE, PlainEcho())
        with FaultyProxy(server.start("127.0.0.1:0"), plan) as proxy:
            breaker = threading.Thread(target=break_all, args=(proxy, over))
            breaker.start()
            try:
                yield Way(proxy.address, {**options, "tls": tls and tls[1]})
            finally:
                over.set()
                breaker.join()


def break_all(proxy: FaultyProxy, over: threading.Event) -> None:
    while not over.wait(0.05):
        proxy.reset_all()


def enter(ledger: Ledger, call: EchoCall) -> Any:
    ticket = ledger.start()

    def done(response: Any, error: Exception | None) -> None:
        if error is not None:
            ticket.failed(error)
        else:
            ticket.answered(call.complaint(response))

    return done


def assert_each_told_once(totals: LedgerTotals, count: int) -> None:
    assert totals.started == count
    assert totals.answered + totals.failed == count, totals
    assert (totals.told_twice, totals.wrong_answers, totals.unexpected) == (0, 0, 0), totals


def test_callbacks_of_calls_that_break_are_called_once(way: Way) -> None:
    ledger, source, told = Ledger(), random.Random(1), threading.Semaphore(0)
    with pybrpc.Channel(way.address, timeout=TIMEOUT_S, **way.options) as channel:
        echo = pybrpc.Stub(SERVICE, channel).Echo
        for _ in range(CALLS):
            call = EchoCall(source)
            done = enter(ledger, call)

            def tell(response: Any, error: Any, done: Any = done) -> None:
                done(response, error)
                told.release()

            echo.with_callback(call.request, tell, controller=call.controller)
        for _ in range(CALLS):
            assert told.acquire(timeout=HANG_S), ledger.totals()
    assert_each_told_once(ledger.totals(), CALLS)


def test_calls_of_threads_through_random_faults(way: Way) -> None:
    ledger = Ledger()

    def work(number: int) -> None:
        source = random.Random(number)
        for _ in range(10):
            with pybrpc.Channel(way.address, timeout=TIMEOUT_S / 4, **way.options) as channel:
                call = EchoCall(source)
                done = enter(ledger, call)
                try:
                    response = pybrpc.Stub(SERVICE, channel).Echo(
                        call.request, controller=call.controller
                    )
                except pybrpc.RpcError as error:
                    done(None, error)
                else:
                    done(response, None)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work, number) for number in range(6)]:
            future.result(HANG_S)
    assert_each_told_once(ledger.totals(), 60)


@pytest.mark.parametrize("loop", LOOPS)
def test_calls_of_tasks_through_random_faults(loop: str, way: Way) -> None:
    ledger = Ledger()

    async def work(number: int) -> None:
        source = random.Random(number)
        for _ in range(5):
            async with pybrpc.aio.Channel(
                way.address, timeout=TIMEOUT_S / 4, **way.options
            ) as channel:
                call = EchoCall(source)
                done = enter(ledger, call)
                try:
                    response = await pybrpc.Stub(SERVICE, channel).Echo(
                        call.request, controller=call.controller
                    )
                except pybrpc.RpcError as error:
                    done(None, error)
                else:
                    done(response, None)

    async def main() -> None:
        async with asyncio.timeout(HANG_S):
            await asyncio.gather(*(work(number) for number in range(20)))

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    assert_each_told_once(ledger.totals(), 100)
