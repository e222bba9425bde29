"""HTTP/1: messages come back as they were written, in any pieces; h11 sees what pybrpc sees."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.options import METHODS, ParserOptions
from pybrpc.protocols.http1.parser import RequestParser
from pybrpc.protocols.http1.query import QueryMap, UriError, decode_query, encode_query
from pybrpc.protocols.http1.uri import URI
from pybrpc.protocols.http1.writer import RequestWriter, ResponseWriter
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

TOKEN = st.text(st.sampled_from("!#$%&'*+-.^_`|~09azAZ"), min_size=1, max_size=6)
FRAMING = {"content-length", "transfer-encoding", "host", "connection", "upgrade", "expect"}
NAMES = TOKEN.filter(lambda name: name.lower() not in FRAMING)
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f")
VALUES = st.lists(st.text(VISIBLE, max_size=5), max_size=3).map(" \t".join).map(str.strip)
VALUES = VALUES.filter(lambda value: not any("\x7f" <= char < "\xa1" for char in value))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=9).map(
    "/".__add__
)
PARTS = st.lists(st.binary(max_size=40) | st.binary(min_size=500, max_size=600), max_size=4)
REPEATABLE = st.sampled_from(sorted(METHODS - {"CONNECT", "OPTIONS"}))


@st.composite
def sent_requests(draw: st.DrawFn) -> tuple[bytes, tuple[Any, ...]]:
    """A request as RequestWriter writes it, and what has to come back."""
    method, target, headers = draw(REPEATABLE), draw(TARGETS), HttpHeaders(draw(FIELDS))
    parts = draw(PARTS)
    writer, data = RequestWriter("h", defaults=False), IOBuf()
    trailers: list[tuple[str, str]] = []
    form = draw(st.integers(0, 2))
    if form == 0:
        data.append(writer.whole(method, target, headers, b"".join(parts)))
    else:
        size = None if form == 1 else sum(map(len, parts))
        data.append(writer.begin(method, target, headers, size))
        for part in parts:
            data.append(writer.part(part))
        trailers = list(HttpHeaders(draw(FIELDS)).fields()) if form == 1 else []
        data.append(writer.end(trailers))
    return bytes(data), (method, target, headers, b"".join(parts), trailers)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes in any pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in itertools.pairwise([0, *places, len(data)])]


@given(st.lists(sent_requests(), min_size=1, max_size=3), st.data())
def test_requests_come_back(sent: list[tuple[bytes, tuple[Any, ...]]], data: st.DataObject) -> None:
    stream = b"".join(wire for wire, _ in sent)
    parser = RequestParser()
    messages = read_all(parser, data.draw(cuts(stream)))
    assert parser.broken is None
    assert len(messages) == len(sent)
    judged, is_refused = requests_by_h11(stream)
    assert not is_refused
    for message, (_, expected), theirs in zip(messages, sent, judged, strict=True):
        method, target, headers, body, trailers = expected
        head: Any = message.head
        assert (head.method, head.target) == (method, target)
        for name, value in headers.items():
            assert head.headers[name] == value
        assert (message.body, message.trailers, message.is_whole) == (body, trailers, True)
        assert_equal(message, theirs)


@given(st.sampled_from([200, 404, 500, 204, 304]), FIELDS, PARTS, st.booleans(), st.data())
def test_responses_come_back(
    status: int,
    fields: list[tuple[str, str]],
    parts: list[bytes],
    is_whole: bool,
    data: st.DataObject,
) -> None:
    writer, sent = ResponseWriter(), IOBuf()
    if is_whole:
        sent.append(writer.whole(status, fields, b"".join(parts)))
    else:
        sent.append(writer.begin(status, fields))
        sent.appendv(map(writer.part, parts))
        sent.append(writer.end())
    stream = bytes(sent) * 2
    messages = read_all(response_parser(count=2), data.draw(cuts(stream)))
    judged, is_refused = responses_by_h11(stream, ["GET", "GET"])
    assert not is_refused
    body = b"" if status in (204, 304) else b"".join(parts)
    for message, theirs in zip(messages, judged, strict=True):
        assert (message.told()[0][0], message.body, message.is_whole) == (status, body, True)
        assert_equal(message, theirs)


def judge_requests(data: bytes) -> None:
    """h11 accepts each whole request that pybrpc accepts, with equal contents."""
    if data.startswith(b"\r") or b"\r\n\r\n\r\n" in data:
        return
    judged, _ = requests_by_h11(data)
    for at, message in enumerate(read_all(RequestParser(), [data])):
        if is_beyond_h11(message):
            return
        if message.is_whole:
            assert_equal(message, judged[at])


def judge_responses(data: bytes) -> None:
    """h11 accepts each whole response that pybrpc accepts, with equal contents."""
    judged, _ = responses_by_h11(data, ["GET"] * 9, ends=True)
    for at, message in enumerate(read_all(response_parser(), [data], ends=True)):
        if is_beyond_h11(message) or message.head.keep_alive is False:
            return
        if message.is_whole:
            assert_equal(message, judged[at])


@pytest.mark.parametrize("name", [*SOUND_REQUESTS, *HOSTILE_REQUESTS])
def test_h11_agrees_on_the_corpus_of_requests(name: str) -> None:
    judge_requests(SOUND_REQUESTS.get(name) or HOSTILE_REQUESTS[name][0])


@pytest.mark.parametrize("name", [*SOUND_RESPONSES, *HOSTILE_RESPONSES])
def test_h11_agrees_on_the_corpus_of_responses(name: str) -> None:
    judge_responses(SOUND_RESPONSES.get(name) or HOSTILE_RESPONSES[name])


SHORT_REQUESTS = [*SOUND_REQUESTS.values(), *(data for data, _ in HOSTILE_REQUESTS.values())]
SHORT_REQUESTS = [data for data in SHORT_REQUESTS if len(data) < 600]
SHORT_RESPONSES = [*SOUND_RESPONSES.values(), *HOSTILE_RESPONSES.values()]
NOISE = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b",", b";", b"0", b"\xff"]
)


@st.composite
def damaged(draw: st.DrawFn, sound: list[bytes]) -> bytes:
    """Messages with a few bytes put in, taken out or exchanged."""
    data = b"".join(draw(st.lists(st.sampled_from(sound), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        noise = draw(NOISE | st.binary(max_size=2))
        data = data[:at] + noise + data[at + draw(st.integers(0, 2)) :]
    return data


@given(damaged(SHORT_REQUESTS), st.data())
def test_damaged_requests_are_seen_alike(stream: bytes, data: st.DataObject) -> None:
    """By both head parsers, in any pieces, and if they are accepted, by h11."""
    expected = outcome(RequestParser(), [stream])
    for head_parser in HEAD_PARSERS:
        parser = RequestParser(head_parser=head_parser)
        assert outcome(parser, data.draw(cuts(stream))) == expected
    judge_requests(stream)


@given(damaged(SHORT_RESPONSES), st.data())
def test_damaged_responses_are_seen_alike(stream: bytes, data: st.DataObject) -> None:
    expected = outcome(response_parser(), [stream])
    for head_parser in HEAD_PARSERS:
        parser = response_parser(head_parser=head_parser)
        assert outcome(parser, data.draw(cuts(stream))) == expected
    judge_responses(stream)


@given(st.binary(max_size=60), st.integers(1, 40))
def test_limits_hold_for_any_bytes(data: bytes, limit: int) -> None:
    options = ParserOptions(limit, 5, limit, limit, limit, limit, limit)
    for parser in (RequestParser(options), response_parser(options=options)):
        for message in read_all(parser, [data[at : at + 1] for at in range(len(data))]):
            assert len(message.body) <= limit


PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@given(st.lists(st.tuples(st.text(max_size=5).filter(bool), st.text(max_size=5)), max_size=5))
def test_encoded_queries_come_back(pairs: list[tuple[str, str]]) -> None:
    sound = [(key, value) for key, value in pairs if (key + value).isprintable()]
    assert decode_query(encode_query(sound)) == sound


@given(PLAIN, PLAIN, PLAIN)
def test_urls_come_back(path: str, query: str, fragment: str) -> None:
    path, query = path.translate(NO_MARKS), query.replace("#", "")
    uri = URI()
    uri.set_target(f"/{path}?{query}#{fragment}")
    assert (uri.path, uri.query, uri.fragment) == (f"/{path}", query, fragment)
    again = URI()
    again.set_target(uri.target)
    assert again == uri
    assert QueryMap(str(uri.queries)).items() == uri.queries.items()


NO_MARKS = str.maketrans("", "", "?#")


@given(st.text(max_size=30))
def test_any_text_is_a_url_or_an_error(text: str) -> None:
    try:
        uri = URI(text)
    except UriError:
        return
    shown = str(uri)
    assert uri.port is None or 0 <= uri.port <= 65535
    if uri.host and "@" not in uri.host and "://" not in uri.host and "@" not in uri.scheme:
        assert str(URI(shown)) == shown
