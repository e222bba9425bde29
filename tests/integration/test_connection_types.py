"""Connection types: single, pooled and short; who shares a connection, and how many there are."""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    Phase,
    RpcTimeoutError,
)
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, LOOPS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import (
    Peer,
    ScriptedServer,
    closed_port,
    never_answer,
)

TYPES = ("single", "pooled", "short")

every_form = pytest.mark.parametrize("form", FORMS)
every_type = pytest.mark.parametrize("connection_type", TYPES)
every_loop = pytest.mark.parametrize("loop", LOOPS)


class Gate:
    """The script of a server whose answers wait until it is opened; counts what waits."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.waiting = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            with self._lock:
                self.waiting += 1
                self.most = max(self.most, self.waiting)
            self.is_open.wait()
            with self._lock:
                self.waiting -= 1
            peer.answer(request)


def counts(channel: Any) -> Any:
    found = channel.endpoint_statistics()
    assert found is not None
    return found


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# --- bRPC's acceptance list, for each type ---


@every_form
@pytest.mark.parametrize(("connection_type", "made"), [("single", 1), ("pooled", 1), ("short", 20)])
def test_calls_one_after_another(form: str, connection_type: str, made: int) -> None:
    """bRPC: success. A connection that has just been freed is the next call's."""
    with ScriptedServer() as server:
        with caller(form, server.address, connection_type=connection_type) as client:
            for i in range(20):
                assert client.call(echo_request(str(i))).message == str(i)
            found = counts(client.channel)
            assert (found.created, found.in_use, found.waiting) == (made, 0, 0)
            if connection_type == "short":
                wait_until(lambda: counts(client.channel).closed == 20)
    assert server.connections == made


@every_type
def test_ten_channels_share_what_their_options_agree_on(connection_type: str) -> None:
    """bRPC: init_as_single_server, 10 channels share one socket."""
    with ScriptedServer() as server:
        channels = [
            pybrpc.Channel(server.address, timeout=30, connection_type=connection_type)
            for _ in range(10)
        ]
        for channel in channels:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert len({id(channel.source()) for channel in channels}) == 1
        for channel in channels:
            channel.close()
    assert server.connections == (10 if connection_type == "short" else 1)


@pytest.mark.parametrize("connection_type", ["single", "pooled"])
def test_connection_groups_share_nothing_but_their_spaces(connection_type: str) -> None:
    """bRPC: success."""
    with ScriptedServer() as server:
        groups = ("", "a", " a\t", "b", "a")
        channels = [
            pybrpc.Channel(
                server.address,
                timeout=30,
                connection_type=connection_type,
                connection_group=group,
            )
            for group in groups
        ]
        for channel in channels:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert server.connections == 3
        for channel in channels:
            channel.close()


@every_form
@every_type
def test_connection_refused(form: str, connection_type: str) -> None:
    """bRPC: connection_failed."""
    with closed_port() as address:
        with caller(form, address, connection_type=connection_type, max_retry=0) as client:
            with pytest.raises(ConnectError) as caught:
                client.call(echo_request())
            assert caught.value.code == ErrorCode.ECONNREFUSED
            wait_until(lambda: counts(client.channel).is_down)
            assert counts(client.channel).in_use == counts(client.channel).idle == 0


@every_form
@every_type
def test_peer_that_closes_in_the_middle_of_a_call(form: str, connection_type: str) -> None:
    """bRPC: close_fd."""

    def close_after_reading(peer: Peer) -> None:
        peer.expect_request()

    with ScriptedServer(close_after_reading) as server:
        with caller(form, server.address, connection_type=connection_type, max_retry=0) as client:
            for _ in range(3):
                with pytest.raises(ConnectionFailedError) as caught:
                    client.call(echo_request())
                assert caught.value.code == ErrorCode.EEOF
                assert caught.value.phase == Phase.WAITING
            wait_until(lambda: counts(client.channel).closed == 3)
            assert counts(client.channel).created == 3


@every_type
def test_broken_connection_is_retried_on_a_fresh_one(connection_type: str) -> None:
    """bRPC: retry."""

    def close_after_reading(peer: Peer) -> None:
        peer.expect_request()

    controller = pybrpc.Controller()
    with ScriptedServer(close_after_reading, Peer.echo_until_closed) as server:
        with caller("blocking", server.address, connection_type=connection_type) as client:
            assert client.call(echo_request("again"), controller=controller).message == "again"
    assert controller.retried_count == 1
    assert server.connections == 2


@every_type
@every_form
def test_many_threads_and_tasks_get_their_own_answers(form: str, connection_type: str) -> None:
    """bRPC: multiple_threads_single_channel."""
    with ScriptedServer() as server:
        with caller(form, server.address, connection_type=connection_type) as client:
            if form in LOOPS or form.endswith("shared"):
                requests = [echo_request(str(i)) for i in range(500)]
                answers = client.call_many(requests)
                assert [answer.message for answer in answers] == [str(i) for i in range(500)]
            else:

                def call(index: int) -> None:
                    for i in range(50):
                        text = f"{index} {i}"
                        assert client.call(echo_request(text)).message == text

                in_threads(10, call)
            found = counts(client.channel)
            assert (found.in_use, found.waiting) == (0, 0)
            if connection_type == "pooled":
                assert found.created <= (10 if form in ("blocking", "callback") else 100)
                assert found.closed == 0


# --- the pool ---


@every_form
def test_pool_has_a_real_cap_and_calls_beyond_it_wait(form: str) -> None:
    """brpc#89, #433: no more connections than max_pool_size exist, however many calls there are."""
    gate = Gate()
    with ScriptedServer(gate) as server:
        options: dict[str, Any] = {"connection_type": "pooled", "max_pool_size": 3}
        with caller(form, server.address, **options) as client:
            opener = threading.Thread(target=open_when, args=(gate, 3))
            opener.start()
            if form in ("blocking", "callback"):
                in_threads(20, lambda i: client.call(echo_request(str(i))))
            else:
                client.call_many([echo_request(str(i)) for i in range(20)])
            opener.join()
            found = counts(client.channel)
            assert (found.created, found.closed, found.waiting) == (3, 0, 0)
    assert gate.most == 3
    assert server.connections == 3


def open_when(gate: Gate, waiting: int) -> None:
    wait_until(lambda: gate.waiting == waiting)
    gate.is_open.set()


def test_pool_serves_calls_in_the_order_they_came() -> None:
    gate = Gate()
    ends: queue.SimpleQueue[str] = queue.SimpleQueue()
    with ScriptedServer(gate) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=1
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for i in range(50):
                stub.Echo.with_callback(
                    echo_request(str(i)), lambda response, error: ends.put(response.message)
                )
            assert counts(channel).waiting == 49
            gate.is_open.set()
            assert [ends.get(timeout=30) for _ in range(50)] == [str(i) for i in range(50)]
    assert server.connections == 1


@pytest.mark.parametrize("form", [form for form in FORMS if form not in LOOPS])
def test_deadline_and_cancel_find_a_call_that_waits_for_a_connection(form: str) -> None:
    gate = Gate()
    with ScriptedServer(gate) as server:
        options: dict[str, Any] = {"connection_type": "pooled", "max_pool_size": 1}
        with pybrpc.Channel(server.address, timeout=30, **options) as holder:
            held = pybrpc.Stub(ECHO, holder).Echo.future(echo_request("held"))
            wait_until(lambda: gate.waiting == 1)
            with caller(form, server.address, **options) as client:
                for _ in range(3):
                    with pytest.raises(RpcTimeoutError) as caught:
                        client.call(echo_request(), timeout=0.02)
                    assert caught.value.phase == Phase.QUEUED
                assert counts(client.channel).waiting == 0
            waiting = pybrpc.Stub(ECHO, holder).Echo.future(echo_request())
            wait_until(lambda: counts(holder).waiting == 1)
            assert waiting.cancel()
            assert counts(holder).waiting == 0
            gate.is_open.set()
            assert held.result().message == "held"
    assert len(server.requests) == 1, "what waited was never sent"


@every_loop
def test_cancelled_task_leaves_the_queue_of_the_pool(loop: str) -> None:
    gate = Gate()

    async def main(address: str) -> None:
        async with pybrpc.aio.Channel(
            address, timeout=30, connection_type="pooled", max_pool_size=1
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            held = stub.Echo(echo_request("held"))
            waiting = [stub.Echo(echo_request(str(i))) for i in range(100)]
            assert counts(channel).waiting == 100
            for future in waiting[::2]:
                future.cancel()
            assert counts(channel).waiting == 50
            gate.is_open.set()
            assert (await held).message == "held"
            answers = await asyncio.gather(*waiting[1::2])
            assert [answer.message for answer in answers] == [str(i) for i in range(1, 100, 2)]

    with ScriptedServer(gate) as server:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main(server.address))
    assert len(server.requests) == 51


def test_connection_with_an_outstanding_answer_is_not_used_again() -> None:
    """A call that timed out leaves a connection on which its answer may still come."""
    is_late = threading.Event()

    def answer_late(peer: Peer) -> None:
        request = peer.expect_request()
        is_late.wait()
        peer.answer(request)
        peer.wait_closed()

    with ScriptedServer(answer_late, Peer.echo_until_closed) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=1
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            with pytest.raises(RpcTimeoutError):
                stub.Echo(echo_request("first"), timeout=0.05)
            is_late.set()
            assert stub.Echo(echo_request("second")).message == "second"
            found = counts(channel)
            assert (found.created, found.closed, found.idle) == (2, 1, 1)
    assert server.connections == 2


def test_timed_out_call_frees_the_pool_for_the_next_one() -> None:
    with ScriptedServer(never_answer) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=2
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request(), timeout=0.05) for _ in range(10)]
            for future in futures:
                with pytest.raises(RpcTimeoutError):
                    future.result()
            wait_until(lambda: counts(channel).in_use == 0)
            found = counts(channel)
            assert found.waiting == 0
            assert found.created - found.closed <= 2


def test_connection_used_last_is_used_first() -> None:
    gate = Gate()
    with ScriptedServer(gate) as server:
        with pybrpc.Channel(server.address, timeout=30, connection_type="pooled") as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request()) for _ in range(5)]
            open_when(gate, 5)
            for future in futures:
                future.result()
            before = [len(peer.received) for peer in server.peers]
            for _ in range(20):
                stub.Echo(echo_request())
            after = [len(peer.received) for peer in server.peers]
            assert counts(channel).idle == 5
    used = [b != a for b, a in zip(before, after, strict=True)]
    assert used.count(True) == 1


def test_closing_the_channel_tells_those_who_wait_for_a_connection() -> None:
    with ScriptedServer(never_answer) as server:
        channel = pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=1
        )
        stub = pybrpc.Stub(ECHO, channel)
        futures = [stub.Echo.future(echo_request()) for _ in range(20)]
        channel.close()
        for future in futures:
            with pytest.raises(ConnectionFailedError) as caught:
                future.result()
            assert caught.value.code == ErrorCode.ECLOSE
    assert server.connections <= 1


def test_threads_that_fight_for_few_connections_never_lose_a_wake_up() -> None:
    """Answers, timeouts and broken connections free the pool in every way there is."""

    def erratic(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            number = int(bytes(request.attachment) or b"0")
            if number % 11 == 0:
                return
            if number % 7:
                peer.answer(request)

    ends = {"answered": 0, "timed out": 0, "broken": 0}
    lock = threading.Lock()

    def work(index: int) -> None:
        for i in range(60):
            controller = pybrpc.Controller()
            number = index * 60 + i
            controller.request_attachment.append(str(number).encode())
            timeout = 10 if number % 7 else 0.02
            try:
                stub.Echo(echo_request(str(i)), timeout=timeout, controller=controller)
                end = "answered"
            except RpcTimeoutError:
                end = "timed out"
            except ConnectionFailedError:
                end = "broken"
            with lock:
                ends[end] += 1

    with ScriptedServer(erratic) as server:
        with pybrpc.Channel(
            server.address, timeout=30, connection_type="pooled", max_pool_size=3, max_retry=0
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            in_threads(12, work)
            assert sum(ends.values()) == 12 * 60
            assert ends["answered"] > 0
            assert ends["broken"] > 0
            found = counts(channel)
            assert (found.in_use, found.waiting) == (0, 0)
            assert found.created - found.closed <= 3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no setitimer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_pool_loses_nothing_to_signal_handlers_that_raise() -> None:
    class Interrupted(Exception):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ScriptedServer() as server:
            with pybrpc.Channel(
                server.address, timeout=30, connection_type="pooled", max_pool_size=2
            ) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                # A signal inside of Thread.start leaves the thread in threading's own books.
                stub.Echo(echo_request("starts the dispatcher's thread"))
                strokes, delay_s = 0, 20e-6
                while strokes < 600:
                    try:
                        signal.setitimer(signal.ITIMER_REAL, delay_s)
                        stub.Echo(echo_request("x"), timeout=10)
                        signal.setitimer(signal.ITIMER_REAL, 0)
                    except Interrupted:
                        strokes += 1
                    delay_s = 20e-6 + (delay_s * 1.07) % 400e-6
                signal.setitimer(signal.ITIMER_REAL, 0)
                futures = [stub.Echo.future(echo_request(str(i))) for i in range(2)]
                assert [future.result().message for future in futures] == ["0", "1"]
                found = counts(channel)
                assert (found.in_use, found.waiting) == (0, 0)
                assert found.created - found.closed <= 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- several parallel connections ---


def test_parallel_connections_are_used_in_turn() -> None:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, connections=4) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for _ in range(40):
                stub.Echo(echo_request())
            assert counts(channel).created == counts(channel).idle == 4
            shares = [len(peer.received) for peer in server.peers]
    assert len(set(shares)) == 1


def test_parallel_connection_that_broke_is_replaced_alone() -> None:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, connections=3) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for _ in range(3):
                stub.Echo(echo_request())
            server.peers[0].sock.shutdown(2)
            for _ in range(30):
                stub.Echo(echo_request())
            found = counts(channel)
            assert (found.created, found.closed, found.idle) == (4, 1, 3)
    assert server.connections == 4


# --- options ---


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"connection_type": "polled"}, "one of 'single', 'pooled', 'short', not 'polled'"),
        ({"connections": 0}, "connections must be a whole number of at least 1"),
        ({"connections": 2, "connection_type": "pooled"}, 'for the connection_type "single"'),
        ({"connection_type": "pooled", "max_pool_size": 0}, "max_pool_size must be a whole"),
        ({"connection_type": "pooled", "max_pool_size": 1.5}, "max_pool_size must be a whole"),
        ({"max_pool_size": 10}, 'for the connection_type "pooled"'),
        ({"idle_timeout": 0}, "idle_timeout must be more than 0"),
        ({"idle_timeout": -1}, "idle_timeout must be at least 0"),
        ({"wait_for_ready": True, "dial_backoff": None}, "give a dial_backoff"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        pybrpc.Channel("127.0.0.1:1", **options)


def test_numbers_before_the_first_call() -> None:
    with pybrpc.Channel("127.0.0.1:1", connection_type="pooled") as channel:
        assert channel.endpoint_statistics() is None
        assert channel.statistics() is None
