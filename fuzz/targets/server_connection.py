"""A whole server connection, plain or on a port for TLS too: every request that the bytes hold is
answered once, in sense, and after the end nothing is left of it."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from fuzz.references.frames import Fields, frames_of, header, without_streams
from fuzz.wire import Wire, nothing_raised
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA, FEEDBACK, RST
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.serving import HandlerThread
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.server.calls.interfaces import CallConnection
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.lifecycle.hooks import LifecycleHooks
from pybrpc.server.lifecycle.running_server import RunningServer
from pybrpc.server.settings import ServerSettings
from pybrpc.streams.core import StreamCore
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.runtime import Runtime, default_runtime
from pybrpc.transport.tls.server_tls import ServerTls, ServerTlsContexts
from tests.protos import conformance_pb2 as pb

LIMITS = (100_000, 600, 64)
OPTIONS = StreamOptions(max_unread_bytes=1000, max_message_size=500)
_PLAIN, _TLS_TOO = 0, 1
_HANDSHAKE = b"\x16"
_ALL = 1 << 30


class Echo:
    """Gives back all that it can; text that is no UTF-8 it can't."""

    def __init__(self) -> None:
        self.streams: list[Any] = []
        """Those that were accepted."""

    def Echo(self, request: Any, controller: Controller) -> Any:
        try:
            return self._echo(request, controller)
        except UnicodeDecodeError as error:
            controller.set_failed(2001, str(error))
            return None

    def Stream(self, request: Any, controller: Controller) -> Any:
        """Accepts what is asked for, and takes messages in turns of the reader alone."""
        with contextlib.suppress(RuntimeError):
            self.streams += controller.accept_streams(OPTIONS)
        return self.Echo(request, controller)

    def _echo(self, request: Any, controller: Controller) -> Any:
        controller.response_attachment = controller.request_attachment
        controller.response_user_fields.update(controller.request_user_fields)
        controller.response_compress_type = controller.request_compress_type
        controller.response_checksum_type = controller.request_checksum_type
        if request.fail_code:
            text = request.fail_text  # protobuf gives bytes, if they are no UTF-8 (proto2)
            controller.set_failed(
                request.fail_code, text if isinstance(text, str) else text.decode("utf-8")
            )
        return pb.EchoResponse(message=request.message, request_id=controller.request_id)


class InlineRun(RunningServer):
    """Runs handlers at once, in the turn, so that an input decides all that happens."""

    def start_calls(self, connection: CallConnection, calls: list[ServerCall]) -> None:
        batch, thread = ResponseBatch(), HandlerThread()
        for call in calls:
            self.invoker.run(call, batch, thread)
        batch.flush()


def check(data: bytes) -> None:
    given = Parameters(data)
    tls, limit, plan = given.one_of((_PLAIN, _TLS_TOO)), given.one_of(LIMITS), given.number()
    stream = given.rest()
    dispatcher = StepDispatcher()
    echo = Echo()
    run = _new_run(dispatcher, limit, bool(tls), echo)
    budget = default_runtime().stream_budget
    try:
        with nothing_raised(dispatcher), Wire(dispatcher) as wire:
            run._on_accepted(wire.theirs)
            for piece in pieces_of(stream, plan):
                wire.send(piece)
                for each in echo.streams:
                    _check_stream(each._core)
            wire.end()
            _check_ended(echo.streams)
            assert budget.held_bytes == 0
    finally:
        for each in echo.streams:
            each.reset()
        run.acceptor.abandon()
        run.pool.close()
    assert not run.connections
    assert not run.admission.running
    if not (tls and stream.startswith(_HANDSHAKE)):
        _check_answers(bytes(wire.received), _asked(stream, limit))


def _check_stream(core: StreamCore) -> None:
    assert 0 <= core.held_bytes <= OPTIONS.max_unread_bytes
    assert 0 <= core.remote_consumed <= core.produced


def _check_ended(streams: list[Any]) -> None:
    """The connection is gone: each stream ends once what came before is taken."""
    for stream in streams:
        core = stream._core
        assert core.has_ended
        while core.take() is not None:
            pass
        assert core.is_over


def _new_run(dispatcher: StepDispatcher, limit: int, has_tls: bool, service: Echo) -> InlineRun:
    registry = ServiceRegistry(drop_expired=False)
    registry.add(pb.DESCRIPTOR.services_by_name["EchoService"], service)
    settings = ServerSettings(
        max_connections=1,
        limits=ParseLimits(limit),
        protocols=(BAIDU_STD,),
        tls=_tls() if has_tls else None,
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    runtime = Runtime()
    run = InlineRun(registry, settings, LifecycleHooks(), dispatcher, runtime, None)
    run.listen(listener, runtime)
    return run


@functools.cache
def _tls() -> ServerTlsContexts:
    """Without a certificate, so a handshake is heard, and refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return ServerTlsContexts(ServerTls(context=context, allow_plaintext=True))


def _asked(stream: bytes, limit: int) -> list[Fields]:
    """The requests to answer: all before the first response, which a server refuses."""
    asked: list[Fields] = []
    for message in without_streams(frames_of(stream, limit).messages):
        if not message.get("asks", message["kind"] == "request"):
            break
        asked.append(message)
    return asked


def _check_answers(received: bytes, asked: list[Fields]) -> None:
    answers = _unwrapped(received)
    assert {answer["kind"] for answer in answers} <= {"response"}
    wanted = Counter(message["id"] for message in asked)
    assert Counter(answer["id"] for answer in answers) == wanted
    by_id = {message["id"]: message for message in asked}
    for answer in answers:
        code, text = answer["error"]
        if code:
            assert text
        elif wanted[answer["id"]] == 1:
            assert answer["attachment"] == by_id[answer["id"]]["attachment"]
            assert answer["user_fields"] == by_id[answer["id"]]["user_fields"]


def _unwrapped(received: bytes) -> list[Fields]:
    """The answers, also those to requests that ask for streams, which come in DATA frames. The
    streams that the handler has accepted are ended, and nothing else is said of them."""
    whole = frames_of(received, _ALL, is_decided=True)
    assert not whole.is_broken
    assert not whole.waiting_bytes
    answers = without_streams(whole.messages)
    for message in whole.messages:
        if message["kind"] == "stream":
            _, _, kind, _, _, data = message["frame"]
            assert kind in (DATA, FEEDBACK, CLOSE, RST)
            if kind == DATA and data.startswith(b"PRPC"):
                answers += frames_of(data, _ALL).messages
    return answers


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
