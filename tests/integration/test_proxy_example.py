"""examples/proxy.py: the caller of a proxy and the server behind it see no difference."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from examples.proxy import AioProxy, Proxy
from pybrpc import Controller
from pybrpc.errors import ErrorCode, NoMethodError
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.body_encodings import ALL_ENCODINGS, BodyEncoding
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.pages import ROOT
from tests.peers.raw_peer import RawPeer, request
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import make_server, start
from tests.protos import conformance_pb2 as pb

FORMS = ("threads", "asyncio")
each_form = pytest.mark.parametrize("form", FORMS)
each_caller = pytest.mark.parametrize("calls_by", ["blocking", "asyncio"])


@contextlib.contextmanager
def proxy_to(backend: str, form: str) -> Iterator[Server]:
    """A proxy that runs in this process."""
    if form == "asyncio":
        with proxy_in_a_loop(backend) as server:
            yield server
        return
    with pybrpc.Channel(backend, timeout=None) as channel, Server() as server:
        server.add_generic_service(Proxy(channel))
        start(server)
        yield server


@contextlib.contextmanager
def proxy_in_a_loop(backend: str) -> Iterator[Server]:
    started: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def serve() -> None:
        async with pybrpc.aio.Channel(backend, timeout=None) as channel, Server() as server:
            server.add_generic_service(AioProxy(channel))
            start(server)
            started.put(server)
            await server.wait_stopped()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    server = started.get(timeout=WAIT_S)
    try:
        yield server
    finally:
        server.stop()
        thread.join(WAIT_S)
        assert not thread.is_alive()


@each_form
@each_caller
@pytest.mark.parametrize("encoding", ALL_ENCODINGS, ids=repr)
def test_everything_that_travels_with_a_call_passes(
    form: str, calls_by: str, encoding: BodyEncoding
) -> None:
    seen: list[Any] = []

    def handler(request: Any, controller: Controller) -> Any:
        seen.append((controller.log_id, controller.request_id, controller.request_user_fields))
        seen.append(BodyEncoding.of(controller, "request"))
        assert controller.timeout_ms is not None
        assert 0 < controller.timeout_ms <= 20_000
        controller.response_attachment = b"back:" + bytes(controller.request_attachment)
        controller.response_user_fields = {"name": "answer"}
        encoding.ask_for(controller, "response")
        return pb.EchoResponse(message=request.message)

    controller = Controller(log_id=2**64 - 1, request_id="seven")
    controller.request_user_fields = {"name": "value", "": "\udcff"}
    controller.request_attachment = b"attached"
    encoding.ask_for(controller, "request")
    with make_server(handler) as server, proxy_to(str(start(server)), form) as proxy:
        with caller(calls_by, str(proxy.endpoint), timeout=20) as client:
            answer = client.call(echo_request("over and over " * 20), controller=controller)
    assert answer.message == "over and over " * 20
    assert seen == [(2**64 - 1, "seven", {"name": "value", "": "\udcff"}), encoding]
    assert controller.response_attachment == b"back:attached"
    assert controller.response_user_fields == {"name": "answer"}
    assert BodyEncoding.of(controller, "response") == encoding


@each_form
def test_frames_behind_the_proxy_are_those_of_the_caller(form: str) -> None:
    """But for the correlation id, and the timeout, of which some is used up."""
    asked = request(7, body=b"no protobuf", service="any.Service", method="Method", log_id=9)
    with ScriptedServer(answer_bytes) as server, proxy_to(server.address, form) as proxy:
        with RawPeer(proxy.endpoint) as peer:
            peer.send(asked)
            answer = peer.read_answer()
    (passed,) = server.requests
    frames = [dataclasses.replace(each, correlation_id=1) for each in (asked, passed)]
    assert bytes(BAIDU_STD.pack_request(frames[0])) == bytes(BAIDU_STD.pack_request(frames[1]))
    expected = RpcResponse(7, body=b"no protobuf either", compress_type=4)
    assert bytes(BAIDU_STD.pack_response(answer)) == bytes(BAIDU_STD.pack_response(expected))


def answer_bytes(peer: Peer) -> None:
    asked = peer.expect_request()
    answer = RpcResponse(asked.correlation_id, body=b"no protobuf either", compress_type=4)
    peer.send(bytes(BAIDU_STD.pack_response(answer)))
    peer.wait_closed()


@each_form
@each_caller
def test_error_of_the_server_passes_with_its_text(form: str, calls_by: str) -> None:
    def handler(request: Any, controller: Controller) -> Any:
        controller.response_user_fields = {"name": "answer"}
        controller.set_failed(20001, "no such user")
        controller.set_failed(20002, "none at all")

    with make_server(handler) as server, proxy_to(str(start(server)), form) as proxy:
        errors: list[pybrpc.RpcError] = []
        for address in (server.endpoint, proxy.endpoint):
            asked = Controller()
            with caller(calls_by, str(address)) as client:
                with pytest.raises(pybrpc.RpcError) as caught:
                    client.call(echo_request(), controller=asked)
                errors.append(caught.value)
            assert asked.response_user_fields == {"name": "answer"}
        with pybrpc.Channel(proxy.endpoint, timeout=30) as channel:
            with pytest.raises(NoMethodError, match=rf"\[{server.endpoint}\]\[E1002\]Fail to find"):
                channel.raw_method(ECHO.full_name, "No")(b"")
    direct, through = errors
    assert direct.code == through.code == 20002
    assert direct.text == through.text
    assert direct.message == through.message == "no such user none at all"
    assert direct.remote_text == f"[{server.endpoint}][E20001]no such user [{server.endpoint}]" + (
        "[E20002]none at all"
    )


@each_form
def test_server_that_is_down_is_an_error_of_the_proxy(form: str) -> None:
    with make_server() as server:
        backend = str(start(server))
    with proxy_to(backend, form) as proxy, pybrpc.Channel(proxy.endpoint, timeout=30) as channel:
        with pytest.raises(pybrpc.RpcError) as caught:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
    assert caught.value.code == ErrorCode.ECONNREFUSED
    assert caught.value.remote_text.startswith(f"[{proxy.endpoint}][E111]")


@each_form
def test_call_that_may_have_run_is_no_log_off_for_the_caller(form: str) -> None:
    """The caller would send it again, or believe that it has not run."""

    def break_off(peer: Peer) -> None:
        peer.expect_request()

    def stop(peer: Peer) -> None:
        peer.log_off(peer.expect_request())

    with (
        ScriptedServer(break_off, stop) as backend,
        proxy_to(backend.address, form) as proxy,
        pybrpc.Channel(proxy.endpoint, timeout=30, max_retry=0) as channel,
    ):
        with pytest.raises(pybrpc.RpcError) as caught:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
    assert (caught.value.code, caught.value.may_have_run) == (ErrorCode.EINTERNAL, True)


@each_form
def test_call_ends_at_the_deadline_of_its_caller(form: str) -> None:
    def read_only(peer: Peer) -> None:
        while peer.read_request() is not None:
            pass

    with ScriptedServer(read_only) as server, proxy_to(server.address, form) as proxy:
        with RawPeer(proxy.endpoint) as peer:
            answer = peer.call(timeout_ms=50)
            peer.send(request(2))
            wait_until(lambda: len(server.requests) == 2)
            first, second = timeouts_of(server.requests)
            assert first is not None
            assert 0 < first <= 50
            assert second is None
            peer.reset()
        wait_until(lambda: proxy.statistics().running == 0)
    assert answer.error_code == ErrorCode.ERPCTIMEDOUT


def timeouts_of(requests: list[RpcRequest]) -> list[int | None]:
    return [asked.timeout_ms for asked in requests]


@each_form
def test_many_calls_at_once(form: str) -> None:
    with make_server() as server, proxy_to(str(start(server)), form) as proxy:
        with caller("future", str(proxy.endpoint)) as client:
            answers = client.call_many([echo_request(str(i)) for i in range(300)])
    assert [answer.message for answer in answers] == [str(i) for i in range(300)]


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--asyncio"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_program_serves_until_it_is_asked_to_quit(options: list[str], number: int) -> None:
    with make_server() as server:
        backend = str(start(server))
        command = [sys.executable, "examples/proxy.py", *options, "127.0.0.1:0", backend]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            address, arrow, to = program.stdout.readline().split()
            assert (arrow, to) == ("->", backend)
            with pybrpc.Channel(address, timeout=30) as channel:
                assert pybrpc.Stub(ECHO, channel).Echo(echo_request("hello")).message == "hello"
            program.send_signal(number)
            assert program.wait(WAIT_S) == 0
