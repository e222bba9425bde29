"""Connections of a channel to a real redis-server: types, groups, idle timeouts, dials in the
background, TLS, forks."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.base.backoff import Backoff
from pybrpc.errors import ConnectionFailedError, HandshakeError, Phase, RpcTimeoutError
from pybrpc.redis import RedisChannel, RedisRequest
from pybrpc.redis import aio as redis_aio
from tests.fakes.threads import wait_until
from tests.peers.endpoints import counts
from tests.peers.redis_server import RedisServer, free_port

trustme = pytest.importorskip("trustme")

TIMEOUT_S = 60.0
PASSWORD = "open-sesame"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(password=PASSWORD) as started:
        yield started


def channel_to(server: RedisServer, **options: Any) -> RedisChannel:
    return RedisChannel(server.address, password=PASSWORD, timeout=TIMEOUT_S, **options)


def call_in_threads(channel: RedisChannel, count: int = 8, turns: int = 25) -> None:
    """Each thread checks that the replies it gets are its own."""

    def work(number: int) -> None:
        for turn in range(turns):
            words = [f"{number}.{turn}.{index}" for index in range(number % 3 + 1)]
            request = RedisRequest()
            for word in words:
                request.add("ECHO", word)
            assert channel.call(request) == tuple(word.encode() for word in words)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


# --- types ---


@pytest.mark.parametrize(
    ("options", "connections"),
    [
        ({}, 1),
        ({"connections": 3}, 3),
        ({"connection_type": "pooled", "max_pool_size": 2}, 2),
        ({"connection_type": "short"}, 0),
    ],
)
@pytest.mark.parametrize("is_unix", [False, True])
def test_each_type_logs_in_and_brings_everybody_his_own(
    server: RedisServer, options: dict[str, Any], connections: int, is_unix: bool
) -> None:
    address = server.unix_address if is_unix else server.address
    with RedisChannel(address, password=PASSWORD, timeout=TIMEOUT_S, db=1, **options) as channel:
        call_in_threads(channel)
        wait_until(lambda: len(server.clients()) == connections)
        assert {client["db"] for client in server.clients()} <= {"1"}
        assert counts(channel).created >= (connections or 8 * 25)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize(
    "options", [{"connections": 3}, {"connection_type": "pooled"}, {"connection_type": "short"}]
)
def test_each_type_for_tasks(server: RedisServer, options: dict[str, Any], share: bool) -> None:
    async def main() -> None:
        async with redis_aio.RedisChannel(
            server.address,
            password=PASSWORD,
            timeout=TIMEOUT_S,
            share_with_threads=share,
            **options,
        ) as channel:
            values = await asyncio.gather(*[channel.execute("ECHO", n) for n in range(50)])
            assert values == [b"%d" % n for n in range(50)]

    asyncio.run(main())


@pytest.mark.parametrize("connection_type", ["single", "pooled", "short"])
def test_a_late_reply_reaches_nobody_whatever_the_type(
    server: RedisServer, connection_type: str
) -> None:
    """A pooled connection that still owes a reply is not used again."""
    with channel_to(server, connection_type=connection_type) as channel:
        channel.execute("PING")
        late = RedisRequest().add("DEBUG", "SLEEP", 0.3).add("ECHO", "late")
        with pytest.raises(RpcTimeoutError):
            channel.call(late, timeout=0.05)
        assert channel.execute("ECHO", "mine") == b"mine"
        created = {"single": 1, "pooled": 2, "short": 3}
        assert counts(channel).created == created[connection_type]


def test_groups_share_nothing(server: RedisServer) -> None:
    with channel_to(server) as first, channel_to(server, connection_group="slow") as second:
        for channel in (first, second):
            channel.execute("PING")
        assert len(server.clients()) == 2


def test_callers_that_give_up_at_any_moment_shift_nothing(server: RedisServer) -> None:
    """Cancelled and timed out by their own threads, while the dispatcher writes and reads."""
    ends = {"kept": 0, "cancelled": 0, "timed out": 0}
    lock = threading.Lock()

    def work(number: int) -> None:
        rng, word = random.Random(number), bytes([65 + number]) * 200
        for turn in range(150):
            timeout = rng.choice([TIMEOUT_S, TIMEOUT_S, 0.0005])
            request = RedisRequest().add("ECHO", word).add("ECHO", turn)
            future = channel.future(request, timeout=timeout)
            if rng.random() < 0.3 and future.cancel():
                kind = "cancelled"
            else:
                try:
                    assert future.result() == (word, b"%d" % turn)
                    kind = "kept"
                except RpcTimeoutError:
                    kind = "timed out"
            with lock:
                ends[kind] += 1

    with channel_to(server) as channel:
        channel.execute("PING")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert counts(channel).created == 1
        channel.execute("PING")
        statistics = channel.statistics()
        assert statistics is not None
        assert statistics.in_flight == 0
    assert ends["kept"] > 100
    assert ends["cancelled"] > 100


# --- coming and going ---


def test_an_idle_connection_is_closed_and_the_next_call_logs_in_again(server: RedisServer) -> None:
    with channel_to(server, idle_timeout=0.1, db=2) as channel:
        channel.execute("SET", "k", "v")
        wait_until(lambda: not server.clients())
        assert channel.execute("GET", "k") == b"v"
        assert counts(channel).created == 2


@pytest.mark.parametrize("backoff", [None, Backoff(first_s=0.01, max_s=0.02)])
def test_a_server_that_comes_back_is_found(backoff: Backoff | None) -> None:
    """Without background dials by the next call, with them before it."""
    with (
        RedisServer() as server,
        RedisChannel(server.address, timeout=TIMEOUT_S, dial_backoff=backoff) as channel,
    ):
        channel.execute("PING")
        server.kill()
        for _ in range(3):
            with pytest.raises(ConnectionFailedError):
                channel.execute("PING")
        assert counts(channel).is_down is (backoff is not None)
        server.start()
        if backoff is not None:
            wait_until(lambda: not counts(channel).is_down)
        assert channel.execute("PING") == b"PONG"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_connection_of_its_own(server: RedisServer) -> None:
    with channel_to(server) as channel:
        channel.execute("SET", "n", 0)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                signal.alarm(int(TIMEOUT_S))
                code = 0 if [channel.execute("INCR", "n") for _ in range(50)][-1] >= 50 else 2
            finally:
                os._exit(code)
        values = [channel.execute("INCR", "n") for _ in range(50)]
        assert values == sorted(set(values))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert channel.execute("GET", "n") == b"100"


# --- TLS ---


@dataclasses.dataclass(frozen=True)
class TlsServer:
    server: RedisServer
    address: str
    ca: str


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    directory, authority, port = tmp_path_factory.mktemp("tls"), trustme.CA(), free_port()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert")
    certificate.private_key_pem.write_to_path(directory / "key")
    files = {"cert_file": "cert", "key_file": "key", "ca_cert_file": "ca"}
    settings = {f"tls_{name}": directory / file for name, file in files.items()}
    with RedisServer(password=PASSWORD, tls_port=port, tls_auth_clients="no", **settings) as server:
        yield TlsServer(server, f"127.0.0.1:{port}", str(directory / "ca"))


def tls_channel(to: TlsServer, ca: str | None = None, **options: Any) -> RedisChannel:
    tls = pybrpc.ClientTls(ca=ca or to.ca)
    return RedisChannel(to.address, password=PASSWORD, tls=tls, timeout=TIMEOUT_S, **options)


@pytest.mark.parametrize(
    "options", [{}, {"connection_type": "pooled"}, {"connection_type": "short"}]
)
def test_login_goes_through_tls(tls_server: TlsServer, options: dict[str, Any]) -> None:
    with tls_channel(tls_server, **options) as channel:
        call_in_threads(channel, turns=10)
        value = bytes(5_000_000)
        request = RedisRequest().add("SET", "k", value).add("GET", "k")
        assert channel.call(request) == (b"OK", value)


@pytest.mark.parametrize("has_tls", [False, True])
def test_no_command_runs_twice_when_connections_break(tls_server: TlsServer, has_tls: bool) -> None:
    """The counter has what was answered, and at most what errors say may have run beside it."""
    is_over = threading.Event()
    answered: list[int] = []
    may_have_run: list[Phase | None] = []

    def work(number: int) -> None:
        while not is_over.is_set():
            try:
                answered.append(channel.execute("INCR", "n"))
            except ConnectionFailedError as error:
                if error.phase in (Phase.SENT, Phase.WAITING):
                    may_have_run.append(error.phase)
                time.sleep(0.001)

    server = tls_server.server
    server.run("DEL", "n")
    with (
        tls_channel(tls_server) if has_tls else channel_to(server) as channel,
        ThreadPoolExecutor(8) as pool,
    ):
        works = [pool.submit(work, number) for number in range(8)]
        for _ in range(8):
            seen = len(answered)
            while len(answered) < seen + 50 and not any(done.done() for done in works):
                time.sleep(0.001)
            server.run("CLIENT", "KILL", "TYPE", "normal")
        is_over.set()
    for done in works:
        done.result()
    assert len(set(answered)) == len(answered)
    assert may_have_run
    assert len(answered) <= int(server.run("GET", "n")) <= len(answered) + len(may_have_run)


def test_an_authority_that_is_not_trusted(tls_server: TlsServer, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other")
    with tls_channel(tls_server, str(tmp_path / "other"), max_retry=0) as channel:
        with pytest.raises(HandshakeError, match=r"(?i)certificate") as caught:
            channel.execute("PING")
        assert caught.value.phase is Phase.HANDSHAKE
