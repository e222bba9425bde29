"""An error that a handler's own call meets is the handler's failure; its caller does not repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.testing import channel_for
from tests.cases.peers import PATIENT_S, close_after
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, closed_port, never_answer
from tests.protos import conformance_pb2 as pb

NOT_EXECUTED = (ErrorCode.ELOGOFF, ErrorCode.ELIMIT, ErrorCode.EOVERCROWDED)
"""With these a server says that it has not run the request."""
OF_THE_CONNECTION = (
    ErrorCode.EFAILEDSOCKET,
    ErrorCode.EEOF,
    ErrorCode.ECONNREFUSED,
    ErrorCode.ECONNRESET,
    ErrorCode.EHOSTDOWN,
)
"""With these an attempt fails when its connection does."""


def answer_with(code: int) -> Any:
    """A script for ScriptedServer."""

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            peer.answer(request, error_code=code, error_text="says the one behind", body=b"")

    return script


@contextlib.contextmanager
def behind(what: str) -> Iterator[str]:
    """The address of a server that fails so."""
    scripts = {
        "silent": never_answer,
        "closes": close_after(1),
        "stopping": answer_with(ErrorCode.ELOGOFF),
        "full": answer_with(ErrorCode.ELIMIT),
        "unauthorized": answer_with(ErrorCode.ERPCAUTH),
    }
    if what == "down":
        with closed_port() as address:
            yield address
    else:
        with ScriptedServer(scripts[what]) as server:
            yield server.address


class Forwarding:
    """Its handlers call the server behind, and let the error out."""

    def __init__(self, address: str) -> None:
        self.runs = 0
        self._address = address

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.runs += 1
        options: dict[str, Any] = {"timeout": 1, "max_retry": 0}
        with pybrpc.Channel(self._address, **options) as channel:
            return pybrpc.Stub(ECHO, channel).Echo(echo_request())

    async def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.runs += 1
        options: dict[str, Any] = {"timeout": 1, "max_retry": 0}
        async with pybrpc.aio.Channel(self._address, **options) as channel:
            return await pybrpc.Stub(ECHO, channel).Echo(echo_request())


@pytest.mark.parametrize("method", ["Echo", "Stream"], ids=["plain", "async"])
@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("down", "ECONNREFUSED"),
        ("silent", "ERPCTIMEDOUT"),
        ("closes", "EEOF"),
        ("stopping", "ELOGOFF"),
        ("full", "ELIMIT"),
        ("unauthorized", "ERPCAUTH"),
    ],
)
def test_nested_error_that_leaves_a_handler_is_einternal_after_one_run(
    what: str, cause: str, method: str
) -> None:
    with behind(what) as address:
        service = Forwarding(address)
        with channel_for(ECHO, service, timeout=PATIENT_S, max_retry=3) as channel:
            with pytest.raises(RpcError) as caught:
                getattr(pybrpc.Stub(ECHO, channel), method)(echo_request())
            assert (service.runs, caught.value.name) == (1, "EINTERNAL")
            assert cause in caught.value.text
            assert channel.endpoint_statistics().created == 1


class Failing:
    def __init__(self, code: int) -> None:
        self.runs = 0
        self._code = code

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.runs += 1
        controller.set_failed(self._code, "says the handler")
        return pb.EchoResponse(message="")

    Stream = Echo


def runs_and_code(code: int) -> tuple[int, int]:
    """How often a handler that fails with this code runs for one call, and what the call hears."""
    service = Failing(code)
    policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=0.001, max_s=0.001))
    with channel_for(ECHO, service, timeout=PATIENT_S, max_retry=3, retry_policy=policy) as channel:
        with pytest.raises(RpcError) as caught:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
    return service.runs, caught.value.code


@pytest.mark.parametrize("code", OF_THE_CONNECTION)
def test_answer_with_a_code_of_a_failed_connection_is_not_retried(code: ErrorCode) -> None:
    assert runs_and_code(code) == (1, code)


@pytest.mark.parametrize("code", NOT_EXECUTED)
def test_answer_that_says_the_request_was_not_run_may_be_retried(code: ErrorCode) -> None:
    runs, found = runs_and_code(code)
    assert 1 <= runs <= 4
    assert found == code
