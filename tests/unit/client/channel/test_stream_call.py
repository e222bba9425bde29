"""StreamCall and AioStreamCall: what is refused before anything is sent, and what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.client.channel.stream_call import as_rpc_error
from pybrpc.errors import ErrorCode, RpcCanceledError, RpcError, make_rpc_error
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.stream_options import StreamOptions
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer, never_answer, reserved_port


@pytest.fixture
def stub() -> Iterator[Any]:
    """The stub of a server that is not there."""
    with reserved_port() as address, pybrpc.Channel(address, max_retry=0) as channel:
        yield pybrpc.Stub(ECHO, channel)


@pytest.mark.parametrize("streams", [0, -1, 65, 1.5, True, "1"])
def test_numbers_of_streams(stub: Any, streams: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="streams"):
        stub.Echo.stream(echo_request(), streams=streams)


def test_options_of_another_kind(stub: Any) -> None:
    with pytest.raises(TypeError, match="options"):
        stub.Echo.stream(echo_request(), options={"max_buf_size": 1})


def test_backup_request_is_refused(stub: Any) -> None:
    controller = Controller()
    controller.backup_request_ms = 5
    with pytest.raises(ValueError, match="backup request"):
        stub.Echo.stream(echo_request(), controller=controller)


def test_call_that_is_not_open(stub: Any) -> None:
    call = stub.Echo.stream(echo_request(), streams=2, options=StreamOptions())
    assert repr(call).endswith("EchoService.Echo, not begun>")
    assert call.response is None
    for get in (lambda: call.stream, lambda: call.streams, call.close):
        with pytest.raises(RuntimeError, match="not open yet"):
            get()
    call.reset()


def test_call_is_opened_once(stub: Any) -> None:
    call = stub.Echo.stream(echo_request())
    with pytest.raises(RpcError):
        call.open()
    assert repr(call).endswith("EchoService.Echo, opening>")
    with pytest.raises(RuntimeError, match="opened before"):
        call.open()


def test_for_asyncio() -> None:
    async def main(address: str) -> None:
        async with pybrpc.aio.Channel(address, max_retry=0) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            call = stub.Echo.stream(echo_request(), timeout=0.01)
            with pytest.raises(RuntimeError, match="not open yet"):
                _ = call.stream
            with pytest.raises(RpcError) as caught:
                await call.open()
            assert caught.value.code == ErrorCode.ERPCTIMEDOUT
            with pytest.raises(RuntimeError, match="opened before"):
                await call.open()
            with pytest.raises(RuntimeError, match="not open yet"):
                await call.close()

    with ScriptedServer(never_answer) as server:
        asyncio.run(main(server.address))


def test_streams_fail_with_the_error_of_the_call() -> None:
    error = make_rpc_error(ErrorCode.ERPCTIMEDOUT, "late")
    copy = as_rpc_error(error)
    assert (copy.code, copy.text) == (error.code, error.text)
    assert copy is not error
    canceled = as_rpc_error(KeyboardInterrupt())
    assert isinstance(canceled, RpcCanceledError)
    assert "KeyboardInterrupt" in canceled.text
