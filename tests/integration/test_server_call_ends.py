"""Each admitted call ends exactly once, whatever its handler raises and its peer does."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import LimitReachedError, RpcError
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall
from pybrpc.server.connections.server_connection import ServerConnection
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoRequest, EchoResponse, RawPeer, request
from tests.peers.serving import Gate, echo, make_server, serving_in_loop, start

PEERS, ROUNDS = 6, 10


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit


ERRORS: list[Callable[[], BaseException]] = [
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    MemoryError,
    RecursionError,
    StopAsyncIteration,
    Mute,
    lambda: RpcError("no code", code=0),
    lambda: RpcError("x" * 2_000_000, code=1 << 40),
    lambda: LimitReachedError("full"),
]


def do(what: str, controller: Controller) -> Any:
    """Do the thing that the request asks for."""
    kind, _, number = what.partition(" ")
    match kind:
        case "raise":
            raise ERRORS[int(number)]()
        case "fail":
            controller.set_failed(int(number), "\ud800" * int(number))
        case "fields":
            controller.response_user_fields["key"] = "v" * 2_000_000
        case "spoil":
            controller.error_code = controller.error_text = object()  # type: ignore[assignment]
        case "nothing":
            return None
    return EchoResponse(message=what)


def plain(request: Any, controller: Controller) -> Any:
    if request.message == "sleep":
        time.sleep(0.003)
    return do(request.message, controller)


async def in_loop(request: Any, controller: Controller) -> Any:
    if request.message == "sleep":
        await asyncio.sleep(0.003)
    elif request.message == "stop the loop":
        asyncio.get_running_loop().stop()
    elif request.message == "begin a task that exits":
        asyncio.get_running_loop().call_soon(raise_exit)
    return do(request.message, controller)


def raise_exit() -> None:
    raise SystemExit


WISHES = [
    *(["hello"] * 20),
    *(["sleep"] * 5),
    *(f"raise {number}" for number in range(len(ERRORS))),
    "fail 1",
    "fail 9000",
    "fields",
    "spoil",
    "nothing",
]
HARMS = ["stop the loop", "begin a task that exits"]


class Ledger:
    """Listens to the ends of calls."""

    def __init__(self) -> None:
        self.ends: Counter[int] = Counter()
        self.codes: Counter[int] = Counter()
        self.calls: list[ServerCall] = []

    def on_call_end(self, call: ServerCall, latency_s: float) -> None:
        assert latency_s >= 0
        self.calls.append(call)
        self.ends[id(call)] += 1
        self.codes[call.error_code] += 1


def trouble(endpoint: Any, seed: int, wishes: list[str]) -> None:
    """One peer after the other, each of which sends requests and goes in one way or another."""
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        with contextlib.suppress(ConnectionError), RawPeer(endpoint) as peer:
            count = rng.randrange(1, 60)
            peer.send(*(wish(number, rng, wishes) for number in range(count)))
            match rng.randrange(5):
                case 0:
                    peer.reset()
                case 1:
                    peer.read_answers(rng.randrange(count))
                    peer.reset()
                case 2:
                    peer.shut_writing()
                    peer.read_answers(count)
                case _:
                    peer.read_answers(count)


def wish(number: int, rng: random.Random, wishes: list[str]) -> Any:
    message = EchoRequest(message=rng.choice(wishes)).SerializeToString()
    method = rng.choice(("Echo", "Stream"))
    match rng.randrange(8):
        case 0:
            body = gzip.compress(message)
            return request(number, method, body=body, compress_type=CompressType.GZIP)
        case 1:
            return request(number, method, body=b"\xff")
        case _:
            return request(number, method, body=message)


def check_ledger(server: pybrpc.Server, run: Any, ledger: Ledger) -> None:
    """All that was counted for calls is counted no more, and each has ended once."""
    wait_until(lambda: not run.admission.running and run.unanswered.size_bytes == 0)
    wait_until(lambda: len(ledger.calls) == server.statistics().requests)
    statistics = server.statistics()
    assert set(ledger.ends.values()) == {1}
    assert {0, 2001, 2004, NO_ANSWER} <= ledger.codes.keys()
    answered_with_error = ledger.codes.total() - ledger.codes[0] - ledger.codes[NO_ANSWER]
    assert statistics.errors == answered_with_error
    assert not any(connection.calls for connection in run.connections)
    assert run.pool.scheduler.waiting() == run.handler_loop.scheduler.waiting() == 0


def run_peers(endpoint: Any, seed: int, wishes: list[str]) -> None:
    threads = [
        threading.Thread(target=trouble, args=(endpoint, seed * PEERS + number, wishes))
        for number in range(PEERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


@pytest.mark.parametrize("seed", range(2))
def test_each_call_ends_once_with_a_loop_of_handlers(seed: int) -> None:
    ledger = Ledger()
    with make_server(plain, in_loop, max_workers=4) as server:
        endpoint = start(server)
        run: Any = server._run
        run.call_end.listeners = (ledger,)
        run_peers(endpoint, seed, WISHES + HARMS)
        check_ledger(server, run, ledger)


def test_each_call_ends_once_in_a_loop_of_the_application() -> None:
    ledger = Ledger()
    # Ctrl-C in the main thread is not the handler's own affair.
    wishes = [each for each in WISHES if each != "raise 2"]

    async def main() -> None:
        async with serving_in_loop(plain, in_loop, max_workers=4) as server:
            run: Any = server._run
            run.call_end.listeners = (ledger,)
            await asyncio.to_thread(run_peers, server.endpoint, 7, wishes)
            await asyncio.to_thread(check_ledger, server, run, ledger)

    asyncio.run(main())


def test_calls_that_wait_leave_at_once_when_their_connection_is_reset() -> None:
    gate, ledger = Gate(), Ledger()
    with make_server(gate, echo, max_workers=2) as server:
        endpoint = start(server)
        run: Any = server._run
        run.call_end.listeners = (ledger,)
        with RawPeer(endpoint) as peer:
            peer.send(*(request(number) for number in range(5000)))
            gate.wait_entered(2)
            wait_until(lambda: server.statistics().requests == 5000)
            peer.reset()
        wait_until(lambda: server.statistics().running == 2)
        assert run.pool.scheduler.waiting() == 0
        gate.open()
        wait_until(lambda: server.statistics().running == 0)
        assert run.unanswered.size_bytes == 0
        assert not gate.entered.acquire(blocking=False)
    assert set(ledger.ends.values()) == {1}
    assert len(ledger.calls) == 5000


def test_limit_of_requests_is_not_used_up_by_peers_that_reset() -> None:
    gate = Gate()
    with make_server(gate, echo, max_workers=2, max_concurrency=8) as server:
        endpoint = start(server)
        with RawPeer(endpoint) as first:
            first.send(request(1), request(2))
            gate.wait_entered(2)
            for _ in range(20):
                with RawPeer(endpoint) as peer:
                    before = server.statistics().requests
                    peer.send(request(1), request(2))
                    wait_until(lambda b=before: server.statistics().requests == b + 2)
                    peer.reset()
                wait_until(lambda: server.statistics().running == 2)
            gate.open()
            first.read_answers(2)


def test_async_handlers_of_a_reset_connection_are_cancelled() -> None:
    begun, cancelled = threading.Semaphore(0), threading.Semaphore(0)

    async def hang(request: Any, controller: Controller) -> Any:
        begun.release()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.release()
            raise

    with make_server(hang) as server:
        with RawPeer(start(server)) as peer:
            peer.send(*(request(number) for number in range(200)))
            for _ in range(200):
                assert begun.acquire(timeout=30)
            peer.reset()
        for _ in range(200):
            assert cancelled.acquire(timeout=30)
        wait_until(lambda: server.statistics().running == 0)


def test_handler_may_ignore_that_it_is_cancelled_and_keeps_its_slot() -> None:
    begun, over = threading.Event(), threading.Event()
    may_end: list[Any] = []

    async def stubborn(request: Any, controller: Controller) -> Any:
        event = asyncio.Event()
        may_end.extend((asyncio.get_running_loop(), event))
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            over.set()
            await event.wait()
        return EchoResponse(message="")

    with make_server(stubborn) as server:
        with RawPeer(start(server)) as peer:
            peer.send(request(1))
            assert begun.wait(30)
            peer.reset()
        assert over.wait(30)
        assert server.statistics().running == 1
        loop, event = may_end
        loop.call_soon_threadsafe(event.set)
        wait_until(lambda: server.statistics().running == 0)


def run_as_asyncio_run(main: Coroutine[Any, Any, None]) -> None:
    """The steps of asyncio.run, which the tests watch for tasks that are left."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main)
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def test_server_ends_with_the_loop_that_it_is_bound_to() -> None:
    """Though the program has not left its block."""
    cancelled: list[bool] = []

    async def hang(request: Any, controller: Controller) -> Any:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    server = make_server(hang)
    peers: list[RawPeer] = []

    async def main() -> None:
        await server.__aenter__()
        peers.append(await asyncio.to_thread(RawPeer, start(server)))
        peers[0].send(request(1))
        while not server.statistics().running:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)

    run_as_asyncio_run(main())
    assert not server.is_running
    assert (server.statistics().connections, server.unfinished()) == (0, [])
    assert cancelled == [True]
    with peers[0] as peer:
        peer.read_to_end()
    with pytest.raises(ConnectionRefusedError):
        RawPeer(server.endpoint)


def test_server_whose_loop_was_closed_can_be_stopped() -> None:
    server = make_server(echo, echo)
    peers: list[RawPeer] = []

    async def main() -> None:
        await server.__aenter__()
        peers.append(await asyncio.to_thread(RawPeer, start(server)))
        peers[0].send(request(1))
        while server.statistics().requests == 0:
            await asyncio.sleep(0.001)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert server.is_running
    server.stop()
    assert server.join(30)
    assert (server.statistics().connections, server.unfinished()) == (0, [])
    peers[0].close()


@pytest.mark.python_only
@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt, SystemExit])
def test_admitted_request_ends_when_a_later_one_of_its_read_can_not_be_rejected(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection fails; its calls leave the server, and their memory is uncounted."""

    def raise_it(*arguments: object) -> None:
        raise kind("of a rejection")

    monkeypatch.setattr(ServerConnection, "_reject", raise_it)
    server = make_server()
    with server, RawPeer(start(server)) as peer:
        run = server._run
        assert run is not None
        peer.send(request(1), request(2), request(3, "NoSuchMethod"))
        assert peer.read_to_end() == b""
        wait_until(lambda: not server.statistics().running)
        assert server.unfinished() == []
        assert run.unanswered.size_bytes == 0
