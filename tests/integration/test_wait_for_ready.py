"""Calls that wait until their endpoint is up: wait_for_ready."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ConnectError, ErrorCode, RpcError, RpcTimeoutError
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import OFTEN, counts
from tests.peers.scripted_server import (
    closed_port,
)
from tests.peers.serving import make_server

TYPES = ("single", "pooled", "short", "auto")
every_form = pytest.mark.parametrize("form", FORMS)
every_type = pytest.mark.parametrize("connection_type", TYPES)


@every_form
@every_type
def test_call_that_waits_for_the_server_is_answered_once_it_is_there(
    form: str, connection_type: str, dead_address: str
) -> None:
    server = make_server()
    options: dict[str, Any] = {
        "connection_type": connection_type,
        "dial_backoff": OFTEN,
        "wait_for_ready": True,
        "max_retry": 0,
    }
    starter = threading.Timer(0.15, lambda: server.start(dead_address))
    starter.start()
    with server, caller(form, dead_address, **options) as client:
        if form in ("future", "asyncio", "uvloop", "asyncio-shared"):
            answers = client.call_many([echo_request(str(i)) for i in range(50)])
            assert [answer.message for answer in answers] == [str(i) for i in range(50)]
        else:
            assert client.call(echo_request("hello")).message == "hello"
        starter.join()
        assert client.channel.endpoint_statistics().waiting == 0


@every_form
def test_deadline_of_a_call_that_waits_names_what_it_waited_for(
    form: str, dead_address: str
) -> None:
    options: dict[str, Any] = {"dial_backoff": OFTEN, "wait_for_ready": True}
    with caller(form, dead_address, **options) as client:
        for _ in range(2):
            with pytest.raises(RpcTimeoutError) as caught:
                client.call(echo_request(), timeout=0.5)
            error = caught.value
            assert error.code == ErrorCode.ERPCTIMEDOUT
            assert "Reached timeout=500ms" in error.text
            assert f"not ready: Fail to connect {dead_address}: Connection refused" in error.text
            assert isinstance(error.__cause__, ConnectError)
        assert client.channel.endpoint_statistics().waiting == 0


def test_closing_the_channel_ends_the_wait() -> None:
    with closed_port() as address:
        channel = pybrpc.Channel(address, timeout=None, wait_for_ready=True)
        futures = [pybrpc.Stub(ECHO, channel).Echo.future(echo_request()) for _ in range(10)]
        wait_until(lambda: counts(channel).waiting == 10)
        channel.close()
        for future in futures:
            with pytest.raises(RpcError) as caught:
                future.result()
            assert caught.value.code == ErrorCode.ECLOSE


def test_cancelled_call_waits_no_more() -> None:
    with closed_port() as address, pybrpc.Channel(address, wait_for_ready=True) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request(), timeout=None)
        wait_until(lambda: counts(channel).waiting == 1)
        assert future.cancel()
        assert counts(channel).waiting == 0
