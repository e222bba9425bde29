"""URLs and queries: any text is one, or an error that says why; its parts make the text again."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.fuzz_target import FuzzTarget, assert_says
from pybrpc.protocols.http1.query import QueryMap, UriError, decode_query, remove_queries
from pybrpc.protocols.http1.uri import URI, uri_of_target
from pybrpc.protocols.http1.writer import RequestWriter


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for parse in (URI, uri_of_target):
        try:
            uri = parse(text)
        except UriError as error:
            assert_says(error)
            continue
        assert uri.port is None or 0 <= uri.port <= 65535
        assert repr(uri)
        assert uri.copy() == uri
        _check_target(uri)
        _check_query(uri.query)


def _check_target(uri: URI) -> None:
    """Path, query and fragment come back from what is sent; the line that is sent is one line."""
    again = URI()
    again.set_target(uri.target)
    path = uri.path.partition("?")[0].partition("#")[0]
    if path == uri.path and path:
        assert (again.path, again.query) == (uri.path, uri.query)
    try:
        sent = bytes(RequestWriter("h", defaults=False).whole("GET", uri.target))
    except ValueError as error:
        assert_says(error)
    else:
        assert sent.count(b"\r\n") == 3
        assert sent.split(b"\r\n")[0].count(b" ") == 2


def _check_query(query: str) -> None:
    queries = QueryMap(query)
    assert QueryMap(str(queries)).items() == queries.items()
    assert len(decode_query(query)) == len(queries.items())
    for key in queries:
        assert queries.get(key) == queries.get_all(key)[-1]
        assert key not in QueryMap(_without(query, key))


def _without(query: str, key: str) -> str:
    return remove_queries(query, lambda name, value: name == key)


def seeds() -> Iterator[bytes]:
    yield b" foobar://user:passwd@www.baidu.com:80/s?wd=uri#frag  "
    yield b"www.baidu2.com':/?#[]@!$&()*+,;=-._~%"
    yield b"/dir?key1=&&key2&&=&key3=value3#frag1"
    yield "http://[::1]:99999/é?k=%E6%B5%B7+é&k=%zz".encode()
    yield b"*"
    yield b"?a=1&a=2&&a"


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"://", b"@", b":80", b"?", b"#", b"&", b"=", b"%00", b" ", b"\xff", b"[::1]"),
    max_bytes=300,
)
