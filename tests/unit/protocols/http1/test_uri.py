"""URI: bRPC's own cases (test/brpc_uri_unittest.cpp), and ours. Where all of them are:

    everything, only_host, no_scheme, no_scheme_and_user_info, no_host, empty_host,
        invalid_spaces, invalid_query, high_bit_bytes, print_url, valid_character,
        set_h2_path, generate_h2_path               here, by these names
    copy_and_assign                                 here, as test_copy_is_independent
    consecutive_ampersand, only_equality, only_one_key, set_query       test_query
    query_remover_* (9)                             test_query, as test_query_remover

Ours differ in this: a query from which something was removed has no empty parameters ("&&") left.
"""

from __future__ import annotations

import copy

import pytest

from pybrpc.protocols.http1.query import UriError
from pybrpc.protocols.http1.uri import URI, split_host_and_port, uri_of_target


def parts(uri: URI) -> tuple[str, str, str, int | None, str, str, str]:
    return uri.scheme, uri.user_info, uri.host, uri.port, uri.path, uri.query, uri.fragment


def test_everything() -> None:
    uri = URI(" foobar://user:passwd@www.baidu.com:80/s?wd=uri#frag  ")
    expected = "foobar", "user:passwd", "www.baidu.com", 80, "/s", "wd=uri", "frag"
    assert parts(uri) == expected
    assert uri.queries.get("wd") == "uri"
    assert uri.queries.get("nonkey") is None


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "query"),
    [
        (
            "  foo1://www.baidu1.com?wd=uri2&nonkey=22 ",
            "foo1",
            "www.baidu1.com",
            None,
            "wd=uri2&nonkey=22",
        ),
        (
            "foo2://www.baidu2.com:1234?wd=uri2&nonkey=22 ",
            "foo2",
            "www.baidu2.com",
            1234,
            "wd=uri2&nonkey=22",
        ),
        (" www.baidu3.com:4321 ", "", "www.baidu3.com", 4321, ""),
        (" www.baidu4.com ", "", "www.baidu4.com", None, ""),
    ],
)
def test_only_host(url: str, scheme: str, host: str, port: int | None, query: str) -> None:
    uri = URI(url)
    assert parts(uri) == (scheme, "", host, port, "", query, "")
    assert len(uri.queries) == (2 if query else 0)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("4294967377", None),
        ("65536", None),
        ("999999999999999999999999", None),
        ("1" + "0" * 64, None),
        ("00080", 80),
        ("65535", 65535),
        ("0", 0),
        ("000", 0),
        ("", None),
    ],
)
def test_out_of_range_port(port: str, expected: int | None) -> None:
    uri = URI(f"foo://www.baidu.com:{port}/s")
    assert (uri.host, uri.port, uri.path) == ("www.baidu.com", expected, "/s")
    uri.set_host_and_port(f"www.baidu.com:{port}")
    assert (uri.host, uri.port) == ("www.baidu.com", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[::1]:80", ("[::1]", 80)),
        ("[::1]", ("[::1]", None)),
        (":80", (":80", None)),
        ("a:²", ("a:²", None)),
        ("", ("", None)),
    ],
)
def test_hosts_without_a_plain_port(text: str, expected: tuple[str, int | None]) -> None:
    assert split_host_and_port(text) == expected


def test_no_scheme() -> None:
    uri = URI(" user:passwd2@www.baidu1.com/s?wd=uri2&nonkey=22#frag ")
    expected = "", "user:passwd2", "www.baidu1.com", None, "/s", "wd=uri2&nonkey=22", "frag"
    assert parts(uri) == expected


def test_no_scheme_and_user_info() -> None:
    uri = URI(" www.baidu2.com/s?wd=uri2&nonkey=22#frag ")
    assert parts(uri) == ("", "", "www.baidu2.com", None, "/s", "wd=uri2&nonkey=22", "frag")
    assert uri.queries.items() == [("wd", "uri2"), ("nonkey", "22")]


def test_no_host() -> None:
    uri = URI(" /sb?wd=uri3#frag2 ")
    assert parts(uri) == ("", "", "", None, "/sb", "wd=uri3", "frag2")
    uri.path = "/x/y/z/"
    assert parts(uri) == ("", "", "", None, "/x/y/z/", "wd=uri3", "frag2")
    assert uri.queries.get("wd") == "uri3"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dir?key1=&&key2&&=&key3=value3", "/dir"),
        ("dir?key1=&&key2&&=&key3=value3", "dir"),
        ("/dir?key1=&&key2&&=&key3=value3#frag1", "/dir"),
    ],
)
def test_set_h2_path(path: str, expected: str) -> None:
    uri = URI("http://host:1/old?x#y")
    uri.set_target(path)
    assert uri.path == expected
    assert uri.fragment == ("frag1" if "#" in path else "")
    assert uri.queries.items() == [("key1", ""), ("key2", ""), ("key3", "value3")]
    assert uri.host == "host"


@pytest.mark.parametrize(
    "path",
    [
        "/dir?key1=&&key2&&=&key3=value3",
        "/dir2?key1=&&key2&&=&key3=value3#frag2",
        "/dir3#frag3",
        "/dir4",
    ],
)
def test_generate_h2_path(path: str) -> None:
    uri = URI()
    uri.set_target(path)
    assert uri.target == path
    assert len(uri.queries) == (3 if "?" in path else 0)
    assert uri.target == path


def test_generate_h2_path_of_a_query_that_was_changed() -> None:
    uri = URI()
    uri.set_target("/dir?key1=&&key2&&=&key3=value3")
    uri.queries.set("key3", "value3.3")
    assert len(uri.queries) == 3
    assert uri.queries.remove("key1") == 1
    assert len(uri.queries) == 2
    assert uri.query == "key2&key3=value3.3"
    assert uri.target == "/dir?key2&key3=value3.3"


def test_empty_host() -> None:
    assert parts(URI("http://")) == ("http", "", "", None, "", "", "")
    assert parts(URI()) == ("", "", "", None, "", "", "")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("foo bar://user:passwd@www.baidu.com:80/s?wd=uri#frag", "url"),
        ("foobar://us er:passwd@www.baidu.com:80/s?wd=uri#frag", "url"),
        ("foobar://user:pass wd@www.baidu.com:80/s?wd=uri#frag", "url"),
        ("foobar://user:passwd@www. baidu.com:80/s?wd=uri#frag", "url"),
        ("foobar://user:passwd@www.baidu.com:80/ s?wd=uri#frag", "path"),
        ("foobar://user:passwd@www.baidu.com:80/s ?wd=uri#frag", "path"),
        ("foobar://user:passwd@www.baidu.com:80/s? wd=uri#frag", "query"),
        ("foobar://user:passwd@www.baidu.com:80/s?w d=uri#frag", "query"),
        ("foobar://user:passwd@www.baidu.com:80/s?wd=uri #frag", "query"),
        ("foobar://user:passwd@www.baidu.com:80/s?wd=uri# frag", "fragment"),
        ("foobar://user:passwd@www.baidu.com:80/s?wd=uri#fr ag", "fragment"),
    ],
)
def test_invalid_spaces(url: str, place: str) -> None:
    with pytest.raises(UriError, match=f"^Invalid space in {place}$"):
        URI(url)


def test_invalid_query() -> None:
    assert URI("http://a.b.c/?a-b-c:def").query == "a-b-c:def"


def test_too_many_queries() -> None:
    URI("http://a.com/s?a=1&b=2&c=3&d=4", max_queries=4)
    for query in ("a=1&b=2&c=3&d=4&e=5", "a=1&a=2&a=3&a=4&a=5"):
        with pytest.raises(UriError, match=r"^More than 4 query parameters in url$"):
            URI(f"http://a.com/s?{query}", max_queries=4)
    URI("http://a.com/s?", max_queries=1)
    uri = URI(max_queries=4)
    uri.set_target("/s?a=1&b=2&c=3&d=4")
    with pytest.raises(UriError):
        uri.set_target("/s?a=1&b=2&c=3&d=4&e=5")
    uri.set_target("/s?a=1")
    assert len(URI("http://a.com/s?a=1&b=2&c=3&d=4&e=5", max_queries=0).queries) == 5
    with pytest.raises(UriError):
        URI(f"/s?{'&' * 1000}")


def test_high_bit_bytes() -> None:
    uri = URI("http://user:passwd@é.example.com/é?k=é#é")
    assert parts(uri) == ("http", "user:passwd", "é.example.com", None, "/é", "k=é", "é")


def test_print_url() -> None:
    uri = URI("http://user:passwd@a.b.c/?d=c&a=b&e=f#frg1")
    assert str(uri) == "http://a.b.c/?d=c&a=b&e=f#frg1"
    assert uri.target == "/?d=c&a=b&e=f#frg1"
    uri.queries.set("e", "f2")
    uri.queries.set("f", "g")
    assert uri.queries.remove("a") == 1
    assert str(uri) == "http://a.b.c/?d=c&e=f2&f=g#frg1"
    assert uri.target == "/?d=c&e=f2&f=g#frg1"


def test_print_of_other_urls() -> None:
    assert str(URI("a.b:1/x")) == "http://a.b:1/x"
    assert str(URI("foo://a.b")) == "foo://a.b/"
    assert str(URI("/x?")) == "/x"
    assert URI("/x").authority == ""


def test_copy_is_independent() -> None:
    uri = URI("http://user:passwd@a.b.c:1/?d=c&a=b&e=f#frg1", max_queries=7)
    twin = copy.copy(uri)
    assert twin == uri
    assert parts(twin) == parts(uri)
    assert twin.max_queries == 7
    twin.queries.set("d", "x")
    assert uri.query == "d=c&a=b&e=f"
    assert twin != uri
    assert uri != "http://a.b.c"


def test_valid_character() -> None:
    uri = URI("www.baidu2.com':/?#[]@!$&()*+,;=-._~%")
    assert (uri.host, uri.port, uri.path) == ("www.baidu2.com'", None, "/")
    assert uri.fragment == "[]@!$&()*+,;=-._~%"


@pytest.mark.parametrize("url", ["/a\r\nHost: x", "http://a\0b", "/a\tb", "a\x7f"])
def test_control_characters_are_refused(url: str) -> None:
    with pytest.raises(UriError, match="invalid character"):
        URI(url)
    with pytest.raises(UriError, match="invalid character"):
        URI().set_target(url)


def test_repr_has_no_secrets() -> None:
    uri = URI("http://user:passwd@a.b/x?token=secret")
    assert repr(uri) == "<URI http://a.b/x?...>"
    assert repr(URI("/x")) == "<URI /x>"


def test_query_may_be_replaced() -> None:
    uri = URI("/x?a=1")
    assert uri.queries.get("a") == "1"
    uri.query = "b=2"
    assert uri.queries.items() == [("b", "2")]
    assert uri.target == "/x?b=2"


def test_target_of_a_request_with_and_without_host() -> None:
    uri = uri_of_target("/a b//?x", "h:80")
    assert (uri.host, uri.port, uri.path, uri.query) == ("h", 80, "/a b//", "x")
    assert uri_of_target("*", "h").path == "*"
    assert uri_of_target("http://g/a", "h").host == "g"
    assert uri_of_target("/a").host == ""


def test_path_is_not_decoded() -> None:
    assert URI("/a%2Fb%20c").path == "/a%2Fb%20c"


def test_long_urls_take_linear_time() -> None:
    for url in (":" * 200_000, "@" * 200_000, "a" * 200_000 + ":x", "/" * 200_000, ":/" * 100_000):
        URI(url)
        split_host_and_port(url)
