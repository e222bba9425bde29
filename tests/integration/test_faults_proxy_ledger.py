"""Many calls at once through random faults: each is told one outcome, and only one."""

from __future__ import annotations

import asyncio
import concurrent.futures
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

HANG_S = 30.0
CALLS = 300
TIMEOUT_S = 2.0


@pytest.fixture(params=[1, 2, 3], ids="seed {}".format)
def proxy(request: pytest.FixtureRequest) -> Iterator[FaultyProxy]:
    """Before a server that echoes. Nine of ten connections have a fault, and none lives long."""
    plan = RandomFaults(seed=request.param, rate=0.9, most_bytes=1 << 16, longest_s=0.2)
    over = threading.Event()
    with pybrpc.Server() as server:
        server.add_service(SERVICE, PlainEcho())
        with FaultyProxy(server.start("127.0.0.1:0"), plan) as proxy:
            breaker = threading.Thread(target=break_all, args=(proxy, over))
            breaker.start()
            try:
                yield proxy
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


def test_callbacks_of_calls_that_break_are_called_once(proxy: FaultyProxy) -> None:
    ledger, source, told = Ledger(), random.Random(1), threading.Semaphore(0)
    with pybrpc.Channel(proxy.address, timeout=TIMEOUT_S) as channel:
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


def test_calls_of_threads_through_random_faults(proxy: FaultyProxy) -> None:
    ledger = Ledger()

    def work(number: int) -> None:
        source = random.Random(number)
        for _ in range(10):
            with pybrpc.Channel(proxy.address, timeout=TIMEOUT_S / 4) as channel:
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
def test_calls_of_tasks_through_random_faults(loop: str, proxy: FaultyProxy) -> None:
    ledger = Ledger()

    async def work(number: int) -> None:
        source = random.Random(number)
        for _ in range(5):
            async with pybrpc.aio.Channel(proxy.address, timeout=TIMEOUT_S / 4) as channel:
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
