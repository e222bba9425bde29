"""Invoker: the context of each call, its deadline, its nested calls, and handlers that raise."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from pybrpc.errors import ErrorCode, LimitReachedError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc import serving
from pybrpc.rpc.serving import current_call, forget_handler_thread, handler_thread
from pybrpc.server.calls.invoker import Invoker
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.calls.server_call import (
    LONG_BODY_BYTES,
    NO_ANSWER,
    ServerCall,
    new_server_call,
)
from pybrpc.server.calls.service_registry import ServiceRegistry
from tests.peers.raw_peer import SERVICE, EchoResponse, request
from tests.peers.serving import EchoService, Handler, as_async, echo

pytestmark = pytest.mark.python_only

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    forget_handler_thread()


class FakeConnection:
    """A connection with its socket, its backlog and its `unanswered` in one."""

    remote_side = local_side = auth_context = tls = replies = None
    peer, identity, state = "10.0.0.1:7", "[here]", "open"
    protocol: Any = BAIDU_STD
    max_body_size = 1 << 30
    is_overcrowded = gone = False

    def __init__(self) -> None:
        self.socket = self.unanswered = self.backlog = self
        self.ended: list[ServerCall] = []
        self.answers: list[RpcResponse] = []

    def is_gone(self) -> bool:
        return self.gone

    is_canceled = is_gone

    def exceeds_hard_limit(self, size: int) -> bool:
        return False

    def correct(self, size: int) -> None: ...

    def end(self, calls: list[ServerCall], data: IOBuf | None = None) -> None:
        self.ended += calls
        while data:
            answer = BAIDU_STD.parse(data, ParseLimits())
            assert isinstance(answer, RpcResponse)
            self.answers.append(answer)


class Served:
    """An Invoker whose context has the variable set, a connection, and a method."""

    def __init__(self, handler: Handler) -> None:
        registry = ServiceRegistry()
        registry.add(SERVICE, EchoService(handler))
        self.entry = registry.entry_named(f"{SERVICE.full_name}.Echo")
        self.connection = FakeConnection()
        self.started: list[ServerCall] = []
        context = contextvars.copy_context()
        context.run(variable.set, "the server's")
        self.invoker = Invoker(context, self.started.append)

    def call(self, received_at: float | None = None, **fields: Any) -> ServerCall:
        message = request(len(self.connection.ended), **fields)
        read_at = time.monotonic() if received_at is None else received_at
        return new_server_call(cast(Any, self.connection), message, self.entry, read_at)

    def run_call(self, call: ServerCall, batch: ResponseBatch) -> None:
        self.invoker.run(call, batch, handler_thread())

    def run(self, **fields: Any) -> RpcResponse | None:
        """Run one call as a worker does."""
        batch = ResponseBatch()
        self.run_call(self.call(**fields), batch)
        batch.flush()
        return self.connection.answers[-1] if self.connection.answers else None


def tell_and_set(request: Any, controller: Any) -> Any:
    found = variable.get()
    variable.set(request.message)
    return EchoResponse(message=found)


def message_of(answer: RpcResponse | None) -> str:
    assert answer is not None
    assert answer.error_code == 0
    message: str = EchoResponse.FromString(bytes(answer.body)).message
    return message


def test_handler_sees_the_context_of_the_server_and_nothing_of_other_calls() -> None:
    served = Served(tell_and_set)
    token = variable.set("the thread's")
    try:
        seen = [message_of(served.run(message=f"call {number}")) for number in range(3)]
        assert seen == ["the server's"] * 3
        assert variable.get() == "the thread's"
    finally:
        variable.reset(token)


def test_contexts_of_calls_in_several_threads_are_separate() -> None:
    served, seen = Served(tell_and_set), []

    def run_many() -> None:
        invoker = served.invoker
        for number in range(200):
            context = invoker.new_context()
            seen.append(context.run(variable.get))
            context.run(variable.set, f"{number}")

    threads = [threading.Thread(target=run_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["the server's"] * 800


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_handler_that_raises_no_exception_class_is_answered(error: type[BaseException]) -> None:
    def handle(request: Any, controller: Any) -> Any:
        raise error

    served = Served(handle)
    answer = served.run()
    assert answer is not None
    assert answer.error_code == ErrorCode.EINTERNAL
    assert len(served.connection.ended) == 1


class BrokenProtocol:
    """Packs the last of a number of answers only."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def pack_response(self, response: RpcResponse) -> IOBuf:
        self.failures -= 1
        if self.failures >= 0:
            raise MemoryError
        return BAIDU_STD.pack_response(response)

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        return self.pack_response(RpcResponse(correlation_id, body=body))


@pytest.mark.parametrize(("failures", "answered"), [(1, True), (2, True), (3, True), (9, False)])
def test_call_ends_however_often_its_response_can_not_be_packed(
    failures: int, answered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served(echo)
    served.connection.protocol = BrokenProtocol(failures)
    answer = served.run()
    assert len(served.connection.ended) == 1
    if answered:
        assert answer is not None
        assert answer.error_code == ErrorCode.EINTERNAL
    else:
        assert answer is None
        assert "can't be run" in caplog.text


def test_call_of_a_connection_that_is_gone_ends_unrun() -> None:
    ran: list[Any] = []
    served = Served(lambda request, controller: ran.append(request))
    served.connection.gone = True
    assert served.run() is None
    assert ran == []
    assert [call.error_code for call in served.connection.ended] == [NO_ANSWER]


def test_refused_call_is_answered_with_the_error() -> None:
    served = Served(echo)
    served.invoker.refuse(served.call(), LimitReachedError("no room"))
    (answer,) = served.connection.answers
    assert (answer.error_code, answer.error_text) == (ErrorCode.ELIMIT, "[here][E2004]no room")
    assert len(served.connection.ended) == 1


def test_refused_call_ends_although_it_can_not_be_answered() -> None:
    served = Served(echo)
    served.connection.protocol = BrokenProtocol(9)
    served.invoker.refuse(served.call(), LimitReachedError("no room"))
    assert served.connection.answers == []
    assert len(served.connection.ended) == 1


def test_async_call_is_only_parsed_in_a_worker() -> None:
    ran: list[str] = []
    served = Served(as_async(lambda request, controller: ran.append(request.message)))
    assert served.run(message="hello") is None
    (call,) = served.started
    assert ran == []
    assert call.message is not None
    message = call.parse()
    assert (message, call.message) == (type(message)(message="hello"), None)


def test_async_call_that_does_not_parse_is_answered_by_the_worker() -> None:
    served = Served(as_async(echo))
    answer = served.run(body=b"\xff")
    assert answer is not None
    assert answer.error_code == ErrorCode.EREQUEST
    assert served.started == []


@pytest.mark.parametrize(
    ("fields", "is_long"),
    [
        ({"body": b""}, False),
        ({"body": bytes(LONG_BODY_BYTES - 1)}, False),
        ({"body": bytes(LONG_BODY_BYTES)}, True),
        ({"body": b"x", "compress_type": 2}, True),
        ({"body": b"x", "checksum_type": 1}, False),
        ({"body": b"x", "attachment": IOBuf(bytes(LONG_BODY_BYTES))}, False),
        ({"body": b"x", "attachment": IOBuf(bytes(LONG_BODY_BYTES)), "checksum_type": 1}, True),
    ],
)
def test_bodies_that_take_long_to_parse_are_known(fields: dict[str, Any], is_long: bool) -> None:
    assert Served(echo).call(**fields).parses_long() == is_long


# --- deadlines ---


@pytest.mark.parametrize(
    ("timeout_ms", "age_s", "drop_expired", "runs"),
    [
        (60_000, 0.0, True, True),
        (50, 0.06, True, False),
        (50, 0.06, False, True),
        (None, 1e6, True, True),
        (0, 1e6, True, True),
        (-1, 1e6, True, True),
        (2**31 - 1, 1.0, True, True),
    ],
)
def test_call_whose_deadline_has_passed_before_its_turn_is_answered_without_running(
    timeout_ms: int | None, age_s: float, drop_expired: bool, runs: bool
) -> None:
    ran: list[str] = []

    def handle(request: Any, controller: Any) -> Any:
        ran.append(request.message)
        return EchoResponse(message="")

    served = Served(handle)
    served.entry.drop_expired = drop_expired
    answer = served.run(received_at=time.monotonic() - age_s, timeout_ms=timeout_ms)
    assert answer is not None
    assert (len(ran), served.invoker.expired.get()) == (runs, not runs)
    if not runs:
        assert answer.error_code == ErrorCode.ERPCTIMEDOUT
        assert answer.error_text.startswith(
            "[here][E1008]The deadline of the request passed before its turn, which came after "
        )
    assert len(served.connection.ended) == 1


def test_async_call_that_waits_for_a_parser_until_its_deadline_is_not_parsed() -> None:
    served = Served(as_async(echo))
    answer = served.run(received_at=time.monotonic() - 1, timeout_ms=10, body=b"\xff")
    assert answer is not None
    assert answer.error_code == ErrorCode.ERPCTIMEDOUT
    assert served.started == []


# --- nested calls ---


def test_plain_handler_serves_its_call_until_it_ends() -> None:
    seen: list[Any] = []

    def handle(request: Any, controller: Any) -> Any:
        found = current_call()
        assert found is not None
        seen.append((found, found.is_over, found.deadline))
        if request.message == "fail":
            raise ValueError
        return EchoResponse(message="")

    served = Served(handle)
    for message in ("answer", "fail"):
        call = served.call(message=message, timeout_ms=60_000)
        batch = ResponseBatch()
        served.run_call(call, batch)
        batch.flush()
        found, was_over, deadline = seen.pop()
        assert (found, was_over, deadline) == (call.served, False, call.deadline)
        assert found.is_over
        assert current_call() is None
        assert handler_thread().served is None


def test_handlers_of_a_server_that_a_handler_has_started_serve_their_own_calls() -> None:
    outer, seen = serving.new_served_call(100.0), []
    context = contextvars.copy_context()
    context.run(serving.set_current_call, outer)
    served = context.run(Served, lambda request, controller: seen.append(current_call()))
    call = served.call()
    served.run_call(call, ResponseBatch())
    assert seen == [call.served]


def test_connection_that_fails_before_the_turn_of_a_call_keeps_it_from_running() -> None:
    """And one that fails later finds what the call serves: that is stored first."""
    served = Served(echo)
    call = served.call()
    found: list[bool] = []

    def is_gone() -> bool:
        found.append(call.served is not None)
        return True

    served.connection.is_gone = is_gone  # type: ignore[method-assign]
    served.run_call(call, ResponseBatch())
    assert found == [True]
    assert served.connection.ended == [call]
