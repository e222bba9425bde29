"""SECURITY.md, what requests cost: each test is a line of its table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import threading
import time
import zlib
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import AuthenticationError, ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std.frame import pack_header
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.protocols.protocol import DEFAULT_MAX_META_SIZE
from pybrpc.rpc.compress import CompressType, compress
from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoRequest, EchoResponse, RawPeer, packed, request, text_of
from tests.peers.serving import as_async, echo, make_server, serving, start
from tests.peers.tls import certificates

KINDS = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])

P61 = 2**61 - 1
"""Python's hash of a number is its remainder by this one."""


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def unanswered_of(server: Server) -> Any:
    assert server._run is not None
    return server._run.unanswered


def is_closed(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return True


# --- memory of a request ---


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_headers_that_promise_two_gigabytes_cost_nothing() -> None:
    with make_server(max_body_size=2**31 - 1) as server, contextlib.ExitStack() as stack:
        endpoint = start(server)
        before = resident_bytes()
        for _ in range(100):
            peer = stack.enter_context(RawPeer(endpoint))
            peer.sock.sendall(struct.pack("!4sII", b"PRPC", 2**31 - 1, 100) + bytes(1000))
        wait_until(lambda: server.statistics().connections == 100)
        with RawPeer(endpoint) as peer:
            assert text_of(peer.call()) == "hello"
        assert resident_bytes() - before < 50_000_000


class Flood:
    """Requests as fast as a server reads them, on one connection; nothing is read."""

    def __init__(self, endpoint: Any, frame: bytes) -> None:
        self.peer = RawPeer(endpoint)
        self.peer.sock.setblocking(False)
        self.sent_bytes = 0
        self._frame = frame

    def push_until_nobody_reads(self) -> None:
        refused_in_a_row = 0
        while refused_in_a_row < 100:
            start_at = self.sent_bytes % len(self._frame)
            try:
                self.sent_bytes += self.peer.sock.send(self._frame[start_at:])
                refused_in_a_row = 0
            except BlockingIOError:
                refused_in_a_row += 1
                time.sleep(0.002)

    def finish(self) -> int:
        """Send the rest of the last one; how many were sent."""
        self.peer.sock.setblocking(True)
        rest = -self.sent_bytes % len(self._frame)
        if rest:
            self.peer.sock.sendall(self._frame[-rest:])
        return (self.sent_bytes + rest) // len(self._frame)


class Halt:
    """A handler that answers once it may."""

    def __init__(self, is_async: bool) -> None:
        self.opened = threading.Event()
        self.handler: Any = self._wait_async if is_async else self._wait

    def _wait(self, request: Any, controller: Controller) -> Any:
        self.opened.wait()
        return EchoResponse(message="ok")

    async def _wait_async(self, request: Any, controller: Controller) -> Any:
        while not self.opened.is_set():
            await asyncio.sleep(0.01)
        return EchoResponse(message="ok")


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async"])
@pytest.mark.parametrize("size", [5, 20_000])
def test_requests_that_nobody_answers_are_not_read_without_end(is_async: bool, size: int) -> None:
    """And all are answered once the handler goes on."""
    limit, halt = 8_000_000, Halt(is_async)
    options: dict[str, Any] = {"max_workers": 4, "max_unanswered_bytes": limit}
    with make_server(halt.handler, echo, **options) as server:
        endpoint = start(server)
        flood = Flood(endpoint, packed(request(1, message="x" * size)))
        with flood.peer, RawPeer(endpoint) as other:
            try:
                flood.push_until_nobody_reads()
                running = server.statistics().running
                assert 0 < running * (2048 + size) < limit / 4 + 8_000_000
                other.send(request(1, "Stream"))
            finally:
                halt.opened.set()
            assert text_of(other.read_answer()) == "hello"
            count = flood.finish()
            answered = sum(text_of(flood.peer.read_answer()) == "ok" for _ in range(count))
            assert answered == count > running / 2
        wait_until(lambda: unanswered_of(server).size_bytes == 0)


def test_many_connections_together_are_bounded_and_who_holds_little_is_served() -> None:
    limit, halt = 4_000_000, Halt(is_async=True)
    with make_server(halt.handler, echo, max_unanswered_bytes=limit) as server:
        endpoint = start(server)
        frame = packed(request(1, message="x" * 20_000))
        floods = [Flood(endpoint, frame) for _ in range(12)]
        try:
            for flood in floods:
                flood.push_until_nobody_reads()
            assert limit / 2 < unanswered_of(server).size_bytes < limit + 12 * 200_000
            with RawPeer(endpoint) as other:
                assert text_of(other.call("Stream")) == "hello"
        finally:
            halt.opened.set()
            for flood in floods:
                flood.peer.reset()
        wait_until(lambda: server.statistics().running == 0)
        wait_until(lambda: unanswered_of(server).size_bytes == 0)


@KINDS
def test_request_leaves_no_counted_bytes_however_it_ends(kind: Any) -> None:
    def fail_or_echo(request: Any, controller: Controller) -> Any:
        if request.message == "fail":
            raise pybrpc.errors.RpcError("as asked", code=1234)
        return echo(request, controller)

    body = compress(EchoRequest(message="z" * 10_000).SerializeToString(), CompressType.GZIP)
    with make_server(kind(fail_or_echo)) as server:
        endpoint = start(server)
        for leaves in (False, True):
            with RawPeer(endpoint) as peer:
                for _ in range(20):
                    peer.send(
                        request(1),
                        request(2, message="fail"),
                        request(3, body=body, compress_type=CompressType.GZIP),
                        request(4, body=b"\xff", attachment=IOBuf(bytes(100_000))),
                        request(5, user_fields={"a": "b"}, request_id="x" * 100),
                    )
                if leaves:
                    peer.reset()
                else:
                    peer.read_answers(100)
        wait_until(lambda: server.statistics().connections == 0)
        wait_until(lambda: server.statistics().running == 0)
        wait_until(lambda: unanswered_of(server).size_bytes == 0)


# --- bodies ---


def zip_bomb(size: int) -> bytes:
    """One stream of gzip, a thousandth of `size`."""
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(bytes(size)) + packer.flush()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("kind", "bomb"),
    [
        (CompressType.GZIP, zip_bomb(300_000_000)),
        (CompressType.ZLIB, compress(bytes(300_000_000), CompressType.ZLIB)),
        (CompressType.SNAPPY, compress(bytes(300_000_000), CompressType.SNAPPY)),
        (CompressType.SNAPPY, b"\xff\xff\xff\xff\x0f" + bytes(100)),
        (CompressType.GZIP, zip_bomb(0) * 100_000),
    ],
    ids=["gzip", "zlib", "snappy", "snappy-declares-4-GB", "a-hundred-thousand-streams"],
)
def test_a_decompression_bomb_is_refused_while_it_grows(kind: int, bomb: bytes) -> None:
    with serving(max_body_size=20_000_000) as peer:
        before = resident_bytes()
        answer = peer.call(body=bomb, compress_type=kind)
        assert answer.error_code == ErrorCode.EREQUEST
        assert resident_bytes() - before < 150_000_000
        assert text_of(peer.call()) == "hello"


def test_decompressed_bytes_count_until_the_answer() -> None:
    """Each bomb is under max_body_size; kept by slow handlers they would add up."""
    halt = Halt(is_async=True)
    body = compress(EchoRequest(message="z" * 1_000_000).SerializeToString(), CompressType.GZIP)
    limit = 8_000_000
    with make_server(halt.handler, max_unanswered_bytes=limit) as server:
        with RawPeer(start(server)) as peer:
            peer.send(*(request(i, body=body, compress_type=CompressType.GZIP) for i in range(100)))
            refused = [peer.read_answer() for _ in range(60)]
            assert {answer.error_code for answer in refused} == {ErrorCode.EOVERCROWDED}
            assert "decompress" in refused[0].error_text
            halt.opened.set()
            rest = peer.read_answers(40)
            assert 0 < sum(not answer.error_code for answer in rest.values()) < 40
        wait_until(lambda: unanswered_of(server).size_bytes == 0)


def test_what_a_body_may_become_is_reserved_before_it_is_decompressed() -> None:
    """To count what was decompressed is too late when many bombs come at once."""
    body = compress(EchoRequest(message="z" * 15_000_000).SerializeToString(), CompressType.GZIP)
    with make_server(max_unanswered_bytes=32_000_000) as server, RawPeer(start(server)) as peer:
        process = unanswered_of(server)
        others = process.try_reserve(1 << 40)
        answers = [peer.call(body=body, compress_type=CompressType.GZIP)]
        process.release(others)
        answers.append(peer.call(body=body, compress_type=CompressType.GZIP))
        assert [answer.error_code for answer in answers] == [ErrorCode.EOVERCROWDED, 0]
        assert "decompress" in answers[0].error_text
        assert process.reserved_bytes == 0


SENT = EchoRequest(message="z" * 5_000_000).SerializeToString()


@pytest.mark.parametrize("limit", [1_000_000, None])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (compress(SENT, CompressType.GZIP), 0),
        (compress(random.Random(1).randbytes(90_000), CompressType.GZIP), ErrorCode.EREQUEST),
        (compress(SENT, CompressType.GZIP)[:-1], ErrorCode.EREQUEST),
        (compress(b"\n", CompressType.GZIP), ErrorCode.EREQUEST),
        (zip_bomb(100_000_000), ErrorCode.EREQUEST),
        (b"", ErrorCode.EREQUEST),
    ],
    ids=["grows-much", "grows-little", "cut-short", "no-message", "too-large", "empty"],
)
def test_reservation_ends_with_the_parsing_however_that_ends(
    body: bytes, code: int, limit: int | None
) -> None:
    """Also a body that grows beyond the limit is decompressed, if nothing else is there."""
    options = {"max_body_size": 10_000_000, "max_unanswered_bytes": limit}
    with make_server(**options) as server, RawPeer(start(server)) as peer:
        for _ in range(3):
            answer = peer.call(body=body, compress_type=CompressType.GZIP)
            assert answer.error_code == code, answer.error_text
            assert unanswered_of(server).reserved_bytes == 0
        wait_until(lambda: unanswered_of(server).size_bytes == 0)


def nested(depth: int, tag: bytes, end: bytes) -> bytes:
    """Groups in groups, which any message may have as unknown fields."""
    return tag * depth + end * depth


DEEP = nested(100_000, b"\xfb\x07", b"\xfc\x07")


def test_a_body_that_nests_deep_is_refused() -> None:
    with serving() as peer:
        answer = peer.call(body=EchoRequest(message="x").SerializeToString() + DEEP)
        assert answer.error_code == ErrorCode.EREQUEST
        assert text_of(peer.call()) == "hello"


# --- metas ---


def frame_of(meta: bytes, rest: bytes = b"") -> bytes:
    return struct.pack("!4sII", b"PRPC", len(meta) + len(rest), len(meta)) + meta + rest


def test_a_meta_that_nests_deep_closes_the_connection() -> None:
    meta = RpcMeta(correlation_id=1).SerializeToString() + DEEP
    with serving() as peer:
        peer.sock.sendall(frame_of(meta))
        assert is_closed(peer.sock)


def test_a_meta_of_many_megabytes_closes_the_connection_before_it_has_come(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving() as peer:
        peer.sock.sendall(struct.pack("!4sII", b"PRPC", 30_000_000, 20_000_000))
        assert is_closed(peer.sock)
    assert f"max_meta_size={DEFAULT_MAX_META_SIZE}" in caplog.text


def test_names_of_a_megabyte_are_but_unknown() -> None:
    with serving() as peer:
        for fields in ({"service": "s" * 900_000}, {"method": "m" * 900_000}):
            answer = peer.call(**fields)
            assert answer.error_code in (ErrorCode.ENOSERVICE, ErrorCode.ENOMETHOD)
        assert text_of(peer.call()) == "hello"


class Doorkeeper:
    """Notes what it is shown; nobody comes in."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def generate_credential(self) -> bytes:
        return b""

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> None:
        self.shown.append(len(credential))
        raise AuthenticationError("nobody")


def frame_with_credential(size: int) -> bytes:
    """A frame that may be longer than this library would send."""
    asking = request(1, credential=b"c" * size)
    meta, body = encode_request_meta(asking, 0), bytes(asking.body)
    return pack_header(len(meta) + len(body), len(meta)) + meta + body


@pytest.mark.parametrize("size", [0, 900_000, 2_000_000])
def test_a_credential_is_no_longer_than_a_meta_and_is_judged_once(size: int) -> None:
    keeper = Doorkeeper()
    with serving(auth=keeper) as peer:
        with contextlib.suppress(ConnectionError):
            peer.sock.sendall(5 * frame_with_credential(size))
        assert is_closed(peer.sock)
    assert keeper.shown == ([size] if size < DEFAULT_MAX_META_SIZE else [])


def test_ids_that_collide_as_hashes_are_as_good_as_others() -> None:
    with serving() as peer:
        ids = [P61 * (i % 4) for i in range(20_000)]
        reader = threading.Thread(target=lambda: [peer.read_answer() for _ in ids])
        reader.start()
        peer.send(*(request(i) for i in ids))
        reader.join(60)
        assert not reader.is_alive()


# --- nonsense ---


@pytest.mark.parametrize("seed", range(5))
def test_garbage_harms_nobody(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    source = random.Random(seed)
    frame = packed(request(1))
    with make_server() as server:
        endpoint = start(server)
        with RawPeer(endpoint) as good:
            for _ in range(100):
                damaged = bytearray(frame * 3)
                for _ in range(source.randint(1, 20)):
                    damaged[source.randrange(len(damaged))] = source.randrange(256)
                with RawPeer(endpoint) as peer:
                    peer.sock.sendall(source.choice((source.randbytes(500), bytes(damaged))))
                    peer.shut_writing()
                    assert is_closed(peer.sock)
                assert text_of(good.call()) == "hello"
        wait_until(lambda: server.statistics().connections == 0)
    errors = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    # A string that is no UTF-8 is found out by the handler that looks at it.
    assert set(errors) <= {"the handler of conformance.EchoService.Echo raised"}


@pytest.mark.parametrize("over_tls", [False, True])
def test_no_peer_writes_a_line_of_its_own_into_the_log(
    over_tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    evil = "x\n2026-01-01 CRITICAL root: all is lost\r\x1b[31m\x00\u2028"
    raw = evil.encode()
    hostile = [
        raw,
        b"PRPC" + raw,
        frame_of(raw),
        packed(request(1, service=evil)),
        packed(request(1, method=evil)),
        packed(request(1, request_id=evil, user_fields={evil: evil})),
        packed(request(1, message=evil, body=raw)),
        packed(request(1, compress_type=77, body=raw)),
        packed(request(1, checksum_type=1, checksum_value=raw)),
        frame_of(RpcMeta(correlation_id=5).SerializeToString(), raw),
    ]
    caplog.set_level("DEBUG")
    for said in hostile:
        with serving(tls=certificates().server_tls() if over_tls else None) as peer:
            peer.sock.sendall(said)
            peer.shut_writing()
            assert is_closed(peer.sock)
    texts = [record.getMessage() for record in caplog.records]
    assert texts
    assert [text for text in texts if not text.isprintable()] == []
