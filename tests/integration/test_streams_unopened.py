"""Calls that open streams, and end before their answer has come."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

import pybrpc
from pybrpc.errors import (
    ErrorCode,
    InternalServerError,
    RpcError,
    RpcTimeoutError,
    StreamResetError,
    WouldDeadlockError,
)
from pybrpc.testing.faulty_proxy import Faults, FaultyProxy, Refuse
from tests.fakes.threads import WAIT_S
from tests.peers.echo import ECHO
from tests.peers.streams import (
    CLIENTS,
    THREADS,
    Accepting,
    Client,
    Face,
    accepting,
    client_of,
    in_flight,
    run_in,
    served,
    wait_until_forgotten,
)
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb

every_client = pytest.mark.parametrize("form", CLIENTS)


# --- the call ends before the answer ---


class Slow(Accepting):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__(on_accepted=self._wait)
        self.entered, self.may_answer = threading.Event(), threading.Event()

    def _wait(self, streams: list[Any], controller: Any) -> None:
        self.entered.set()
        assert self.may_answer.wait(WAIT_S)


def check_late_answer(client: Client, service: Slow, server: pybrpc.Server) -> None:
    """The call has ended. Its answer comes; the streams of the server are reset, and forgotten."""
    assert in_flight(client) == 0
    service.may_answer.set()
    for stream in service.next():
        error = stream.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert error.is_remote
    wait_until_forgotten(server)
    assert client.echo("next").message == "next"
    assert client.channel.statistics().in_flight == 0
    service.may_answer.set()
    call = client.open()
    assert call.response.message == "hello"
    for stream in service.next():
        call.close(WAIT_S)
        assert stream.wait_closed(WAIT_S) is None


@every_client
@pytest.mark.parametrize("count", [1, 3])
def test_deadline_passes_before_the_answer(form: str, count: int) -> None:
    service = Slow()
    with served(service) as server, client_of(form, server.endpoint) as client:
        controller = pybrpc.Controller()
        with pytest.raises(RpcTimeoutError) as caught:
            client.open(streams=count, timeout=0.05, controller=controller)
        assert caught.value.code == ErrorCode.ERPCTIMEDOUT
        assert controller.error_code == ErrorCode.ERPCTIMEDOUT
        assert service.entered.wait(WAIT_S)
        check_late_answer(client, service, server)


@pytest.mark.parametrize("form", ["asyncio", "uvloop"])
def test_task_that_opens_a_stream_is_cancelled(form: str) -> None:
    service = Slow()
    with served(service) as server, client_of(form, server.endpoint) as client:

        async def cancel() -> None:
            task = asyncio.create_task(client.stream(streams=2).open())
            while not service.entered.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run_in(client.loop, cancel())
        check_late_answer(client, service, server)


@every_client
def test_connection_breaks_before_the_answer(form: str) -> None:
    service = Slow()
    with served(service) as server, client_of(form, server.endpoint) as client:
        opens = client.face(client.stream(streams=2)).start("open")
        assert service.entered.wait(WAIT_S)
        for connection in list(server._run.connections):  # type: ignore[union-attr]
            connection.socket.close()
        with pytest.raises(RpcError):
            opens.result()
        service.may_answer.set()
        for stream in service.next():
            assert isinstance(stream.wait_closed(WAIT_S), RpcError)
        call = client.open()
        (stream,) = service.next()
        call.close(WAIT_S)
        assert stream.wait_closed(WAIT_S) is None


@every_client
def test_call_is_sent_again_if_its_connection_broke_before(form: str) -> None:
    """In the handshake of TLS nothing of the request was sent: its streams begin anew."""
    tls = certificates().client_tls()
    pause = pybrpc.Backoff(first_s=0.01, max_s=0.01)
    policy = pybrpc.RetryPolicy(backoff=pause)
    service = accepting(THREADS)
    with (
        served(service, tls=certificates().server_tls()) as server,
        FaultyProxy(server.endpoint) as proxy,
    ):
        proxy.set_next(Faults(refuse=Refuse()), Faults(refuse=Refuse()))
        with client_of(
            form, proxy.address, tls=tls, max_retry=3, retry_policy=policy, wait_for_ready=True
        ) as client:
            call = client.open(streams=2)
            ours, theirs = client.streams_of(call), service.next()
            for mine, other in zip(ours, theirs, strict=True):
                mine.send(b"x", timeout=WAIT_S)
                assert other.recv(WAIT_S) == b"x"
            call.close(WAIT_S)
            wait_until_forgotten(server)


# --- what the handler does before it has answered ---


class Impatient:
    """An async handler that uses its stream before it has answered."""

    def __init__(self) -> None:
        self.raised: list[BaseException] = []
        self.received: asyncio.Task[bytes] | None = None

    async def Echo(self, request: Any, controller: Any) -> Any:
        stream = controller.accept_stream()
        for wait in (stream.recv, stream.wait_closed):
            try:
                await wait()
            except WouldDeadlockError as error:
                self.raised.append(error)
        self.received = asyncio.create_task(self.receive(stream))
        await asyncio.sleep(0)  # it waits now
        return pb.EchoResponse(message=request.message)

    async def receive(self, stream: Any) -> bytes:
        async with stream:
            message: bytes = await stream.recv()
            await stream.send(message)
        return message

    async def Stream(self, request: Any, controller: Any) -> Any:
        return pb.EchoResponse(message="hello")


@every_client
def test_async_handler_can_not_wait_but_its_tasks_can(form: str) -> None:
    service = Impatient()
    with served(service) as server, client_of(form, server.endpoint) as client:
        call = client.open()
        (stream,) = client.streams_of(call)
        stream.send(b"to the task")
        assert stream.recv(WAIT_S) == b"to the task"
        assert len(service.raised) == 2
        call.close(WAIT_S)
        wait_until_forgotten(server)


@every_client
def test_another_thread_may_wait_before_the_answer(form: str) -> None:
    def receive(streams: list[Any], controller: Any) -> None:
        started.append(Face(streams[0], None).start("recv"))

    started: list[Any] = []
    service = Accepting(on_accepted=receive)
    with served(service) as server, client_of(form, server.endpoint) as client:
        call = client.open()
        client.streams_of(call)[0].send(b"first")
        assert started[0].result() == b"first"
        call.close(WAIT_S)
        service.next()[0].reset()


class Closing:
    """Closes its stream in the handler."""

    def Echo(self, request: Any, controller: Any) -> Any:
        with controller.accept_stream() as stream:
            stream.send(b"early")
        return pb.EchoResponse(message="closed")

    def Stream(self, request: Any, controller: Any) -> Any:
        return pb.EchoResponse(message="hello")


class AsyncClosing(Closing):
    async def Echo(self, request: Any, controller: Any) -> Any:
        async with controller.accept_stream() as stream:
            await stream.send(b"early")
        return pb.EchoResponse(message="closed")


@every_client
@pytest.mark.parametrize("service", [Closing(), AsyncClosing()])
def test_stream_that_the_handler_closes_ends_behind_the_answer(form: str, service: Any) -> None:
    with served(service) as server, client_of(form, server.endpoint) as client:
        call = client.open()
        assert call.response.message == "closed"
        assert list(client.streams_of(call)[0]) == [b"early"]
        call.close(WAIT_S)
        wait_until_forgotten(server)


@every_client
def test_handler_that_fails_need_not_close_its_stream(form: str) -> None:
    class Failing:
        def Echo(self, request: Any, controller: Any) -> Any:
            controller.accept_stream()
            raise RpcError("no", code=20001)

        def Stream(self, request: Any, controller: Any) -> Any:
            return pb.EchoResponse(message="hello")

    with (
        warnings.catch_warnings(record=True) as caught,
        served(Failing()) as server,
        client_of(form, server.endpoint) as client,
    ):
        warnings.simplefilter("always")
        with pytest.raises(RpcError) as raised:
            client.open()
        assert raised.value.code == 20001
        wait_until_forgotten(server)
        gc.collect()
    assert [str(each.message) for each in caught if "Stream" in str(each.message)] == []


@every_client
def test_error_of_a_stream_is_not_the_code_of_the_call_that_let_it_out(form: str) -> None:
    """A C++ client would send a call again that ended with ECONNRESET."""

    class Forwarding:
        kept: Any = None

        def Echo(self, request: Any, controller: Any) -> Any:
            if controller._streams is None:
                self.kept.wait_closed(WAIT_S)
                self.kept.send(b"to a stream that was reset")
            else:
                self.kept = controller.accept_stream()
            return pb.EchoResponse(message="hello")

        def Stream(self, request: Any, controller: Any) -> Any:
            return pb.EchoResponse(message="hello")

    with served(Forwarding()) as server, client_of(form, server.endpoint) as client:
        client.open().reset()
        with pytest.raises(InternalServerError, match="StreamResetError: ECONNRESET"):
            client.echo()


def idempotent_echo() -> tuple[Any, Any]:
    """ECHO as a client has it whose .proto file says that methods may run twice, and a request."""
    file = descriptor_pb2.FileDescriptorProto()
    ECHO.file.CopyToProto(file)
    for method in file.service[0].method:
        method.options.idempotency_level = descriptor_pb2.MethodOptions.IDEMPOTENT
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    service = pool.FindServiceByName(ECHO.full_name)
    request = GetMessageClass(service.methods_by_name["Echo"].input_type)
    return service, request(message="hello")


@every_client
def test_call_that_may_run_twice_opens_its_streams_anew(form: str) -> None:
    """Its connection breaks before the answer. The streams of the first run fail, those of the
    second one open."""
    service = Slow()
    echo_service, request = idempotent_echo()
    with served(service) as server, client_of(form, server.endpoint) as client:
        client.stub = pybrpc.Stub(echo_service, client.channel)
        call = client.face(client.stream(request, streams=2))
        opens = call.start("open")
        assert service.entered.wait(WAIT_S)
        for connection in list(server._run.connections):  # type: ignore[union-attr]
            connection.socket.close()
        service.may_answer.set()
        opens.result()
        assert call.controller.retried_count == 1
        runs = [service.next(), service.next()]
        ended = next(each for each in runs if each[0].is_closed)
        runs.remove(ended)
        for stream in ended:
            assert isinstance(stream.wait_closed(WAIT_S), RpcError)
        for mine, other in zip(client.streams_of(call), runs[0], strict=True):
            mine.send(b"x", timeout=WAIT_S)
            assert other.recv(WAIT_S) == b"x"
        call.close(WAIT_S)
        wait_until_forgotten(server)


@every_client
def test_call_that_may_run_once_is_not_sent_again(form: str) -> None:
    service = Slow()
    with served(service) as server, client_of(form, server.endpoint) as client:
        call = client.face(client.stream())
        opens = call.start("open")
        assert service.entered.wait(WAIT_S)
        for connection in list(server._run.connections):  # type: ignore[union-attr]
            connection.socket.close()
        with pytest.raises(RpcError):
            opens.result()
        service.may_answer.set()
        assert call.controller.retried_count == 0
        for stream in service.next():
            stream.reset()
