"""A whole server connection, plain or on a port for TLS too: every request that the bytes hold is
answered once, in sense, and after the end nothing is left of it."""

from __future__ import annotations

import functools
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from fuzz.references.frames import Fields, frames_of, header
from fuzz.wire import Wire, nothing_raised
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.lifecycle.running_server import RunningServer
from pybrpc.server.settings import ServerSettings
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.tls.server_tls import ServerTls, ServerTlsContexts
from tests.protos import conformance_pb2 as pb

LIMITS = (100_000, 600, 64)
_PLAIN, _TLS_TOO = 0, 1
_HANDSHAKE = b"\x16"
_ALL = 1 << 30


class Echo:
    """Gives back all that it can; text that is no UTF-8 it can't."""

    def Echo(self, request: Any, controller: Controller) -> Any:
        try:
            return self._echo(request, controller)
        except UnicodeDecodeError as error:
            controller.set_failed(2001, str(error))
            return None

    Stream = Echo

    def _echo(self, request: Any, controller: Controller) -> Any:
        controller.response_attachment = controller.request_attachment
        controller.response_user_fields.update(controller.request_user_fields)
        controller.response_compress_type = controller.request_compress_type
        controller.response_checksum_type = controller.request_checksum_type
        if request.fail_code:
            controller.set_failed(request.fail_code, request.fail_text)
        return pb.EchoResponse(message=request.message, request_id=controller.request_id)


class InlineRun(RunningServer):
    """Runs handlers at once, in the turn, so that an input decides all that happens."""

    def start_calls(self, calls: list[ServerCall]) -> None:
        batch = ResponseBatch()
        for call in calls:
            call.run(batch)
        batch.flush()


def check(data: bytes) -> None:
    given = Parameters(data)
    tls, limit, plan = given.one_of((_PLAIN, _TLS_TOO)), given.one_of(LIMITS), given.number()
    stream = given.rest()
    dispatcher = StepDispatcher()
    run = _new_run(dispatcher, limit, bool(tls))
    try:
        with nothing_raised(dispatcher), Wire(dispatcher) as wire:
            run._on_accepted(wire.theirs)
            for piece in pieces_of(stream, plan):
                wire.send(piece)
            wire.end()
    finally:
        run.acceptor.abandon()
        run.pool.close()
    assert not run.connections
    assert not run.running
    if not (tls and stream.startswith(_HANDSHAKE)):
        _check_answers(bytes(wire.received), _asked(stream, limit))


def _new_run(dispatcher: StepDispatcher, limit: int, has_tls: bool) -> InlineRun:
    registry = ServiceRegistry()
    registry.add(pb.DESCRIPTOR.services_by_name["EchoService"], Echo())
    settings = ServerSettings(
        max_connections=1, limits=ParseLimits(limit), tls=_tls() if has_tls else None
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return InlineRun(listener, registry, settings, dispatcher, Runtime(), None)


@functools.cache
def _tls() -> ServerTlsContexts:
    """Without a certificate, so a handshake is heard, and refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return ServerTlsContexts(ServerTls(context=context, allow_plaintext=True))


def _asked(stream: bytes, limit: int) -> list[Fields]:
    """The requests to answer: all before the first response, which a server refuses."""
    asked: list[Fields] = []
    for message in frames_of(stream, limit).messages:
        if not message.get("asks", message["kind"] == "request"):
            break
        asked.append(message)
    return asked


def _check_answers(received: bytes, asked: list[Fields]) -> None:
    answers = frames_of(received, _ALL)
    assert not answers.is_broken
    assert not answers.waiting_bytes
    assert {answer["kind"] for answer in answers.messages} <= {"response"}
    wanted = Counter(message["id"] for message in asked)
    assert Counter(answer["id"] for answer in answers.messages) == wanted
    by_id = {message["id"]: message for message in asked}
    for answer in answers.messages:
        code, text = answer["error"]
        if code:
            assert text
        elif wanted[answer["id"]] == 1:
            assert answer["attachment"] == by_id[answer["id"]]["attachment"]
            assert answer["user_fields"] == by_id[answer["id"]]["user_fields"]


def seeds() -> Iterator[bytes]:
    streams = vectors.recorded("client")
    for plan, stream in enumerate(streams):
        yield bytes([_PLAIN, 0, plan]) + stream
    requests = [stream for stream in streams if stream.startswith(b"PRPC")]
    yield bytes([_TLS_TOO, 1, 3]) + requests[0]
    yield bytes([_PLAIN, 0, 9]) + b"".join(requests[:5])
    yield bytes([_PLAIN, 2, BYTEWISE]) + requests[0]
    yield bytes([_PLAIN, 0, WHOLE]) + requests[0] + vectors.recorded("server")[0]
    fields = RpcRequest(5, "conformance.EchoService", "Echo", user_fields={"key": "value"})
    yield bytes([_PLAIN, 0, 4]) + header(encode_request_meta(fields, 2), b"\x0a\x02hiat")
    yield bytes([_PLAIN, 0, 4]) + header(encode_request_meta(fields, 9), b"") + requests[0]
    hello = _client_hello()
    yield bytes([_TLS_TOO, 0, WHOLE]) + hello
    yield bytes([_TLS_TOO, 0, 7]) + hello[:5] + requests[0]


def _client_hello() -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a client that needs no answer")


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"PRPC", b"\x16\x03\x01", b"\x0a\x18conformance.EchoService", b"\x12\x04Echo"),
    max_bytes=2500,
)
