"""Calls that open streams, in threads and in loops: what is answered, and what fails."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    AuthenticationError,
    BadRequestError,
    ErrorCode,
    LimitReachedError,
    NoMethodError,
    OvercrowdedError,
    PyBrpcError,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
    StreamResetError,
    StreamTimeoutError,
    WouldDeadlockError,
)
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.streams import (
    CLIENTS,
    THREADS,
    Accepting,
    accepting,
    client_of,
    every_pair,
    in_flight,
    opened,
    served,
    wait_until_forgotten,
    wait_until_idle,
)
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb

every_client = pytest.mark.parametrize("form", CLIENTS)


def sides_of(sides: str) -> tuple[str, str]:
    ours, _, theirs = sides.partition("-")
    return ours, theirs


# --- what is given and told ---


@every_pair
def test_call_has_response_controller_and_streams(sides: str) -> None:
    def look(streams: list[Any], controller: Any) -> None:
        seen.append((controller.log_id, bytes(controller.request_attachment)))
        controller.response_attachment.append(b"response")
        controller.response_compress_type = pybrpc.CompressType.GZIP

    seen: list[Any] = []
    ours, theirs = sides_of(sides)
    service = accepting(theirs, on_accepted=look)
    with served(service) as server, client_of(ours, server.endpoint) as client:
        controller = pybrpc.Controller()
        controller.log_id = 7
        controller.request_attachment.append(b"request")
        controller.request_compress_type = pybrpc.CompressType.ZLIB
        call = client.open(controller=controller)
        assert seen == [(7, b"request")]
        assert call.response.message == "hello"
        assert call.controller is controller
        assert bytes(controller.response_attachment) == b"response"
        assert controller.response_compress_type == pybrpc.CompressType.GZIP
        assert call.streams == [call.stream]
        call.close(WAIT_S)
        (theirs_stream,) = service.next()
        assert theirs_stream.wait_closed(WAIT_S) is None
        wait_until_forgotten(server)


@every_client
def test_call_that_is_not_open_has_no_streams(form: str) -> None:
    with served(accepting(THREADS)) as server, client_of(form, server.endpoint) as client:
        call = client.face(client.stream(streams=2))
        for name in ("stream", "streams"):
            with pytest.raises(
                RuntimeError, match=r"is not open yet: use `with`, or call open\(\)"
            ):
                getattr(call.inner, name)
        assert call.response is None
        call.reset()
        assert "not begun" in repr(call.inner)
        assert in_flight(client) == 0


@every_pair
def test_block_that_raises_resets_the_streams(sides: str) -> None:
    with opened(sides, streams=2) as pair:
        inner = pair.of_client.stream(streams=2)
        is_async = pair.of_client.loop is not None
        leave = "__aexit__" if is_async else "__exit__"
        call = pair.of_client.face(inner)
        call.open()
        kind = ZeroDivisionError
        face = pair.of_client.face(type(inner))
        getattr(face, leave)(inner, kind, kind(), None)
        assert [each.state.partition(":")[0] for each in inner.streams] == ["failed", "failed"]


def test_calls_are_used_by_with_statements() -> None:
    service = accepting(THREADS, body=list)
    with served(service) as server, client_of(THREADS, server.endpoint) as client:
        with client.stream() as call:
            call.stream.send(b"x", timeout=WAIT_S)
        assert call.stream.state == "closed"

        async def main() -> None:
            async with pybrpc.aio.Channel(str(server.endpoint), timeout=WAIT_S) as channel:
                async with pybrpc.Stub(ECHO, channel).Echo.stream(echo_request()) as call:
                    await call.stream.send(b"x", timeout=WAIT_S)
                assert call.stream.state == "closed"
                with pytest.raises(ZeroDivisionError):
                    async with pybrpc.Stub(ECHO, channel).Echo.stream(echo_request()) as call:
                        raise ZeroDivisionError
                assert isinstance(call.stream.failure, StreamResetError)

        asyncio.run(main())
        wait_until_forgotten(server)


@every_client
def test_wrong_options_are_refused(form: str) -> None:
    with served(accepting(THREADS)) as server, client_of(form, server.endpoint) as client:
        with pytest.raises(TypeError, match=r"options must be a pybrpc\.StreamOptions or None"):
            client.stream(options={"max_buf_size": 3})
        controller = pybrpc.Controller()
        controller.backup_request_ms = 10
        with pytest.raises(ValueError, match="can't have a backup request"):
            client.stream(controller=controller)


# --- the server sends first ---


@every_pair
def test_server_sends_before_it_has_answered(sides: str) -> None:
    def send_first(streams: list[Any], controller: Any) -> None:
        streams[0].send_nowait(b"first")
        assert not streams[0].is_writable()
        assert streams[0].state == "opening"

    theirs = sides_of(sides)[1]
    with opened(sides, service=accepting(theirs, on_accepted=send_first)) as pair:
        pair.server.send(b"second", timeout=WAIT_S)
        assert [pair.client.recv(WAIT_S) for _ in range(2)] == [b"first", b"second"]


@pytest.mark.parametrize("ours", CLIENTS)
def test_what_waits_for_the_answer_is_within_the_window(ours: str) -> None:
    """In the handler more would wait for the answer, which waits for the handler: an error."""
    raised: list[BaseException] = []

    def send_first(streams: list[Any], controller: Any) -> None:
        stream = streams[0]
        stream.send_nowait(b"x" * 10)
        for wait in (
            lambda: stream.send_nowait(b"y"),
            lambda: stream.send(b"y"),
            lambda: stream.recv(),
            lambda: next(iter(stream)),
            lambda: next(stream.batches()),
            lambda: stream.drain(),
            lambda: stream.wait_consumed(),
            lambda: stream.wait_closed(),
        ):
            try:
                wait()
            except PyBrpcError as error:
                raised.append(error)

    service = Accepting(pybrpc.StreamOptions(max_buf_size=10), on_accepted=send_first)
    with opened(f"{ours}-threads", service=service) as pair:
        assert isinstance(raised[0], OvercrowdedError)
        assert [type(error) for error in raised[1:]] == [WouldDeadlockError] * 7
        assert "sending on a stream before its handler has answered" in str(raised[1])
        assert pair.client.recv(WAIT_S) == b"x" * 10
        pair.client.send(b"answer", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"answer"


# --- the server does not accept ---


class NotAccepting:
    """Answers, and does something with the controller before."""

    def __init__(self, act: Any = None) -> None:
        self.act = act
        self.raised: list[BaseException] = []

    def Echo(self, request: Any, controller: Any) -> Any:
        if self.act is not None:
            try:
                self.act(controller)
            except BaseException as error:
                self.raised.append(error)
                raise
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class AsyncNotAccepting(NotAccepting):
    async def Echo(self, request: Any, controller: Any) -> Any:
        return NotAccepting.Echo(self, request, controller)

    Stream = Echo


def not_accepting(form: str, act: Any = None) -> NotAccepting:
    return (NotAccepting if form == THREADS else AsyncNotAccepting)(act)


@every_pair
@pytest.mark.parametrize("count", [1, 3])
def test_handler_that_does_not_accept_fails_the_call(sides: str, count: int) -> None:
    ours, theirs = sides_of(sides)
    with (
        served(not_accepting(theirs)) as server,
        client_of(ours, server.endpoint) as client,
    ):
        controller = pybrpc.Controller()
        with pytest.raises(RpcError) as caught:
            client.open(streams=count, controller=controller)
        error = caught.value
        assert (error.code, error.peer) == (ErrorCode.EREQUEST, str(server.endpoint))
        assert error.text == "[E1003]The server didn't accept the stream"
        assert (controller.error_code, controller.error_text) == (error.code, error.text)
        assert client.echo("next").message == "next"
        wait_until_forgotten(server)


@every_pair
def test_handler_that_fails_after_it_has_accepted_ends_the_streams(sides: str) -> None:
    ours, theirs = sides_of(sides)
    ends: list[Any] = []
    options = pybrpc.StreamOptions(on_closed=lambda stream, error: ends.append(error))
    accepted: list[Any] = []

    def fail(controller: Any) -> None:
        accepted.append(controller.accept_stream(options))
        accepted[0].send_nowait(b"never seen")
        controller.set_failed(1234, "deliberate")

    with (
        served(not_accepting(theirs, fail)) as server,
        client_of(ours, server.endpoint) as client,
    ):
        with pytest.raises(RpcError) as caught:
            client.open()
        assert caught.value.code == 1234
        assert caught.value.text.endswith("deliberate")
        wait_until(lambda: bool(ends))
        assert isinstance(ends[0], RpcCanceledError)
        assert ends[0].text == "the call that was to open the stream has failed"
        assert ends[0].peer == accepted[0].peer
        assert isinstance(accepted[0].failure, RpcCanceledError)
        with pytest.raises(RpcCanceledError):
            accepted[0].send_nowait(b"late")
        wait_until_forgotten(server)


@every_pair
@pytest.mark.parametrize(
    ("count", "accept", "said"),
    [
        (3, "accept_stream", "the request asks for 3 streams, and the handler takes one"),
        (0, "accept_stream", "the request of conformance.EchoService.Echo opens no stream"),
        (0, "accept_streams", "the request of conformance.EchoService.Echo opens no stream"),
    ],
)
def test_streams_that_are_not_asked_for_can_not_be_accepted(
    sides: str, count: int, accept: str, said: str
) -> None:
    ours, theirs = sides_of(sides)
    service = not_accepting(theirs, lambda controller: getattr(controller, accept)())
    with served(service) as server, client_of(ours, server.endpoint) as client:
        with pytest.raises(BadRequestError, match=said):
            client.open(streams=count) if count else client.echo()
        (error,) = service.raised
        assert isinstance(error, BadRequestError)
        wait_until_forgotten(server)


@every_pair
def test_streams_can_not_be_accepted_after_the_answer(sides: str) -> None:
    ours, theirs = sides_of(sides)
    kept: list[Any] = []
    service = not_accepting(theirs, kept.append)
    with served(service) as server, client_of(ours, server.endpoint) as client:
        with pytest.raises(RpcError, match="didn't accept the stream"):
            client.open()
        if theirs == THREADS:
            with pytest.raises(RuntimeError, match="its streams can't be accepted any more"):
                kept[0].accept_stream()


@every_client
def test_method_that_is_not_served(form: str) -> None:
    class OnlyEcho:
        def Echo(self, request: Any, controller: Any) -> Any:
            return pb.EchoResponse(message=request.message)

    with pybrpc.Server() as server:
        server.add_service(ECHO, OnlyEcho(), partial=True)
        server.start("127.0.0.1:0")
        with client_of(form, server.endpoint) as client:
            call = client.face(client.stub.Stream.stream(echo_request()))
            with pytest.raises(NoMethodError) as caught:
                call.open()
            assert caught.value.code == ErrorCode.ENOMETHOD
            assert client.echo("next").message == "next"
        wait_until_forgotten(server)


@every_client
def test_limits_of_the_server_count(form: str) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(controller: Any) -> None:
        entered.set()
        assert leave.wait(WAIT_S)

    with served(not_accepting(THREADS, wait), max_concurrency=1) as server:
        with client_of(form, server.endpoint, max_retry=0) as client:
            first = client.face(client.stream()).start("open")
            assert entered.wait(WAIT_S)
            with pytest.raises(LimitReachedError):
                client.open()
            leave.set()
            with pytest.raises(RpcError, match="didn't accept"):
                first.result()
            wait_until_forgotten(server)


# --- credentials, TLS, other protocols ---


class Secret:
    def __init__(self, credential: bytes = b"secret") -> None:
        self.credential = credential

    def generate_credential(self) -> bytes:
        return self.credential

    def verify_credential(self, credential: bytes, client: Any) -> Any:
        if credential != self.credential:
            raise AuthenticationError("wrong credential")


@every_pair
def test_first_request_of_a_connection_opens_streams_and_has_a_credential(sides: str) -> None:
    auth = {"auth": Secret()}
    with opened(sides, channel=auth, server=auth, streams=2) as pair:
        pair.client.send(b"x", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"x"
        call = pair.of_client.open()
        call.close(WAIT_S)


@every_client
def test_client_with_a_wrong_credential_opens_no_stream(form: str) -> None:
    service = accepting(THREADS)
    with served(service, auth=Secret()) as server:
        with client_of(form, server.endpoint, auth=Secret(b"wrong")) as client:
            with pytest.raises(AuthenticationError):
                client.open()
            assert in_flight(client) == 0
        assert service.accepted.empty()
        wait_until_forgotten(server)


@every_pair
def test_streams_over_tls(sides: str) -> None:
    channel, server = {"tls": certificates().client_tls()}, {"tls": certificates().server_tls()}
    with opened(sides, channel=channel, server=server) as pair:
        big = bytes(range(256)) * 4000
        for sender, receiver in [(pair.client, pair.server), (pair.server, pair.client)]:
            sends = sender.start("send_many", [big] * 5, timeout=WAIT_S)
            assert [receiver.recv(WAIT_S) == big for _ in range(5)] == [True] * 5
            sends.result()
        pair.client.close(WAIT_S)
        assert pair.server.wait_closed(WAIT_S) is None
        wait_until_idle(pair)


@every_client
@pytest.mark.parametrize("protocol", ["hulu_pbrpc", "sofa_pbrpc"])
def test_other_protocols_have_no_streams(form: str, protocol: str) -> None:
    service = accepting(THREADS)
    with served(service) as server:
        with client_of(form, server.endpoint, protocol=protocol) as client:
            with pytest.raises((ValueError, RpcError), match="stream"):
                client.open()
            assert client.echo("next").message == "next"
        wait_until_forgotten(server)


def test_timeouts_of_options_are_checked() -> None:
    assert StreamTimeoutError is not RpcTimeoutError
    for name in ("idle_timeout", "lifetime"):
        for value in (0, -1, "1", True, float("inf"), float("nan")):
            with pytest.raises(ValueError, match=f"{name} must be None or seconds > 0"):
                pybrpc.StreamOptions(**{name: value})  # type: ignore[arg-type]
    for name in ("max_buf_size", "min_buf_size"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            pybrpc.StreamOptions(**{name: 1.5})  # type: ignore[arg-type]
    for name in ("max_unread_bytes", "max_message_size", "max_segment_size", "messages_in_batch"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            pybrpc.StreamOptions(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_idle_timeout needs idle_timeout"):
        pybrpc.StreamOptions(on_idle_timeout=lambda stream: None)


@pytest.mark.parametrize("name", ["recv", "wait_closed", "drain", "wait_consumed", "send"])
def test_handler_that_would_wait_for_its_own_answer_is_told(name: str) -> None:
    """The client gives up, but nothing would wake the thread of the handler."""

    def wait(streams: list[Any], controller: Any) -> None:
        stream = streams[0]
        stream.send_nowait(b"x" * 10)
        getattr(stream, name)(*([b"y"] if name == "send" else []))

    service = Accepting(pybrpc.StreamOptions(max_buf_size=10), on_accepted=wait)
    with served(service) as server, client_of(THREADS, server.endpoint) as client:
        with pytest.raises(
            RpcError, match=r"WouldDeadlockError: .* before its handler has answered"
        ):
            client.open()
        wait_until_forgotten(server)


def test_thread_that_a_handler_starts_may_wait_for_the_answer() -> None:
    received: queue.Queue[bytes] = queue.Queue()

    def start(streams: list[Any], controller: Any) -> None:
        threading.Thread(target=lambda: received.put(streams[0].recv())).start()

    with opened(service=Accepting(on_accepted=start)) as pair:
        pair.client.send(b"x")
        assert received.get(timeout=WAIT_S) == b"x"
