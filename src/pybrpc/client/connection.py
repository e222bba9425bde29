"""ClientConnection: the calls that wait on one socket."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from pybrpc.errors import Phase, ProtocolError, RpcError
from pybrpc.protocols.message import Message, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.transport.delivery import deliver
from pybrpc.transport.socket import Socket
from pybrpc.transport.statistics import SocketStatistics
from pybrpc.transport.write_request import WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.call import Call

_correlation_ids = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """What one connection of a client has done so far."""

    in_flight: int
    """Calls that wait for an answer now."""
    late_answers: int
    """Answers to calls that had ended already (timed out, cancelled); dropped."""
    unknown_answers: int
    """Answers with a correlation id that no call ever had; dropped."""
    socket: SocketStatistics


class ClientConnection:
    """The client's side of one Socket: sends calls, and hands answers to those who wait.

    A call waits in `_pending` from before it is written until somebody takes it out: the reader
    with its answer, the failure of the socket, its deadline, or its cancellation. Whoever takes it
    out ends it, so it ends once.
    """

    __slots__ = (
        "_late_answers",
        "_pending",
        "_protocol",
        "_unknown_answers",
        "last_id",
        "socket",
        "timeouts",
    )

    def __init__(self, socket: Socket, protocol: RpcProtocol) -> None:
        self.socket = socket
        self.timeouts = TimeoutQueues(socket.dispatcher)
        self.last_id = 0
        self._protocol = protocol
        self._pending: dict[int, Call] = {}
        self._late_answers = 0
        self._unknown_answers = 0

    @property
    def is_failed(self) -> bool:
        return self.socket.error is not None

    def close(self) -> None:
        self.socket.close()

    def send(self, call: Call) -> None:
        """Write one attempt of a call. Raises what the socket refuses; then it is not pending."""
        correlation_id = next(_correlation_ids)
        request = WriteRequest(self._protocol.pack_request(_request_of(call, correlation_id)))
        call.connection = self
        call.write_request = request
        call.correlation_id = correlation_id
        if correlation_id > self.last_id:
            self.last_id = correlation_id
        self._pending[correlation_id] = call
        try:
            self.socket.write_request(request)
        except RpcError:
            if self.take(correlation_id):
                raise

    def take(self, correlation_id: int) -> bool:
        """Take a call out; True for the one who may, and must, end it."""
        return self._pending.pop(correlation_id, None) is not None

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        for message in messages:
            call = self._pending.pop(message.correlation_id, None)
            if isinstance(message, RpcRequest) or (
                not isinstance(message, RpcResponse) and message.is_request
            ):
                self._refuse_request(socket, call)
            elif call is None:
                self._count_dropped(message.correlation_id)
            elif isinstance(message, RpcResponse):
                call.on_response(message)
            elif isinstance(message, OversizedMessage):
                self._give_up_reading(socket, call, message.reason)
            else:
                call.on_bad_response(message.reason)

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        while self._pending:
            for correlation_id in list(self._pending):
                call = self._pending.pop(correlation_id, None)
                if call is not None:
                    call.on_connection_failed(error)

    def statistics(self) -> ConnectionStatistics:
        return ConnectionStatistics(
            in_flight=len(self._pending),
            late_answers=self._late_answers,
            unknown_answers=self._unknown_answers,
            socket=self.socket.statistics(),
        )

    def __repr__(self) -> str:
        return f"<ClientConnection {len(self._pending)} calls in flight on {self.socket!r}>"

    def _refuse_request(self, socket: Socket, call: Call | None) -> None:
        error = _protocol_error(socket, f"{socket.description} sent a request to a client")
        # Failed first: who hears of it and calls again must not get this connection.
        deliveries = socket.mark_failed(error)
        if call is not None:
            call.on_connection_failed(error)
        deliver(deliveries)

    def _give_up_reading(self, socket: Socket, call: Call, reason: str) -> None:
        error = _protocol_error(socket, f"Close {socket.description}: {reason}")
        deliveries = socket.mark_failed(error)
        call.on_bad_response(reason)
        deliver(deliveries)

    def _count_dropped(self, correlation_id: int) -> None:
        if 0 < correlation_id <= self.last_id:
            self._late_answers += 1
        else:
            self._unknown_answers += 1


def _protocol_error(socket: Socket, text: str) -> ProtocolError:
    peer = str(socket.remote_side)
    return ProtocolError(text, phase=Phase.WAITING, peer=peer, is_remote=True)


def _request_of(call: Call, correlation_id: int) -> RpcRequest:
    method = call.method
    controller = call.controller
    if controller is None:
        return RpcRequest(
            correlation_id,
            method.service_name,
            method.name,
            call.body,
            timeout_ms=call.wire_timeout_ms(),
        )
    return RpcRequest(
        correlation_id,
        method.service_name,
        method.name,
        call.body,
        attachment=controller._request_attachment,
        log_id=controller.log_id,
        request_id=controller.request_id,
        timeout_ms=call.wire_timeout_ms(),
        user_fields=controller._request_user_fields,
    )
