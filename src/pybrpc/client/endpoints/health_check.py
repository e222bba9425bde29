"""HealthCheck: a call that must succeed before an endpoint that was down counts as up again."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from pybrpc.base.checked_options import checked_function_or_none
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.guard import deliver_interrupt, safe_repr
from pybrpc.base.public_dir import public_dir
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.errors import Phase, RpcError, make_rpc_error
from pybrpc.rpc.method import Method, method_of
from pybrpc.rpc.serving import detached
from pybrpc.transport.dispatch.completion import run_completion

if TYPE_CHECKING:
    from pybrpc.base.endpoint import Endpoint
    from pybrpc.client.calls.attempt import AttemptConnection
    from pybrpc.client.calls.interfaces import BackedUpCall, WaitingCall
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.rpc.timeout_queue import TimeoutQueues
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

DEFAULT_CHECK_TIMEOUT_S = 0.5

OnChecked = Callable[["ClientConnection", "RpcError | None"], None]


@dataclasses.dataclass(frozen=True, eq=False)
class HealthCheck:
    """How to find out whether a server that can be reached works.

        methods = echo_pb2.DESCRIPTOR.services_by_name["EchoService"].methods_by_name
        Channel(address, health_check=HealthCheck(methods["Echo"]))

    method      descriptor of the method to call
    request     what it is called with, copied; an empty request if `None`
    timeout     seconds it may take
    is_healthy  gets the response; returns False, or raises, if the server is not healthy. Runs in
                a turn of the dispatcher and must not block. `None`: every response without an error
                passes.

    The call goes over the connection of a background dial, which then serves the other calls.
    Channels that shall share connections need the same object. After bRPC's `health_check_path`.
    """

    method: MethodDescriptor
    request: Message | None = None
    timeout: float = DEFAULT_CHECK_TIMEOUT_S
    is_healthy: Callable[[Any], bool] | None = None
    _called: Method = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not checked_timeout_s(self.timeout):
            raise ValueError(f"timeout must be more than 0 seconds, not {self.timeout!r}")
        checked_function_or_none("is_healthy", self.is_healthy, "response")
        called = method_of(self.method)
        request: Any = called.request_class()
        if self.request is not None:
            if not isinstance(self.request, called.request_class):
                raise TypeError(
                    f"request must be a {called.request_class.__name__}, not {self.request!r}"
                )
            request.CopyFrom(self.request)
        if not request.IsInitialized():
            missing = ", ".join(request.FindInitializationErrors())
            name = called.request_class.__name__
            raise ValueError(f"request must be a {name} with its required fields: give {missing}")
        object.__setattr__(self, "_called", called)
        object.__setattr__(self, "request", request)

    def __dir__(self) -> list[str]:
        return public_dir(self, frozenset({"judge", "start"}))

    def start(self, connection: ClientConnection, on_checked: OnChecked) -> None:
        """Begin a check over `connection`, which ends with `on_checked(connection, error)`."""
        with detached():
            _CheckCall(self, connection, on_checked).start()

    def judge(self, call: Call, connection: ClientConnection) -> RpcError | None:
        """The error of the check whose `call` has ended; `None` if the server is healthy."""
        try:
            response = call.message()
            if self.is_healthy is None or self.is_healthy(response):
                return None
        except BaseException as error:
            deliver_interrupt(error)
            return self._failure(connection, error)
        return self._failure(connection, None)

    def _failure(self, connection: ClientConnection, cause: BaseException | None) -> RpcError:
        peer = str(connection.socket.remote_side)
        reason = "is_healthy() found the server not healthy"
        if cause is not None:
            reason = cause.text if isinstance(cause, RpcError) else safe_repr(cause)
        text = f"Fail to check the health of {peer} with {self._called.full_name}: {reason}"
        error = make_rpc_error(errno.EHOSTDOWN, text, phase=Phase.CONNECT, peer=peer)
        error.__cause__ = cause
        return error


class _CheckCall(Call):
    """One check, which is never retried."""

    __slots__ = ("_check", "_on_checked", "_tested")

    def __init__(
        self, check: HealthCheck, connection: ClientConnection, on_checked: OnChecked
    ) -> None:
        self._check = check
        self._tested = connection
        self._on_checked = on_checked
        self.set_up(
            _OneConnection(connection),
            connection.as_sent(check._called),
            check.request,
            check.timeout,
            CallOptions(max_retry=0),
            None,
        )

    def on_done(self) -> None:
        run_completion(self.source.dispatcher, self)

    def run(self) -> None:
        """The completion of the call."""
        self._on_checked(self._tested, self._check.judge(self, self._tested))

    @property
    def description(self) -> str:
        return f"the health check of {self.peer}"


class _OneConnection:
    """A ConnectionSource of one connection, for one call, which does not count as a user's."""

    __slots__ = ("_connection",)

    call_times = None

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def endpoint(self) -> Endpoint:
        endpoint = self._connection.socket.remote_side
        assert endpoint is not None
        return endpoint

    def endpoints(self) -> Sequence[Endpoint]:
        return (self.endpoint,)

    @property
    def name(self) -> str:
        return str(self.endpoint)

    @property
    def dispatcher(self) -> EventDispatcher:
        return self.timeouts.dispatcher

    @property
    def timeouts(self) -> TimeoutQueues:
        return self._connection.timeouts

    @property
    def why_down(self) -> RpcError | None:
        return None

    gives_own_connections = False
    live = None
    pool = None

    def get(self, call: WaitingCall) -> AttemptConnection | None:
        return self._connection

    def wait(self, call: WaitingCall) -> None:
        raise AssertionError("there is always the one connection")

    def pause(self, call: WaitingCall, pause_s: float) -> None:
        raise AssertionError("it is never retried")

    def reclaim(self, call: WaitingCall) -> None:
        pass

    def connection_for_backup(
        self, call: BackedUpCall, used: AttemptConnection
    ) -> AttemptConnection | None:
        return None

    def may_retry_elsewhere(self, call: BackedUpCall, error: RpcError) -> bool:
        return False

    def take_retry(self, error: RpcError) -> bool:
        return True
