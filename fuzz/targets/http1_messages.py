"""HTTP/1: both head parsers, in any pieces, see what h11 sees of each message that is accepted; and
nothing is kept or accepted beyond the limits."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from pybrpc.protocols.http1.error_responses import parse_error_response
from pybrpc.protocols.http1.head_parser import PATTERN_HEAD_PARSER, HeadParser
from pybrpc.protocols.http1.options import ParserOptions
from pybrpc.protocols.http1.parser import MessageParser, RequestParser
from tests.fakes.http1_messages import (
    HEAD_PARSERS,
    HOSTILE_REQUESTS,
    HOSTILE_RESPONSES,
    SOUND_REQUESTS,
    SOUND_RESPONSES,
    outcome,
    read_all,
    response_parser,
)
from tests.oracles.http1_h11 import (
    assert_equal,
    is_beyond_h11,
    requests_by_h11,
    responses_by_h11,
)

OPTIONS = (
    ParserOptions(),
    ParserOptions(200, 5, 60, 40, 30, 60, 100),
    ParserOptions(require_host=False, allow_chunked_length=True),
)


def check(data: bytes) -> None:
    given = Parameters(data)
    is_request, options, plan = given.flag(), given.one_of(OPTIONS), given.number()
    stream = given.rest()

    def new_parser(head_parser: HeadParser = PATTERN_HEAD_PARSER) -> MessageParser:
        if is_request:
            return RequestParser(options, head_parser)
        return response_parser(options=options, head_parser=head_parser)

    first = new_parser()
    expected = outcome(first, [stream])
    if first.broken is not None:
        assert_says(first.broken)
        parse_error_response(first.broken)
    for head_parser in HEAD_PARSERS:
        for each in {WHOLE, plan}:
            assert outcome(new_parser(head_parser), pieces_of(stream, each)) == expected
    if options is OPTIONS[0]:
        _judge(new_parser(), stream, is_request)


def _judge(parser: MessageParser, stream: bytes, is_request: bool) -> None:
    if stream.startswith(b"\r") or b"\r\n\r\n\r\n" in stream:
        return
    if is_request:
        judged, _ = requests_by_h11(stream)
    else:
        judged, _ = responses_by_h11(stream, ["GET"] * 9, ends=True)
    for at, message in enumerate(read_all(parser, [stream], ends=True)):
        if is_beyond_h11(message) or not (is_request or message.head.keep_alive):
            return
        if message.is_whole:
            assert_equal(message, judged[at])


def seeds() -> Iterator[bytes]:
    requests = [*SOUND_REQUESTS.values(), *(wire for wire, _ in HOSTILE_REQUESTS.values())]
    responses = [*SOUND_RESPONSES.values(), *HOSTILE_RESPONSES.values()]
    for is_request, wires in ((1, requests), (0, responses)):
        for number, wire in enumerate(wires):
            if len(wire) < TARGET.max_bytes:
                yield bytes([is_request, 0, WHOLE if number % 2 else BYTEWISE]) + wire
                yield bytes([is_request, 1 + number % 2, 2 + number % 200]) + wire


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        *(b"\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"Host: h\r\n"),
        *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
        *(b"0\r\n\r\n", b"5\r\nhello\r\n", b";a=b", b"Upgrade: x\r\n", b" HTTP/1.0", b"CONNECT "),
    ),
    max_bytes=1500,
)
