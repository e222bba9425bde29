"""Messages of HTTP/1 as peers send them, sound and hostile; and how a parser is fed with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.head import MessageEnd, RequestHead, ResponseHead
from pybrpc.protocols.http1.head_parser import PATTERN_HEAD_PARSER, HeadParser
from pybrpc.protocols.http1.parser import MessageParser, ResponseParser
from tests.oracles.httptools_head_parser import HttptoolsHeadParser

Fields = list[tuple[str, str]]

HEAD_PARSERS: tuple[HeadParser, ...] = (PATTERN_HEAD_PARSER, HttptoolsHeadParser())

GET = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"
)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def request(*lines: bytes, body: bytes = b"", start: bytes = b"POST / HTTP/1.1") -> bytes:
    """A request with a Host and with `lines` as its other headers."""
    return b"\r\n".join((start, b"Host: h", *lines, b"", body))


def chunked(chunks: bytes, *lines: bytes) -> bytes:
    return request(b"Transfer-Encoding: chunked", *lines, body=chunks)


def response(*lines: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((start, *lines, b"", body))


SOUND_REQUESTS: dict[str, bytes] = {
    "get": GET,
    "post": POST,
    "chunked": CHUNKED,
    "pipelined": GET + POST + CHUNKED + GET,
    "http 1.0": b"GET / HTTP/1.0\r\n\r\n",
    "http 1.0 kept": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET,
    "closed, then more": request(b"Connection: close", start=b"GET / HTTP/1.1") + GET,
    "empty lines first": b"\r\n\r\n" + GET + b"\r\n" + GET,
    "options": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute url": b"GET http://h:80/a HTTP/1.1\r\nHost: h\r\n\r\n",
    "connect": b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n\x16\x03\x01",
    "upgrade": request(b"Connection: Upgrade", b"Upgrade: websocket", start=b"GET / HTTP/1.1"),
    "blanks around values": request(b"A:b", b"C: \t d e\t ", b"E:", b"F: \t"),
    "high bytes": "GET /é?k=é HTTP/1.1\r\nHost: h\r\nX: é\r\n\r\n".encode(),
    "no utf-8": b"GET /\xff HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n",
    "odd url characters": b'GET /"<>[]^`{|}\\ HTTP/1.1\r\nHost: h\r\n\r\n',
    "repeated headers": request(b"A: 1", b"a: 2", b"Cookie: a=1", b"cookie: b=2"),
    "length in capitals": request(b"CONTENT-LENGTH: 2", body=b"ok"),
    "length with zeros": request(b"Content-Length: 0002", body=b"ok"),
    "no body": request(b"Content-Length: 0") + GET,
    "chunked in capitals": request(b"Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"),
    "blanks around chunked": request(b"Transfer-Encoding: \tchunked ", body=b"0\r\n\r\n"),
    "chunk extensions": chunked(b'5; a ;b="c"\r\nhello\r\n0;last\r\n\r\n'),
    "many small chunks": chunked(b"1\r\nx\r\n" * 40 + b"0\r\n\r\n"),
    "chunk sizes in capitals": chunked(b"A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n"),
    "trailers": chunked(b"0\r\nA: 1\r\nB:\r\n\r\n") + GET,
    "minor version 7": b"GET / HTTP/1.7\r\nHost: h\r\n\r\n",
    "method query": b"QUERY / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n?",
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "expect": request(b"Expect: 100-continue", b"Content-Length: 1", body=b"x"),
}

HOSTILE_REQUESTS: dict[str, tuple[bytes, int]] = {
    "length and chunked": (request(b"Content-Length: 4", b"Transfer-Encoding: chunked"), 400),
    "chunked and length": (request(b"Transfer-Encoding: chunked", b"Content-Length: 4"), 400),
    "two lengths": (request(b"Content-Length: 4", b"Content-Length: 5"), 400),
    "one length twice": (request(b"Content-Length: 4", b"Content-Length: 4"), 400),
    "list of lengths": (request(b"Content-Length: 4, 4"), 400),
    "empty length": (request(b"Content-Length:"), 400),
    "length with plus": (request(b"Content-Length: +4"), 400),
    "negative length": (request(b"Content-Length: -4"), 400),
    "length in hex": (request(b"Content-Length: 0x4"), 400),
    "length with underscore": (request(b"Content-Length: 1_0"), 400),
    "length with blank": (request(b"Content-Length: 1 0"), 400),
    "length with foreign digits": (request("Content-Length: ²".encode("latin-1")), 400),
    "length of 20 digits": (request(b"Content-Length: 18446744073709551620"), 400),
    "length over the limit": (request(b"Content-Length: 9999999999999999999"), 413),
    "folded header": (request(b"A: b", b" c"), 400),
    "folded header with tab": (request(b"A: b", b"\tc"), 400),
    "folded length": (request(b"Content-Length:", b" 4"), 400),
    "folded first header": (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "lf alone": (b"GET / HTTP/1.1\nHost: h\n\n", 400),
    "lf alone in a header": (b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400),
    "lf alone at the end": (b"GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
    "cr alone in a value": (request(b"A: b\rC: d"), 400),
    "cr alone in a line": (b"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "cr cr lf": (b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", 400),
    "nul in a value": (request(b"A: b\0c"), 400),
    "nul in a name": (request(b"A\0: b"), 400),
    "nul in a url": (b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "control character": (request(b"A: b\x01"), 400),
    "vertical tab": (request(b"Transfer-Encoding: \x0bchunked"), 400),
    "delete": (request(b"A: b\x7f"), 400),
    "blank before colon": (request(b"Content-Length : 4"), 400),
    "tab before colon": (request(b"Transfer-Encoding\t: chunked"), 400),
    "blank before name": (request(b" A: b"), 400),
    "blank in a name": (request(b"A b: c"), 400),
    "empty name": (request(b": b"), 400),
    "header without colon": (request(b"Abc"), 400),
    "name that is no token": (request(b"A(b): c"), 400),
    "name beyond ascii": (request("Ä: c".encode()), 400),
    "gzip, chunked": (request(b"Transfer-Encoding: gzip, chunked"), 501),
    "chunked, gzip": (request(b"Transfer-Encoding: chunked, gzip"), 400),
    "chunked twice": (request(b"Transfer-Encoding: chunked, chunked"), 400),
    "chunked in two headers": (request(*[b"Transfer-Encoding: chunked"] * 2), 400),
    "chunked, identity": (request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"), 400),
    "identity": (request(b"Transfer-Encoding: identity"), 400),
    "quoted chunked": (request(b'Transfer-Encoding: "chunked"'), 400),
    "chunked with parameter": (request(b"Transfer-Encoding: chunked;a=b"), 400),
    "xchunked": (request(b"Transfer-Encoding: xchunked"), 400),
    "empty coding": (request(b"Transfer-Encoding:"), 400),
    "empty coding and chunked": (
        request(b"Transfer-Encoding:", b"Transfer-Encoding: chunked"),
        400,
    ),
    "chunked in 1.0": (request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"), 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no host, url in the query": (b"GET /?u=http://h HTTP/1.1\r\n\r\n", 400),
    "two hosts": (request(b"Host: g"), 400),
    "host twice": (request(b"Host: h"), 400),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: h/a\r\n\r\n", 400),
    "host with a user": (b"GET / HTTP/1.1\r\nHost: a@h\r\n\r\n", 400),
    "host with a blank": (b"GET / HTTP/1.1\r\nHost: a h\r\n\r\n", 400),
    "http 0.9": (b"GET /\r\n\r\n", 400),
    "http 2.0": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    "h2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http 12.34": (b"GET / HTTP/12.34\r\nHost: h\r\n\r\n", 505),
    "version in lower case": (b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
    "version without minor": (b"GET / HTTP/1\r\nHost: h\r\n\r\n", 400),
    "version with letters": (b"GET / HTTP/1.x\r\nHost: h\r\n\r\n", 400),
    "unknown method": (b"GOT / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "method in lower case": (b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "method of rtsp": (b"DESCRIBE / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "long method": (b"G" * 33 + b" / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "no method": (b" / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "tab in the line": (b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "blank in the url": (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "blank behind the version": (b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
    "url without a slash": (b"GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "star for get": (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "connect to a path": (b"CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "connect with a body": (
        b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd",
        400,
    ),
    "no http": (b"slkdjflksdf skldjf\r\n", 400),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "a response": (OK, 400),
    "nine empty lines": (b"\r\n" * 9 + GET, 400),
    "garbage behind a message": (POST + b"\x01", 400),
    "longer body than its length": (POST + b" world / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "chunk size of 17 digits": (chunked(b"0" * 16 + b"1\r\nx\r\n0\r\n\r\n"), 400),
    "huge chunk": (chunked(b"ffffffffffffffff\r\nx"), 413),
    "negative chunk": (chunked(b"-1\r\nx\r\n0\r\n\r\n"), 400),
    "chunk size with plus": (chunked(b"+1\r\nx\r\n0\r\n\r\n"), 400),
    "chunk size with 0x": (chunked(b"0x1\r\nx\r\n0\r\n\r\n"), 400),
    "chunk size with underscore": (chunked(b"1_0\r\nx\r\n0\r\n\r\n"), 400),
    "blank before chunk size": (chunked(b" 1\r\nx\r\n0\r\n\r\n"), 400),
    "blank behind chunk size": (chunked(b"1 \r\nx\r\n0\r\n\r\n"), 400),
    "empty chunk size": (chunked(b"\r\nx\r\n0\r\n\r\n"), 400),
    "chunk line with lf alone": (chunked(b"1\nx\r\n0\r\n\r\n"), 400),
    "chunk line with cr alone": (chunked(b"1\rx\r\n0\r\n\r\n"), 400),
    "extension with lf alone": (chunked(b"1;a\nb\r\nx\r\n0\r\n\r\n"), 400),
    "extension with nul": (chunked(b"1;a\0\r\nx\r\n0\r\n\r\n"), 400),
    "chunk without line end": (chunked(b"1\r\nxy\r\n0\r\n\r\n"), 400),
    "chunk with lf alone behind": (chunked(b"1\r\nx\n0\r\n\r\n"), 400),
    "length in trailers": (chunked(b"0\r\nContent-Length: 5\r\n\r\n"), 400),
    "coding in trailers": (chunked(b"0\r\nTransfer-Encoding: x\r\n\r\n"), 400),
    "folded trailer": (chunked(b"0\r\nA: b\r\n c\r\n\r\n"), 400),
    "trailer with lf alone": (chunked(b"0\r\nA: b\n\r\n"), 400),
    "trailer without colon": (chunked(b"0\r\nGET / HTTP/1.1\r\n\r\n"), 400),
    "101 headers": (request(*[b"A: b"] * 100), 431),
    "64 KiB of headers": (request(b"A: " + b"b" * 65536), 431),
    "long url": (b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "url without an end": (b"GET /" + b"a" * 70000, 414),
    "10 KiB of trailers": (chunked(b"0\r\nA: " + b"b" * 10000 + b"\r\n\r\n"), 431),
    "long chunk line": (chunked(b"1;" + b"a" * 5000 + b"\r\nx\r\n0\r\n\r\n"), 400),
    "long extensions": (chunked((b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 5 + b"0\r\n\r\n"), 400),
}

SOUND_RESPONSES: dict[str, bytes] = {
    "length": OK,
    "chunked": response(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\nA: b\r\n\r\n"),
    "until close": response(body=b"all of it"),
    "no content": NO_CONTENT,
    "no content with a length": response(b"Content-Length: 5", start=b"HTTP/1.1 204 x") + OK,
    "not modified": response(b"Content-Length: 5", start=b"HTTP/1.1 304 Not Modified") + OK,
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + OK,
    "switching": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes",
    "two": OK + OK,
    "closed, then more": response(b"Connection: close", b"Content-Length: 0") + OK,
    "http 1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "empty reason": b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    "long reason": b"HTTP/1.1 200 It went\twell \xe9\r\nContent-Length: 0\r\n\r\n",
    "set-cookies": response(b"Set-Cookie: a=1", b"set-cookie: b=2", b"Content-Length: 0"),
    "status 999": b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n",
}

HOSTILE_RESPONSES: dict[str, bytes] = {
    "length and chunked": response(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
    "two lengths": response(b"Content-Length: 2", b"Content-Length: 3"),
    "gzip": response(b"Transfer-Encoding: gzip"),
    "chunked in 1.0": response(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK"),
    "http 2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "control character in the reason": b"HTTP/1.1 200 a\x01b\r\n\r\n",
    "lf alone": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "folded header": response(b"A: b", b" c"),
    "blank before colon": response(b"Content-Length : 0"),
    "empty line first": b"\r\n" + OK,
    "a request": GET,
    "icy": b"ICY 200 OK\r\n\r\n",
    "tls alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "garbage behind a message": OK + b"x",
    "not asked for": OK * 20,
}


@dataclass
class Seen:
    """A message, as far as it was parsed."""

    head: RequestHead | ResponseHead
    body: bytes = b""
    is_whole: bool = False
    trailers: Fields = field(default_factory=list)

    def told(self) -> tuple[Any, ...]:
        """All that a user sees of it."""
        head = self.head
        if isinstance(head, RequestHead):
            start: tuple[Any, ...] = head.method, head.target, head.expects_continue
        else:
            start = head.status, head.reason, head.is_interim
        framing = head.minor_version, head.content_length, head.is_chunked, head.keep_alive
        fields = list(head.headers.fields())
        return start, framing, head.upgrade, fields, self.body, self.is_whole, self.trailers


def response_parser(method: str = "GET", count: int = 9, **options: Any) -> ResponseParser:
    parser = ResponseParser(**options)
    for _ in range(count):
        parser.expect(method)
    return parser


def read_all(parser: MessageParser, pieces: Iterable[bytes], ends: bool = False) -> list[Seen]:
    """The messages in the bytes. A parser that is closed gets no further bytes."""
    buffer = IOBuf()
    seen: list[Seen] = []
    for piece in pieces:
        buffer.append(piece)
        while not parser.is_closed and (events := parser.read(buffer)):
            note_all(events, seen)
        assert parser.held_bytes < 65536 + 2048 + 4
    if ends:
        note_all(parser.end(), seen)
    return seen


def note_all(events: Iterable[object], seen: list[Seen]) -> None:
    """Add events to the messages that they are of."""
    for event in events:
        if isinstance(event, RequestHead | ResponseHead):
            assert not seen or seen[-1].is_whole
            seen.append(Seen(event))
        elif isinstance(event, IOBuf):
            assert event
            seen[-1].body += bytes(event)
        else:
            assert isinstance(event, MessageEnd)
            seen[-1].is_whole = True
            if event.trailers is not None:
                seen[-1].trailers = list(event.trailers.fields())


def outcome(parser: MessageParser, pieces: Iterable[bytes]) -> tuple[list[Any], type | None]:
    """All that a user sees of some bytes: messages, and the type of the error."""
    told = [message.told() for message in read_all(parser, pieces)]
    return told, None if parser.broken is None else type(parser.broken)


def splits(data: bytes) -> Iterator[list[bytes]]:
    """All ways to cut the bytes in two, and each byte alone."""
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]
