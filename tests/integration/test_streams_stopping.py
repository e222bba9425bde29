"""Streams that functions of `on_stopping` end: the stop does not last, and clients see no error.

Without such a function no stop of these tests would end: its grace has no limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import pybrpc
from pybrpc.client.channel.stream_call import StreamCall
from pybrpc.errors import ConnectionFailedError
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.supervised import supervised
from tests.peers.worker_apps import Watch, make_plain_watching_server, make_watching_server

ANYWHERE = "127.0.0.1:0"


@contextlib.contextmanager
def watching(address: object) -> Iterator[StreamCall]:
    """A call with an open stream, whose body waits."""
    with pybrpc.Channel(str(address), timeout=WAIT_S, connect_timeout=10) as channel:
        with pybrpc.Stub(ECHO, channel).Echo.stream(echo_request("watch")) as call:
            assert call.stream.recv(WAIT_S) == b"welcome"
            yield call


def check_ended(call: StreamCall) -> None:
    assert call.stream.recv(WAIT_S) == b"goodbye"
    assert call.stream.wait_closed(WAIT_S) is None
    assert call.stream.failure is None


@pytest.mark.parametrize("make", [make_watching_server, make_plain_watching_server])
def test_stream_that_waits_ends_when_its_server_stops(
    make: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(make)
    server = make()
    with watching(server.start(ANYWHERE)) as call:
        server.stop(None)
        check_ended(call)
        assert server.join(WAIT_S)
    assert caplog.records == []


def test_stream_that_waits_ends_when_a_server_in_a_loop_stops() -> None:
    async def main() -> None:
        async with make_watching_server() as server:
            endpoint = await server.start_async(ANYWHERE)
            async with pybrpc.aio.Channel(endpoint, timeout=WAIT_S) as channel:
                async with pybrpc.Stub(ECHO, channel).Echo.stream(echo_request("watch")) as call:
                    assert await call.stream.recv(WAIT_S) == b"welcome"
                    server.stop(None)
                    assert [message async for message in call.stream] == [b"goodbye"]
                    assert call.stream.failure is None
            await server.wait_stopped()

    asyncio.run(main())


def test_stream_that_nobody_ends_fails_after_the_grace(caplog: pytest.LogCaptureFixture) -> None:
    with pybrpc.Server() as server:
        server.add_service(ECHO, Watch())
        with watching(server.start(ANYWHERE)) as call:
            server.stop(0.1)
            with pytest.raises(ConnectionFailedError) as caught:
                call.stream.recv(WAIT_S)
            assert caught.value.name == "EEOF"
            assert server.join(WAIT_S)
    assert "gives up 0 requests; 1 connection (" in caplog.text
    assert ", open, 0 requests running, 1 stream, 0 bytes unwritten)" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "app", ["make_watching_server", "make_async_watching_server", "make_plain_watching_server"]
)
def test_stream_that_waits_ends_when_its_worker_stops(app: str) -> None:
    with supervised(app, grace=None, drain_delay=0.1) as supervisor:
        with watching(supervisor.endpoint) as call:
            supervisor.stop(None)
            check_ended(call)
            assert supervisor.join(WAIT_S)


@pytest.mark.slow
def test_stream_that_waits_ends_when_its_program_gets_sigterm() -> None:
    program = (
        "from tests.peers.worker_apps import make_watching_server\n"
        "server = make_watching_server()\n"
        "endpoint = server.start('127.0.0.1:0')\n"
        "print(endpoint, flush=True)\n"
        "server.run_until_asked_to_quit(grace=None)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            with watching(process.stdout.readline().strip()) as call:
                wait_catches_sigterm(process.pid)
                process.send_signal(signal.SIGTERM)
                check_ended(call)
                assert process.wait(WAIT_S) == 0
        finally:
            process.kill()


def wait_catches_sigterm(pid: int) -> None:
    """Until the process has a handler for SIGTERM."""

    def catches() -> bool:
        with open(f"/proc/{pid}/status") as file:
            mask = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
        return bool(int(mask, 16) & 1 << (signal.SIGTERM - 1))

    wait_until(catches)
