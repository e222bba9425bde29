"""ServerCall: the life of one request, from its admission to its answer.

The dispatcher makes it; a worker runs it if the handler is a plain function, a loop if it is a
coroutine function. What goes wrong in between becomes the answer. After bRPC's
`ProcessRpcRequest` and `SendRpcResponse` (src/brpc/policy/baidu_rpc_protocol.cpp).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body import parse_request, serialize_response
from pybrpc.rpc.controller import Controller
from pybrpc.server.outbox import FLUSH_S, Outbox, write_answer

if TYPE_CHECKING:
    from pybrpc.server.server_connection import ServerConnection
    from pybrpc.server.service_registry import MethodEntry

logger = logging.getLogger("pybrpc")


class ServerCall:
    """One request that was let in. It ends with `end()`, after its answer was queued."""

    __slots__ = ("connection", "entry", "received_at", "request")

    def __init__(
        self,
        connection: ServerConnection,
        request: RpcRequest,
        entry: MethodEntry,
        received_at: float,
    ) -> None:
        self.connection = connection
        self.request = request
        self.entry = entry
        self.received_at = received_at

    def run(self, outbox: Outbox) -> None:
        """Parse, call the handler, leave the answer in `outbox`. In a worker thread."""
        entry = self.entry
        if outbox and entry.mean_s > FLUSH_S:
            outbox.flush()
        started_at = time.monotonic()
        controller = self._make_controller()
        response: object = None
        try:
            request = parse_request(self.request, entry.method.request_class)
            response = entry.handler(request, controller)
        except BaseException as error:
            # SystemExit too: a handler ends neither the worker nor the server by raising.
            self._fail(controller, error)
        data = self._pack(controller, response)
        now = time.monotonic()
        entry.note_duration(now - started_at)
        outbox.add(self, data, now)

    async def run_async(self) -> None:
        """Parse, await the handler, write the answer. A task of the loop of async handlers."""
        controller = self._make_controller()
        response: object = None
        try:
            request = parse_request(self.request, self.entry.method.request_class)
            response = await self.entry.handler(request, controller)
        except asyncio.CancelledError as error:
            self._fail(controller, error)
            self.answer(self._pack(controller, None))
            raise
        except Exception as error:
            self._fail(controller, error)
        self.answer(self._pack(controller, response))

    def answer(self, data: IOBuf) -> None:
        """Write the answer and end."""
        write_answer(self.connection.socket, data)
        self.end()

    def end(self) -> None:
        """The answer is queued, or nobody will read it."""
        self.connection.run.end_call(self)

    def _make_controller(self) -> Controller:
        request = self.request
        connection = self.connection
        controller = Controller(log_id=request.log_id, request_id=request.request_id)
        controller.method_name = self.entry.method.full_name
        controller.timeout_ms = request.timeout_ms
        controller.received_at = self.received_at
        controller.remote_side = connection.socket.remote_side
        controller.local_side = connection.socket.local_side
        controller._request_attachment = request.attachment
        controller._request_user_fields = request.user_fields
        controller._server_identity = connection.identity
        controller._is_canceled = connection.is_gone
        return controller

    def _fail(self, controller: Controller, error: BaseException) -> None:
        if isinstance(error, RpcError):
            controller.set_failed(error.code, error.text)
            return
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        controller.set_failed(ErrorCode.EINTERNAL, text)
        if not isinstance(error, asyncio.CancelledError):
            name = self.entry.method.full_name
            logger.error("the handler of %s raised", name, exc_info=error)

    def _pack(self, controller: Controller, response: object) -> IOBuf:
        """The bytes of the answer; one that can't be packed becomes the answer that says so."""
        protocol = self.connection.protocol
        if not controller.error_code:
            try:
                body = serialize_response(response, self.entry.method.response_class)
                return protocol.pack_response(
                    RpcResponse(
                        self.request.correlation_id,
                        0,
                        "",
                        body,
                        controller._response_attachment,
                        controller._response_user_fields,
                    )
                )
            except RpcError as error:
                _close_coroutine(response)
                controller.set_failed(error.code, error.text)
        self.connection.run.note_error(self)
        return protocol.pack_response(failure_of(self.request.correlation_id, controller))

    def __repr__(self) -> str:
        age_s = time.monotonic() - self.received_at
        return f"<ServerCall {self.entry.method.full_name} for {age_s:.3f} s>"


def failure_of(correlation_id: int, controller: Controller) -> RpcResponse:
    """The answer to a call that failed. Like C++ it carries user fields, but no body."""
    code = controller.error_code
    return RpcResponse(
        correlation_id,
        int(ErrorCode.EINTERNAL) if code == -1 else code,
        controller.error_text,
        user_fields=controller._response_user_fields,
    )


def _close_coroutine(response: object) -> None:
    """A plain function gave a coroutine: nobody will await it, so Python needn't warn of it."""
    close = getattr(response, "close", None)
    if close is not None and asyncio.iscoroutine(response):
        close()
