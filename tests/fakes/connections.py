"""Fakes around a client Call: connections and timers; and a Call that notes how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.retry import RetryPauses
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method, methods_of
from pybrpc.rpc.timeout_queue import TimeoutQueue, TimeoutQueues
from pybrpc.testing.step_dispatcher import FakeClock, StepDispatcher
from pybrpc.transport.writing.write_request import Progress, WriteRequest
from tests.fakes.client_socket import PEER, FakeSocket
from tests.protos import conformance_pb2 as pb

ECHO = next(methods_of(pb.DESCRIPTOR.services_by_name["EchoService"]))
IDEMPOTENT_ECHO = Method(
    ECHO.service_name, ECHO.name, ECHO.request_type, ECHO.response_type, is_idempotent=True
)
OnSend = Callable[["FakeConnection", Attempt], None]


class OddMethod:
    """The method Echo, whose parser raises something."""

    is_idempotent = False
    service_name, name, full_name = ECHO.service_name, ECHO.name, ECHO.full_name

    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind

    def serialize(self, request: Any, controller: Any) -> Any:
        return ECHO.serialize(request, controller)

    def parse(self, response: Any, max_body_size: int) -> Any:
        raise self._kind("in a parser")

    def fill(self, controller: Any, response: Any) -> None:
        pass


class FakeQueue(TimeoutQueue):
    """A queue for all timeouts, which never expires one. Entries are calls and hedges."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def add(self, entry: Any) -> None:
        if entry not in self.entries:
            self.entries.append(entry)

    def discard(self, entry: Any) -> bool:
        if entry not in self.entries:
            return False
        self.entries.remove(entry)
        return True


class FakeTimeouts(TimeoutQueues):
    def __init__(self) -> None:
        super().__init__(None)
        self.queue = FakeQueue()
        self.entries = self.queue.entries

    @property
    def calls(self) -> list[Any]:
        return [entry for entry in self.entries if isinstance(entry, Call)]

    def of(self, timeout_s: float) -> TimeoutQueue:
        return self.queue


def written_request() -> WriteRequest:
    request = WriteRequest(IOBuf())
    request.progress = Progress.WRITTEN
    return request


class FakeConnection:
    """A connection that numbers attempts, and its own source.

    `on_send` has a function for each send, called before the attempt is pending.
    """

    endpoint = PEER
    name = str(PEER)
    direct = live = pool = call_times = None
    gives_own_connections = False

    def __init__(self, *on_send: OnSend, clock: FakeClock | None = None) -> None:
        self.socket = FakeSocket(is_connected=True)
        self.timeouts = FakeTimeouts()
        self.dispatcher = StepDispatcher(clock=clock)
        self.pauses = RetryPauses()
        self.pending: dict[int, Attempt] = {}
        self.requests: list[WriteRequest] = []
        self.sent = 0
        self.given_back = 0
        self._on_send = on_send

    # --- as a source ---

    def get(self, call: Call) -> Any:
        return self

    def pause(self, call: Call, pause_s: float) -> None:
        self.pauses.begin(call, self.dispatcher, pause_s)

    def connection_for_backup(self, call: Any, used: Any) -> Any:
        return self

    def may_retry_elsewhere(self, call: Any, error: RpcError) -> bool:
        return False

    def take_retry(self, error: RpcError) -> bool:
        return True

    # --- as a connection ---

    def send(self, attempt: Attempt) -> None:
        number = self.sent = self.sent + 1
        attempt.write_request = written_request()
        self.requests.append(attempt.write_request)
        attempt.correlation_id = number
        if number <= len(self._on_send):
            self._on_send[number - 1](self, attempt)
        self.pending[number] = attempt

    def release(self) -> None:
        self.given_back += 1

    def take(self, attempt: Attempt) -> bool:
        return self.take_number(attempt.correlation_id) is not None

    def take_number(self, number: int) -> Attempt | None:
        return self.pending.pop(number, None)

    # --- what the peer does ---

    def answer(self, response: RpcResponse | None = None, number: int = 0) -> RpcResponse:
        """Answer attempt `number`, or the one that was sent last."""
        attempt = self.take_number(number or max(self.pending))
        response = response or RpcResponse(number)
        if attempt is not None:
            attempt.call.on_response(attempt, response)
        return response

    def answer_error(self, code: int, number: int = 0, response: RpcResponse | None = None) -> None:
        """`response`: what the caller gets beside the error."""
        attempt = self.take_number(number or max(self.pending))
        if attempt is not None:
            error = make_rpc_error(code, "no", phase=Phase.SERVER)
            attempt.call.on_error_response(attempt, error, response)

    def break_down(self, code: int = ErrorCode.EEOF, number: int = 0) -> None:
        attempt = self.take_number(number or max(self.pending))
        if attempt is not None:
            error = make_rpc_error(code, "broken", phase=Phase.WAITING)
            attempt.call.on_attempt_failed(attempt, error)


class FakeCall(Call):
    __slots__ = ("__weakref__", "ends")

    def on_done(self) -> None:
        if self.controller is not None:
            self.fill_controller(self.controller)
        self.ends.append(self.error or self.response)  # type: ignore[has-type]


def make_call(
    source: Any,
    timeout_s: float | None = 5,
    controller: Controller | None = None,
    kind: type[FakeCall] = FakeCall,
    method: Method = ECHO,
    **options: Any,
) -> FakeCall:
    request = pb.EchoRequest(message="x")
    call = kind()
    call.set_up(source, method, request, timeout_s, CallOptions(**options), controller)
    call.ends = []
    return call


def start(source: Any, *arguments: Any, **options: Any) -> FakeCall:
    call = make_call(source, *arguments, **options)
    call.start()
    return call


def raise_error(code: int) -> OnSend:
    def on_send(connection: FakeConnection, attempt: Attempt) -> None:
        raise make_rpc_error(code, "refused", phase=Phase.WAITING)

    return on_send


def nothing(connection: FakeConnection, attempt: Attempt) -> None:
    pass


ANSWER = pb.EchoResponse(message="y")


class FakeSource(FakeConnection):
    """A connection that counts callers that need polling, and connections it took back."""

    def __init__(self, *on_send: OnSend) -> None:
        super().__init__(*on_send)
        self.attended = self.taken_back = 0
        self.dispatcher.require_polling = self._require_polling  # type: ignore[method-assign]
        self.dispatcher.release_polling = self._release_polling  # type: ignore[method-assign]

    def _require_polling(self) -> None:
        self.attended += 1

    def _release_polling(self) -> None:
        self.attended -= 1

    def reclaim(self, call: Any) -> None:
        self.taken_back += 1

    def answer_well(self) -> None:
        self.answer(RpcResponse(1, body=ANSWER.SerializeToString()))

    def run_completions(self) -> None:
        self.dispatcher.run_until_idle()
