"""Servers that send what no server should: each call ends with a typed error, the connection is
closed, and memory stays bounded."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import BadResponseError, ConnectionFailedError, ProtocolError, RpcError
from pybrpc.protocols.http1.client_session import MAX_CONTINUES, MAX_INTERIM
from tests.fakes.threads import wait_until
from tests.peers.http_scripts import HttpPeer, answer, answering, http_script, http_server, saying

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MAX = 1_000_000


def channel(address: str, **options: Any) -> pybrpc.Channel:
    options = {"timeout": 30, "max_body_size": MAX} | options
    return pybrpc.Channel(address, protocol="http", **options)


def error_of(said: bytes, **options: Any) -> RpcError:
    """The error of a call that is answered so. The next call must go over a new connection."""
    with http_server(saying(said), answering(lambda _: answer(b"fine"))) as server:
        with channel(server.address, **options) as each:
            with pytest.raises(RpcError) as raised:
                each.http("GET", "/")
            assert each.http("GET", "/").body == b"fine"
            assert server.connections == 2
    return raised.value


@pytest.mark.parametrize(
    "said",
    [
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"PRPC" + bytes(100),
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        OK + b"A b: c\r\n\r\n",
        OK + b"A: b\0c\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"A: b\r\n" * 101 + b"\r\n",
        OK + b"A: " + b"x" * 70_000,
        OK + b"A: b\r\n" * 20_000,
        CHUNKED + b"x\r\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"1;" + b"x" * 10_000,
        CHUNKED + b"0\r\n" + b"A: b\r\n" * 10_000,
        CHUNKED + b"ffffffffffffffffff\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INTERIM + 1) + answer(b"x"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_CONTINUES + 1) + answer(b"x"),
    ],
)
def test_bytes_that_are_no_response(said: bytes) -> None:
    error = error_of(said)
    assert isinstance(error, ProtocolError)
    assert error.is_remote
    assert any(part in error.text for part in ("http: ", "interim", "100 Continue"))


@pytest.mark.parametrize(
    "said",
    [
        OK + b"Content-Length: 1000001\r\n\r\n",
        OK + b"Content-Length: 9999999999999999999\r\n\r\n",
        CHUNKED + b"f4241\r\n",
        CHUNKED + b"ffffffffffffffff\r\n",
        CHUNKED + (b"7ffff\r\n" + bytes(0x7FFFF) + b"\r\n") * 2,
        OK + b"\r\n" + bytes(MAX + 1),
    ],
)
def test_body_above_max_body_size(said: bytes) -> None:
    error = error_of(said)
    assert isinstance(error, BadResponseError)
    assert "longer than max_body_size=1000000" in error.text


def test_many_interim_responses_are_skipped() -> None:
    said = b"HTTP/1.1 102 Processing\r\nA: b\r\n\r\n" * MAX_INTERIM + answer(b"x")
    with http_server(saying(said, said)) as server, channel(server.address) as each:
        assert each.http("GET", "/").body == b"x"
        assert each.http("GET", "/").body == b"x", "they are counted for each request"
        assert server.connections == 1


def test_response_without_a_request_closes_the_connection() -> None:
    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(answer(b"first"))
        peer.send(answer(b"poison"))
        peer.peer.wait_closed()

    with http_server(http_script(serve), answering(lambda _: answer(b"second"))) as server:
        with channel(server.address) as each:
            assert each.http("GET", "/").body == b"first"
            wait_until(lambda: created_and_closed(each) == (1, 1))
            assert each.http("GET", "/").body == b"second"


@pytest.mark.parametrize("form", ["whole", "stream"])
def test_chunks_behind_the_response_to_head_reach_no_other_request(form: str) -> None:
    """C++ bRPC sends them, for a ProgressiveAttachment: here when the next request is sent."""
    is_asked = threading.Event()

    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(CHUNKED)
        is_asked.wait(30)
        peer.send(b"5\r\nchunk\r\n0\r\n\r\n")
        peer.peer.wait_closed()

    def answer_get(peer: HttpPeer) -> None:
        assert peer.read() is not None
        is_asked.set()
        peer.send(answer(b"second"))
        peer.peer.wait_closed()

    with http_server(http_script(serve), http_script(answer_get)) as server:
        with channel(server.address) as each:
            if form == "whole":
                assert each.http("HEAD", "/").body == b""
            else:
                with each.http("HEAD", "/", stream=True) as response:
                    assert response.body.read() == b""
            assert each.http("GET", "/").body == b"second"


def created_and_closed(each: pybrpc.Channel) -> tuple[int, int]:
    statistics = each.endpoint_statistics()
    assert statistics is not None
    return statistics.created, statistics.closed


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200"])
def test_silence_ends_with_the_deadline(said: bytes) -> None:
    with http_server(saying(said)) as server, channel(server.address, timeout=0.05) as each:
        with pytest.raises(pybrpc.errors.RpcTimeoutError):
            each.http("GET", "/")


def test_server_that_closes_at_once_fails_the_call_after_its_retries() -> None:
    with http_server(saying(b"", keeps_open=False)) as server, channel(server.address) as each:
        with pytest.raises(ConnectionFailedError):
            each.http("GET", "/")
        assert server.connections == 4


@pytest.mark.parametrize(
    "endless",
    [b"A: " + b"x" * 1000 + b"\r\n", b"HTTP/1.1 102 Processing\r\n\r\n" * 100, bytes(10_000)],
)
def test_endless_bytes_take_no_memory(endless: bytes) -> None:
    """After a head without a length, all of them are the body."""

    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(OK if endless[:1] == b"A" else b"" if endless[:1] == b"H" else OK + b"\r\n")
        for _ in range(50_000_000 // len(endless)):
            try:
                peer.peer.sock.sendall(endless)
            except OSError:
                return

    tracemalloc.start()
    try:
        with http_server(http_script(serve)) as server, channel(server.address) as each:
            with pytest.raises((ProtocolError, BadResponseError)):
                each.http("GET", "/")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_secrets_are_in_no_error_and_no_repr() -> None:
    with http_server(saying(answer(b"no", "403 Forbidden"))) as server:
        with channel(server.address) as each:
            response = each.http("GET", "/?token=SECRET", headers={"Authorization": "SECRET"})
            with pytest.raises(pybrpc.errors.HttpError) as raised:
                response.raise_for_status()
            call = each.http("GET", "/a?token=SECRET", stream=True)
    assert "SECRET" not in f"{raised.value!r}{response!r}{each!r}{call!r}"
