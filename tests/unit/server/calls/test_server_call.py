"""ServerCall: one request from its parsing to its response, on a fake connection."""

from __future__ import annotations

import asyncio
import contextvars
import gzip
import time
from collections.abc import Awaitable, Generator
from typing import Any, cast

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import BadResponseError, ErrorCode, OvercrowdedError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.serving import HandlerThread
from pybrpc.server.calls.invoker import Invoker
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall, held_bytes, new_server_call
from pybrpc.server.calls.service_registry import ServiceRegistry
from tests.peers.raw_peer import SERVICE, EchoResponse, request, text_of
from tests.peers.serving import EchoService, Handler, echo

PEER = Endpoint("10.0.0.1", 7)

pytestmark = pytest.mark.python_only


class FakeConnection:
    """With its socket, its unanswered, its backlog and its server in one."""

    remote_side = local_side = PEER
    peer = str(PEER)
    identity = "[10.0.0.2:8000]"
    state = "open"
    auth_context = tls = replies = None
    protocol: Any = BAIDU_STD
    max_body_size = 1000

    def __init__(self) -> None:
        self.socket = self.unanswered = self.backlog = self
        self.process = None
        self.is_overcrowded = self.is_over_hard_limit = self.gone = False
        self.corrected: list[int] = []
        self.ended: list[ServerCall] = []
        self.written: list[bytes] = []

    def is_gone(self) -> bool:
        return self.gone

    is_canceled = is_gone

    def exceeds_hard_limit(self, size: int) -> bool:
        return self.is_over_hard_limit

    def correct(self, size: int) -> None:
        self.corrected.append(size)

    def end(self, calls: list[ServerCall], data: IOBuf | None = None) -> None:
        self.ended += calls
        if data is not None:
            self.written.append(bytes(data))

    def answer(self) -> RpcResponse:
        (data,) = self.written
        answer = BAIDU_STD.parse(IOBuf(data), ParseLimits())
        assert isinstance(answer, RpcResponse)
        return answer


def call_of(handler: Handler, connection: FakeConnection, **fields: Any) -> ServerCall:
    registry = ServiceRegistry()
    registry.add(SERVICE, EchoService(handler))
    entry = registry.entry_named(f"{SERVICE.full_name}.Echo")
    return new_server_call(cast(Any, connection), request(7, **fields), entry, time.monotonic())


def run(handler: Handler, connection: FakeConnection, **fields: Any) -> RpcResponse:
    """Run a call as a worker does. Returns the response."""
    response_batch = ResponseBatch()
    call = call_of(handler, connection, **fields)
    new_invoker().run(call, response_batch, HandlerThread())
    response_batch.flush()
    assert connection.ended == [call]
    answer = connection.answer()
    assert (call.error_code, call.sent_bytes) == (answer.error_code, len(connection.written[0]))
    return answer


def new_invoker() -> Invoker:
    return Invoker(contextvars.copy_context(), ServerCall.end)


def failure(answer: RpcResponse) -> tuple[int, str]:
    return answer.error_code, answer.error_text


def test_request_is_answered() -> None:
    answer = run(echo, FakeConnection())
    assert (answer.correlation_id, text_of(answer)) == (7, "hello")


def test_call_ends_unanswered_when_its_peer_is_gone() -> None:
    connection, ran = FakeConnection(), []
    connection.gone = True
    call = call_of(lambda request, controller: ran.append(request), connection)
    new_invoker().run(call, ResponseBatch(), HandlerThread())
    assert (ran, connection.written) == ([], [])
    assert (connection.ended, call.error_code) == ([call], NO_ANSWER)


def test_compressed_request_counts_as_what_it_became() -> None:
    connection = FakeConnection()
    message = "hello" * 100
    body = gzip.compress(EchoResponse(message=message).SerializeToString())
    before = held_bytes(request(7, body=body))
    answer = run(echo, connection, body=body, compress_type=CompressType.GZIP)
    assert text_of(answer) == message
    (grown,) = connection.corrected
    assert grown > len(message) > before - 2048
    assert connection.ended[0].size_bytes == before + grown


def test_compressed_request_fails_when_too_much_is_unanswered() -> None:
    connection = FakeConnection()
    connection.is_over_hard_limit = True
    body = gzip.compress(b"")
    code, text = failure(run(echo, connection, body=body, compress_type=CompressType.GZIP))
    assert code == ErrorCode.EOVERCROWDED
    assert "too many requests are unanswered to decompress one more" in text


def test_request_fails_when_its_peer_does_not_read_responses() -> None:
    connection = FakeConnection()
    connection.is_overcrowded = True
    code, text = failure(run(echo, connection))
    assert code == ErrorCode.EOVERCROWDED
    assert f"Connection to {PEER} is overcrowded" in text


def test_response_is_dropped_when_the_backlog_has_exceeded_its_hard_limit() -> None:
    connection = FakeConnection()

    def handle(request: Any, controller: Any) -> Any:
        connection.is_overcrowded = connection.is_over_hard_limit = True
        return EchoResponse(message=request.message)

    code, text = failure(run(handle, connection))
    assert code == ErrorCode.EOVERCROWDED
    assert "An answer of" in text


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (ValueError("odd"), ErrorCode.EINTERNAL, "ValueError: odd"),
        (SystemExit(), ErrorCode.EINTERNAL, "SystemExit"),
        (OvercrowdedError("no room"), ErrorCode.EOVERCROWDED, "no room"),
    ],
)
def test_error_of_a_handler_is_the_response(
    raised: BaseException, code: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(request: Any, controller: Any) -> Any:
        raise raised

    found = failure(run(handle, FakeConnection()))
    assert (found[0], found[1].endswith(text)) == (code, True)
    assert ("the handler of" in caplog.text) == (code == ErrorCode.EINTERNAL)


def test_error_without_text_is_answered_with_its_name() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    def handle(request: Any, controller: Any) -> Any:
        raise Mute

    assert failure(run(handle, FakeConnection()))[1].endswith("Mute")


class ShyProtocol:
    """A protocol that fails at its first answer."""

    def __init__(self, error: Exception) -> None:
        self.errors = [error]

    def pack_response(self, response: RpcResponse) -> IOBuf:
        if self.errors:
            raise self.errors.pop()
        return BAIDU_STD.pack_response(response)

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        return self.pack_response(RpcResponse(correlation_id, body=body))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadResponseError("can't be packed"), ErrorCode.ERESPONSE),
        (ZeroDivisionError("a defect"), ErrorCode.EINTERNAL),
    ],
)
def test_response_that_can_not_be_packed_becomes_an_error_and_is_logged(
    error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    connection = FakeConnection()
    connection.protocol = ShyProtocol(error)
    found = failure(run(echo, connection))
    assert found[0] == code
    assert found[1].endswith(str(error.args[0]).rpartition(": ")[2])
    (record,) = caplog.records
    assert record.name == "pybrpc.server"
    assert "conformance.EchoService.Echo" in record.getMessage()


def test_failure_that_can_not_be_packed_is_sent_without_user_fields() -> None:
    def handle(request: Any, controller: Any) -> Any:
        controller.response_user_fields["key"] = "value"
        controller.set_failed(1003, "no")

    connection = FakeConnection()
    connection.protocol = ShyProtocol(BadResponseError("user fields don't fit"))
    answer = run(handle, connection)
    assert answer.error_code == ErrorCode.ERESPONSE
    assert "user fields don't fit" in answer.error_text
    assert not answer.user_fields


def test_coroutine_of_a_plain_handler_is_closed_and_refused(recwarn: Any) -> None:
    async def forgotten() -> None:
        """Never awaited."""

    hidden = [forgotten]  # what a server can see, it refuses when the service is added
    answer = run(lambda request, controller: hidden[0](), FakeConnection())
    assert answer.error_code
    assert len(recwarn) == 0


class Later(Awaitable[Any]):
    """An awaitable that is no coroutine."""

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return "later"


async def async_echo(request: Any, controller: Any) -> Any:
    return request.message


@pytest.mark.parametrize(
    ("handler", "value"), [(async_echo, "hello"), (lambda request, controller: Later(), "later")]
)
def test_awaitable_of_an_async_handler_is_awaited(handler: Handler, value: str) -> None:
    async def main() -> Any:
        call = call_of(handler, FakeConnection())
        return await new_invoker().call_handler(call, call.make_controller())

    assert asyncio.run(main()) == value


def test_controller_has_the_fields_of_the_call_and_its_peer() -> None:
    call = call_of(echo, FakeConnection(), log_id=3, timeout_ms=500, request_id="an id")
    controller = call.make_controller()
    assert (controller.log_id, controller.timeout_ms, controller.request_id) == (3, 500, "an id")
    assert (controller.remote_side, controller.local_side) == (PEER, PEER)
    assert controller.method_name == f"{SERVICE.full_name}.Echo"
    assert controller.deadline == call.deadline == call.received_at + 0.5


def test_call_describes_itself() -> None:
    call = call_of(echo, FakeConnection())
    assert repr(call).startswith(f"<ServerCall {SERVICE.full_name}.Echo for ")
    found = call.unfinished()
    assert (found.method, found.peer, found.connection) == (
        f"{SERVICE.full_name}.Echo",
        str(PEER),
        "open",
    )


class Untruthful:
    """An object that is neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("no truth")


def test_error_code_that_cannot_be_tested_is_answered_with_an_error() -> None:
    def handler(request: Any, controller: Any) -> EchoResponse:
        controller.error_code = Untruthful()
        return EchoResponse()

    answer = run(handler, FakeConnection())
    assert failure(answer) == (2001, "[10.0.0.2:8000][E2001]ValueError: no truth")
