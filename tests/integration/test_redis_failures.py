"""A real redis-server that dies, hangs, throws clients out; callers that give up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    Phase,
    ProtocolError,
    RpcError,
    RpcTimeoutError,
)
from pybrpc.redis import RedisChannel, RedisError, RedisRequest, redis_connection
from pybrpc.redis import aio as redis_aio
from tests.peers.redis_server import RedisServer
from tests.peers.scripted_server import Peer, ScriptedServer

TIMEOUT_S = 60.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture
def channel(server: RedisServer) -> Iterator[RedisChannel]:
    with RedisChannel(server.address, timeout=TIMEOUT_S) as made:
        yield made


def wait_until_up(channel: RedisChannel) -> None:
    """An endpoint that is down is dialled in the background; calls fail fast until that is done."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            assert channel.execute("PING") == b"PONG"
            return
        except ConnectionFailedError:
            assert time.monotonic() < end
            time.sleep(0.01)


def sleeping(seconds: float) -> RedisRequest:
    return RedisRequest().add("DEBUG", "SLEEP", seconds)


def test_a_server_that_is_killed_tells_every_waiting_command_once(
    server: RedisServer, channel: RedisChannel
) -> None:
    channel.execute("PING")
    ends: Counter[int] = Counter()
    errors: list[RpcError] = []
    all_told = threading.Semaphore(0)

    def done(number: int, error: RpcError | None) -> None:
        ends[number] += 1
        if error is not None:
            errors.append(error)
        all_told.release()

    channel.with_callback(sleeping(60), lambda _, error: done(0, error))
    for number in range(1, 200):
        request = RedisRequest().add("INCR", "n").add("GET", "n")
        channel.with_callback(request, lambda _, error, number=number: done(number, error))  # type: ignore[misc]
    server.kill()
    for _ in range(200):
        assert all_told.acquire(timeout=TIMEOUT_S)
    assert ends == Counter(range(200))
    assert len(errors) == 200
    # What had not left yet was sent again, and may have found nobody.
    assert {type(error) for error in errors} <= {ConnectionFailedError, ConnectError}
    phases = {error.phase for error in errors if type(error) is ConnectionFailedError}
    assert phases <= {Phase.SENT, Phase.WAITING}
    assert {error.peer for error in errors} == {server.address}


def test_calls_go_on_once_the_server_is_back(server: RedisServer, channel: RedisChannel) -> None:
    channel.execute("SET", "k", "v")
    server.kill()
    with pytest.raises(ConnectionFailedError):
        channel.execute("GET", "k")
    server.start()
    wait_until_up(channel)
    assert channel.execute("GET", "k") is None
    assert len(server.clients()) == 1


def test_calls_may_wait_until_the_server_is_back(server: RedisServer) -> None:
    with RedisChannel(server.address, timeout=TIMEOUT_S, wait_for_ready=True) as channel:
        server.kill()
        waiting = [channel.future(RedisRequest().add("INCR", "n")) for _ in range(20)]
        server.start()
        assert sorted(future.result()[0] for future in waiting) == list(range(1, 21))


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


def throw_out(server: RedisServer) -> None:
    server.run("CLIENT", "KILL", "TYPE", "normal")


@pytest.mark.parametrize("break_down", [restart, throw_out])
def test_threads_that_call_on_while_connections_break(
    server: RedisServer, channel: RedisChannel, break_down: Callable[[RedisServer], None]
) -> None:
    """Every call ends, by its own value or an error; then all works again, over one connection."""
    is_over = threading.Event()
    good, bad = Counter[int](), Counter[int]()

    def work(number: int) -> None:
        while not is_over.is_set():
            try:
                assert channel.execute("ECHO", number) == b"%d" % number
                good[number] += 1
            except ConnectionFailedError:
                bad[number] += 1
                is_over.wait(0.001)

    break_downs = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        works = [pool.submit(work, number) for number in range(8)]
        # One may come while no call waits for an answer.
        while (break_downs < 4 or not bad) and not any(work.done() for work in works):
            good.clear()
            while sum(good.values()) < 300 and not any(work.done() for work in works):
                is_over.wait(0.005)
            break_down(server)
            break_downs += 1
        is_over.set()
    for done in works:
        done.result()
    wait_until_up(channel)
    assert len(server.clients()) == 1


def test_a_client_that_is_killed(server: RedisServer, channel: RedisChannel) -> None:
    channel.execute("PING")
    first = server.clients()[0]["id"]
    server.run("CLIENT", "KILL", "ID", first)
    wait_until_up(channel)
    assert server.clients()[0]["id"] != first


def test_command_that_was_sent_is_not_retried(server: RedisServer, channel: RedisChannel) -> None:
    """SHUTDOWN runs, and closes without an answer; a second one would end the new server."""
    channel.execute("PING")
    with pytest.raises(ConnectionFailedError) as caught:
        channel.execute("SHUTDOWN", "NOSAVE")
    assert caught.value.phase in (Phase.SENT, Phase.WAITING)
    server.kill()
    server.start()
    wait_until_up(channel)
    assert server.run("PING") == b"PONG"


def test_late_replies_after_timeouts_go_to_nobody(
    server: RedisServer, channel: RedisChannel
) -> None:
    channel.execute("PING")
    sleeper = channel.future(sleeping(0.4).add("ECHO", "slept"))
    timed_out = [
        channel.future(RedisRequest().add("ECHO", number).add("INCR", "n"), timeout=0.05)
        for number in range(20)
    ]
    kept = [channel.future(RedisRequest().add("ECHO", f"kept {n}")) for n in range(20)]
    for future in timed_out:
        with pytest.raises(RpcTimeoutError) as caught:
            future.result()
        assert caught.value.phase in (Phase.SENT, Phase.WAITING)
    assert sleeper.result() == (b"OK", b"slept")
    assert [future.result() for future in kept] == [(b"kept %d" % n,) for n in range(20)]
    statistics = channel.statistics()
    assert statistics is not None
    assert statistics.late_answers == 20
    assert channel.execute("GET", "n") == b"20"


def test_a_call_that_is_cancelled_keeps_its_place(
    server: RedisServer, channel: RedisChannel
) -> None:
    channel.execute("PING")
    channel.with_callback(sleeping(0.2), lambda response, error: None)
    cancelled = channel.future(RedisRequest().add("ECHO", "cancelled").add("ECHO", "too"))
    kept = channel.future(RedisRequest().add("ECHO", "kept"))
    assert cancelled.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        cancelled.result()
    assert kept.result() == (b"kept",)


def test_a_task_that_is_cancelled_keeps_its_place(server: RedisServer) -> None:
    async def main() -> None:
        async with redis_aio.RedisChannel(server.address, timeout=TIMEOUT_S) as channel:
            await channel.execute("PING")
            sleeper = channel.call(sleeping(0.3))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(channel.execute("ECHO", "given up"), 0.05)
            values = await asyncio.gather(*[channel.execute("ECHO", n) for n in range(50)])
            assert values == [b"%d" % n for n in range(50)]
            assert await sleeper == (b"OK",)

    asyncio.run(main())


def test_a_server_that_hangs_while_logging_in(server: RedisServer) -> None:
    """It accepts and says nothing: the connect timeout ends it, in the phase of the handshake."""
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        with RedisChannel(
            server.address, timeout=TIMEOUT_S, connect_timeout=0.2, max_retry=0
        ) as channel:
            futures = [channel.future(RedisRequest().add("PING")) for _ in range(10)]
            errors = [future.exception() for future in futures]
            assert {error.phase for error in errors if isinstance(error, RpcError)} == {
                Phase.HANDSHAKE
            }
    finally:
        os.kill(server._process.pid, signal.SIGCONT)


HOSTILE = [
    (b"*4000000\r\n", b"$9999\r\n" + b"x" * 9999 + b"\r\n", "larger than max_body_size=1"),
    (b"$1073741825\r\n", b"x", "larger than max_body_size=1"),
    (b"*2147483647\r\n", b"", "declares 2147483647 elements"),
    (b"", b"*1\r\n" * 1000, "nested deeper than"),
    (b"+", b"x" * 100_000, "larger than max_body_size=1"),
    (b"HTTP/1.1 400 Bad Request\r\n", b"", "no reply of Redis starts with b'HTTP/1.1"),
]


def errors_of_a_hostile_server(head: bytes, again: bytes, **login: Any) -> list[RpcError]:
    """The errors of ten calls, each an error of the protocol."""

    def script(peer: Peer) -> None:
        peer.sock.recv(1)
        with contextlib.suppress(ConnectionError):
            peer.sock.sendall(head)
            while again:
                peer.sock.sendall(again)
        peer.wait_closed()

    with (
        ScriptedServer(script) as server,
        RedisChannel(
            server.address, timeout=TIMEOUT_S, max_body_size=1024 * 1024, **login
        ) as channel,
    ):
        futures = [channel.future(RedisRequest().add("PING")) for _ in range(10)]
        errors = [future.exception() for future in futures]
    assert {type(error) for error in errors} == {ProtocolError}
    return errors  # type: ignore[return-value]


@pytest.mark.parametrize(("head", "again", "reason"), HOSTILE)
def test_a_hostile_server_is_closed(head: bytes, again: bytes, reason: str) -> None:
    for error in errors_of_a_hostile_server(head, again, protocol=2, client_name=""):
        # What the first one brings on finds others that were still to be sent.
        assert error.phase in (Phase.QUEUED, Phase.SENT, Phase.WAITING)
        assert reason in error.text


@pytest.mark.parametrize(("head", "again", "reason"), [*HOSTILE, (b"$1048577\r\n", b"", "larger")])
def test_a_server_that_is_hostile_at_the_login_is_closed(
    head: bytes, again: bytes, reason: str
) -> None:
    """At the first sign of it: no other reply waits behind this one."""
    for error in errors_of_a_hostile_server(head, again):
        assert error.phase is Phase.HANDSHAKE
        assert reason in error.text


class Failover:
    """Two servers behind one name, a symbolic link; the first one is the primary."""

    def __init__(self, first: RedisServer, second: RedisServer, name: Path) -> None:
        self._first, self._second, self._name = first, second, name
        name.symlink_to(first.path)
        self.address = f"unix:{name}"

    def happen(self) -> None:
        """The first server becomes a replica, and the name leads to the second one."""
        self._first.run("REPLICAOF", "127.0.0.1", self._second.port)
        self._name.unlink()
        self._name.symlink_to(self._second.path)


@pytest.fixture
def failover(tmp_path: Path) -> Iterator[Failover]:
    with RedisServer() as first, RedisServer() as second:
        yield Failover(first, second, tmp_path / "primary")


@pytest.mark.parametrize(
    "options", [{}, {"connection_type": "pooled"}, {"connections": 2}], ids=str
)
def test_connection_to_a_server_that_has_become_a_replica_is_dropped(
    failover: Failover, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "DROPPED_FROM_S", 0.0)
    with RedisChannel(failover.address, timeout=TIMEOUT_S, **options) as channel:
        for _ in range(4):
            channel.execute("SET", "k", "first")
        failover.happen()
        write = RedisRequest().add("SET", "k", "second")
        replies = [channel.call(write)[0] for _ in range(4)]
        refused = [reply.code for reply in replies if reply != b"OK"]
        assert set(refused) == {"READONLY"}
        assert len(refused) <= options.get("connections", 1)
        assert channel.execute("GET", "k") == b"second"


def test_commands_behind_a_refused_write_are_answered_by_the_replica(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection takes no new ones, and is closed after the last answer."""
    monkeypatch.setattr(redis_connection, "DROPPED_FROM_S", 0.0)
    with RedisChannel(failover.address, timeout=TIMEOUT_S) as channel:
        channel.execute("SET", "k", "first")
        failover.happen()
        futures = [
            channel.future(RedisRequest().add("SET", "k", "second").add("ECHO", str(number)))
            for number in range(100)
        ]
        for number, future in enumerate(futures):
            assert future.result(TIMEOUT_S)[1] == str(number).encode()
        assert channel.execute("SET", "k", "second") == b"OK"


def test_refused_write_of_a_script_in_a_transaction_drops_the_connection(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "DROPPED_FROM_S", 0.0)
    script = "return redis.call('SET', KEYS[1], 'second')"
    transaction = RedisRequest().add("MULTI").add("EVAL", script, 1, "k").add("EXEC")
    with RedisChannel(failover.address, timeout=TIMEOUT_S) as channel:
        channel.execute("SET", "k", "first")
        failover.happen()
        (refused,) = channel.call(transaction)[2]
        assert refused.code == "READONLY"
        assert channel.call(transaction)[2] == [b"OK"]


async def dropped_in_a_loop(failover: Failover) -> None:
    async with redis_aio.RedisChannel(failover.address, timeout=TIMEOUT_S) as channel:
        await channel.execute("SET", "k", "first")
        failover.happen()
        transaction = RedisRequest().add("MULTI").add("SET", "k", "x").add("EXEC")
        replies = await channel.call(transaction)
        assert [type(reply) for reply in replies[1:]] == [RedisError] * 2
        assert (await channel.call(transaction))[2] == [b"OK"]


def test_refused_write_of_a_transaction_in_a_loop_drops_the_connection(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "DROPPED_FROM_S", 0.0)
    asyncio.run(dropped_in_a_loop(failover))


def connections_received(server: RedisServer) -> int:
    return int(re.findall(rb"total_connections_received:(\d+)", server.run("INFO", "stats"))[0])


def test_writes_to_a_replica_by_mistake_do_not_connect_for_each_command(
    server: RedisServer, channel: RedisChannel
) -> None:
    server.run("REPLICAOF", "127.0.0.1", 1)
    before = connections_received(server)
    for _ in range(500):
        with pytest.raises(RedisError, match="READONLY"):
            channel.execute("SET", "k", "v")
    assert connections_received(server) - before < 250
