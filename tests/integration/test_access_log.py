"""The access log of a server: a line for each call, refused ones too."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.protocols.baidu_std import BAIDU_STD
from tests.peers.raw_peer import EchoResponse, RawPeer, packed, request, text_of
from tests.peers.serving import Gate, async_echo, echo, make_server, serving, serving_in_loop, start

ECHO = "conformance.EchoService.Echo"


class Lines(logging.Handler):
    """Keeps the lines of one logger, as values."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))

    def of(self, *names: str) -> list[Any]:
        return [tuple(line[name] for name in names) for line in self.lines]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def access_log(lines: Lines) -> pybrpc.AccessLog:
    logger = logging.Logger("access", logging.INFO)
    logger.addHandler(lines)
    return pybrpc.AccessLog(format="json", logger=logger)


@pytest.mark.parametrize("handler", [echo, async_echo])
def test_line_of_a_call(handler: Any, lines: Lines, access_log: pybrpc.AccessLog) -> None:
    with serving(handler, handler, access_log=access_log) as peer:
        sent = request(1, log_id=-1, request_id="id\n7", user_fields={"authorization": "secret"})
        data = packed(sent)
        peer.sock.sendall(data)
        text_of(peer.read_answer())
        address = str(pybrpc.Endpoint(*peer.sock.getsockname()))
    (line,) = lines.lines
    assert line["latency_ms"] >= 0
    assert line["response_bytes"] > len("hello")
    assert {name: line[name] for name in line if name not in ("time", "latency_ms")} == {
        "peer": address,
        "protocol": "baidu_std",
        "method": ECHO,
        "code": 0,
        "request_bytes": len(sent.body),
        "response_bytes": line["response_bytes"],
        "log_id": 2**64 - 1,
        "request_id": "id\n7",
    }


def test_refused_calls_have_lines(lines: Lines, access_log: pybrpc.AccessLog) -> None:
    gate = Gate()
    with serving(gate, max_concurrency=1, access_log=access_log) as peer:
        peer.send(request(1))
        gate.wait_entered()
        assert peer.call(log_id=5, request_id="second").error_code == pybrpc.ErrorCode.ELIMIT
        gate.open()
        text_of(peer.read_answer())
        assert peer.call(service="a.Nobody").error_code == pybrpc.ErrorCode.ENOMETHOD
        assert peer.call(body=b"\xff").error_code == pybrpc.ErrorCode.EREQUEST
    found = lines.of("method", "code", "log_id", "request_id")
    assert sorted(found, key=lambda line: int(line[1])) == [  # an answer is read before its line
        (ECHO, 0, None, None),
        ("a.Nobody.Echo", pybrpc.ErrorCode.ENOMETHOD, None, None),
        (ECHO, pybrpc.ErrorCode.EREQUEST, None, None),
        (ECHO, pybrpc.ErrorCode.ELIMIT, 5, "second"),
    ]
    assert all(line["response_bytes"] > 0 for line in lines.lines)


class Refusing(pybrpc.Authenticator):
    def generate_credential(self) -> bytes:
        return b""

    def verify_credential(self, credential: bytes, client: Any) -> Any:
        raise PermissionError


def test_client_that_is_not_authenticated_has_a_line(
    lines: Lines, access_log: pybrpc.AccessLog
) -> None:
    with serving(auth=Refusing(), access_log=access_log) as peer:
        assert peer.call(credential=b"secret").error_code == pybrpc.ErrorCode.ERPCAUTH
    assert lines.of("method", "code") == [(ECHO, pybrpc.ErrorCode.ERPCAUTH)]
    assert "secret" not in json.dumps(lines.lines)


def test_message_that_is_too_long_has_a_line(lines: Lines, access_log: pybrpc.AccessLog) -> None:
    with serving(max_body_size=100, access_log=access_log) as peer:
        assert peer.call(message="x" * 1000).error_code == pybrpc.ErrorCode.EREQUEST
    assert lines.of("method", "code") == [(None, pybrpc.ErrorCode.EREQUEST)]


def test_call_that_nobody_waits_for_has_a_line(lines: Lines, access_log: pybrpc.AccessLog) -> None:
    """A call that waits for its turn ends with its connection."""
    gate = Gate()
    with make_server(gate, max_workers=1, access_log=access_log) as server:
        with RawPeer(start(server)) as peer, RawPeer(server.endpoint) as other:
            peer.send(request(1))
            gate.wait_entered()
            other.send(request(2))
            while len(server.unfinished()) < 2:
                pass
            other.reset()
            while len(server.unfinished()) == 2:
                pass
            gate.open()
            text_of(peer.read_answer())
    assert lines.of("code", "response_bytes")[0] == (None, 0)
    assert [code for (code,) in lines.of("code")] == [None, 0]


def test_names_of_peers_can_t_forge_lines(caplog: pytest.LogCaptureFixture) -> None:
    forged = "a\n2023-11-14 1.2.3.4:5 baidu_std b.Service"
    with caplog.at_level(logging.INFO, "pybrpc.access"), serving(access_log=True) as peer:
        peer.call(service=forged, request_id="\x1b[2J\r\nforged")
        peer.call(request_id="x code=7")
    texts = [each.getMessage() for each in caplog.records if each.name == "pybrpc.access"]
    assert len(texts) == 2
    assert all(text.isprintable() and text.count(" code=") == 1 for text in texts[:1])
    assert '"a\\n2023-11-14 1.2.3.4:5 baidu_std b.Service.Echo" code=1002 ' in texts[0]
    assert texts[0].endswith(' request_id="\\u001b[2J\\r\\nforged"')
    assert texts[1].endswith(' request_id="x code=7"')


def test_all_lines_are_there_after_a_stop_and_after_the_next_one(
    lines: Lines, access_log: pybrpc.AccessLog
) -> None:
    with make_server(access_log=access_log) as server:
        for _ in range(2):
            with RawPeer(start(server)) as peer:
                peer.send(*(request(number) for number in range(1, 201)))
                peer.read_answers(200)
            server.stop()
            server.join()
    assert lines.of("code") == [(0,)] * 400


def test_server_in_a_loop(lines: Lines, access_log: pybrpc.AccessLog) -> None:
    async def main() -> None:
        async with serving_in_loop(async_echo, async_echo, access_log=access_log) as server:
            async with pybrpc.aio.Channel(server.endpoint) as channel:
                method = channel.raw_method("conformance.EchoService", "Echo")
                await method(EchoResponse(message="hello").SerializeToString())
        while not lines.lines:
            await asyncio.sleep(0.001)

    asyncio.run(main())
    assert lines.of("method", "code") == [(ECHO, 0)]


def test_handler_of_logging_that_blocks_keeps_no_call() -> None:
    opened = threading.Event()

    class Blocking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert opened.wait(30)

    logger = logging.Logger("blocked", logging.INFO)
    logger.addHandler(Blocking())
    with serving(access_log=pybrpc.AccessLog(logger=logger, max_waiting=5)) as peer:
        for _ in range(50):
            assert text_of(peer.call()) == "hello"
        opened.set()


def test_start_that_fails_leaves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = make_server(access_log=True)
        with pytest.raises(pybrpc.errors.ListenError):
            server.start(f"127.0.0.1:{taken.getsockname()[1]}")


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "pybrpc.access"):
        yield


def test_protocol_is_named(lines: Lines, access_log: pybrpc.AccessLog) -> None:
    with serving(access_log=access_log) as peer:
        text_of(peer.call())
    assert lines.of("protocol") == [(BAIDU_STD.name,)]
