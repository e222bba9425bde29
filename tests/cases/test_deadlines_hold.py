"""A call ends at its deadline, wherever it was made and however far away that is."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
import time
from typing import Any

import pytest

import pybrpc
from pybrpc.testing import channel_for
from tests.cases.child import run_in_child
from tests.cases.peers import (
    PATIENT_S,
    FullEcho,
    echo_channel,
    echo_stub,
    outcomes_of,
)
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer, never_answer

FORMS = ("blocking", "future", "callback", "asyncio")
LARGE = [2.0**40, 1e15]
HUGE = [sys.maxsize, 2**70, 1e300]
LARGEST = sys.float_info.max
ALL_LARGE = [*LARGE, *HUGE, LARGEST]
"""Timeouts that people write for "no limit", in seconds."""


def seconds_of_a_call_that_a_signal_handler_makes() -> float:
    """In a loop that sleeps three seconds meanwhile; its timeout is 0.1 s."""

    async def call(address: str) -> float:
        async with pybrpc.aio.Channel(address, timeout=0.1) as channel:
            stub: Any = pybrpc.Stub(ECHO, channel)
            await asyncio.gather(stub.Echo(echo_request()), return_exceptions=True)
            seconds: list[float] = []

            def on_signal(*_: Any) -> None:
                began_at = time.monotonic()
                future = stub.Echo(echo_request())
                future.add_done_callback(lambda _: seconds.append(time.monotonic() - began_at))

            signal.signal(signal.SIGALRM, on_signal)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            await asyncio.sleep(3)
            await asyncio.sleep(0.1)
            return seconds[0]

    with ScriptedServer(never_answer) as server:
        return asyncio.run(call(server.address))


def test_call_made_in_a_signal_handler_of_a_loop_ends_at_its_deadline() -> None:
    assert run_in_child(seconds_of_a_call_that_a_signal_handler_makes) < 2


def accepted(what: Any) -> bool:
    """Whether it works, or raises a ValueError that names the argument."""
    try:
        what()
    except ValueError as error:
        return "timeout" in str(error) or "grace" in str(error)
    return True


def call_with_timeout(form: str, timeout: float) -> None:
    with ScriptedServer() as server, caller(form, server.address, timeout=timeout) as made:
        made.call(echo_request())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timeout", LARGE)
def test_large_timeout_of_a_call_is_no_limit(form: str, timeout: float) -> None:
    call_with_timeout(form, timeout)


@pytest.mark.parametrize("timeout", HUGE)
def test_huge_timeout_of_a_blocking_call_is_no_limit_or_a_value_error(timeout: float) -> None:
    assert accepted(lambda: call_with_timeout("blocking", timeout))


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("timeout", HUGE)
def test_huge_timeout_of_a_call_is_no_limit_or_a_value_error(form: str, timeout: float) -> None:
    assert accepted(lambda: call_with_timeout(form, timeout))


@pytest.mark.parametrize("form", FORMS)
def test_largest_timeout_of_a_call_is_no_limit_or_a_value_error(form: str) -> None:
    assert accepted(lambda: call_with_timeout(form, LARGEST))


@pytest.mark.parametrize("option", ["connect_timeout", "idle_timeout"])
@pytest.mark.parametrize("timeout", ALL_LARGE)
def test_huge_timeout_of_a_channel_is_no_limit_or_a_value_error(
    option: str, timeout: float
) -> None:
    def call() -> None:
        options: dict[str, Any] = {option: timeout}
        with echo_channel(server.address, **options) as channel:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())

    with ScriptedServer() as server:
        assert accepted(call)


@pytest.mark.parametrize("option", ["idle_timeout", "message_timeout", "handshake_timeout"])
@pytest.mark.parametrize("timeout", ALL_LARGE)
def test_huge_timeout_of_a_server_is_no_limit_or_a_value_error(option: str, timeout: float) -> None:
    def serve() -> None:
        options: dict[str, Any] = {option: timeout}
        with channel_for(ECHO, FullEcho(), timeout=PATIENT_S, server_options=options) as channel:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())

    assert accepted(serve)


@pytest.mark.parametrize("grace", ALL_LARGE)
def test_huge_grace_of_a_stop_is_no_limit_or_a_value_error(grace: float) -> None:
    server = pybrpc.Server()
    server.start("127.0.0.1:0")
    try:
        assert accepted(lambda: server.stop(grace))
    finally:
        server.stop(0)
        server.join()


def outcomes_and_threads_of_calls_to_a_name_that_hangs(count: int) -> list[Any]:
    """The outcomes of calls of type short, each of which resolves the name."""
    real = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **options: Any) -> Any:
        if host == "hangs.example":
            time.sleep(PATIENT_S)
        return real(host, *rest, **options)

    socket.getaddrinfo = look_up
    stub = echo_stub("hangs.example:80", timeout=0.3, max_retry=0, connection_type="short")
    futures = [stub.Echo.future(echo_request()) for _ in range(count)]
    return [outcomes_of(futures), threading.active_count()]


def test_calls_to_a_name_whose_look_up_hangs_share_a_few_threads() -> None:
    outcomes, threads = run_in_child(outcomes_and_threads_of_calls_to_a_name_that_hangs, 300)
    assert outcomes == {"ERPCTIMEDOUT": 300}
    assert threads < 50
