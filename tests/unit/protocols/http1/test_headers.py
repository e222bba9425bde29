"""HttpHeaders. bRPC's cases are http_header, parse_http_cookie and parse_http_set_cookie in
test/brpc_http_message_unittest.cpp."""

from __future__ import annotations

import copy

import pytest

from pybrpc.protocols.http1.headers import HttpHeaders, new_headers, repeated_names, tokens_in


def test_values_are_set_appended_and_removed() -> None:
    headers = HttpHeaders()
    assert headers.get("key1") is None
    headers.append("key1", "value1")
    assert headers["key1"] == "value1"
    headers.append("key1", "value2")
    assert headers["key1"] == "value1,value2"
    headers["key1"] = "value3"
    assert headers["key1"] == "value3"
    del headers["key1"]
    assert "key1" not in headers
    with pytest.raises(KeyError):
        headers["key1"]


def test_cookies_are_joined_with_semicolons() -> None:
    headers = HttpHeaders()
    headers.append("Cookie", "value1=1")
    headers.append("cookie", "value2=2")
    assert headers["COOKIE"] == "value1=1; value2=2"
    headers["cookie"] = "value3"
    assert headers["Cookie"] == "value3"


def test_set_cookies_are_kept_apart() -> None:
    headers = HttpHeaders()
    headers["Set-Cookie"] = "a=1"
    headers.append("set-cookie", "b=2")
    assert headers["set-cookie"] == "a=1"
    headers["set-cookie"] = "c=3"
    assert headers["Set-Cookie"] == "c=3"
    assert headers.get_all("SET-COOKIE") == ["c=3", "b=2"]
    assert list(headers.fields()) == [("Set-Cookie", "c=3"), ("set-cookie", "b=2")]
    assert list(headers.lower_fields()) == [("set-cookie", "c=3"), ("set-cookie", "b=2")]
    assert len(headers) == 1
    del headers["set-cookie"]
    assert headers.get_all("set-cookie") == []
    assert list(headers.fields()) == []


def test_names_have_no_case_but_keep_it() -> None:
    headers = HttpHeaders({"Foo-BAR": "1"})
    assert headers["foo-bar"] == headers["FOO-BAR"] == "1"
    headers["foo-bar"] = "2"
    assert list(headers) == ["Foo-BAR"]
    assert dict(headers) == {"Foo-BAR": "2"}
    assert headers.get_all("foo-BAR") == ["2"]
    assert "FOO-bar" in headers
    assert 1 not in headers


def test_order_is_that_of_the_first_values() -> None:
    headers = HttpHeaders([("B", "1"), ("A", "2"), ("b", "3")])
    assert list(headers.items()) == [("B", "1,3"), ("A", "2")]


def test_empty_first_value_is_not_joined() -> None:
    headers = HttpHeaders([("A", ""), ("a", "1"), ("a", "")])
    assert headers["a"] == "1,"


def test_default_is_set_once() -> None:
    headers = HttpHeaders()
    headers.set_default("A", "1")
    headers.set_default("a", "2")
    assert headers["A"] == "1"


def test_content_type() -> None:
    assert HttpHeaders().content_type == ""
    assert HttpHeaders({"content-TYPE": "a/b; c=d"}).content_type == "a/b; c=d"


def test_copy_is_independent() -> None:
    headers = HttpHeaders([("A", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])
    twin = copy.copy(headers)
    assert twin == headers
    twin["A"] = "2"
    twin.append("Set-Cookie", "c")
    assert headers["A"] == "1"
    assert headers.get_all("set-cookie") == ["a", "b"]
    assert twin != headers


def test_equality_ignores_case_and_order_of_names() -> None:
    assert HttpHeaders({"A": "1", "B": "2"}) == HttpHeaders({"b": "2", "a": "1"})
    assert HttpHeaders({"A": "1"}) != HttpHeaders({"A": "2"})
    assert HttpHeaders({"A": "1"}) != {"A": "1"}


BAD_VALUES = ["a\r\nX: y", "a\n", "\r", "a\0b", "\x01", "\x7f", "\x0b"]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_value_with_a_control_character_is_refused(value: str) -> None:
    headers = HttpHeaders()
    with pytest.raises(ValueError, match="control character"):
        headers["A"] = value
    with pytest.raises(ValueError, match="control character"):
        headers.append("A", value)
    with pytest.raises(ValueError, match="control character"):
        headers.set_default("A", value)
    with pytest.raises(ValueError, match="control character"):
        HttpHeaders({"A": value})
    assert len(headers) == 0


@pytest.mark.parametrize("name", ["", "A:", "A b", "A\r\nB", "Ä", "A\n", "(A)", " A", "A\0"])
def test_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't be the name"):
        HttpHeaders({name: "x"})


def test_value_beyond_latin_1_is_refused() -> None:
    assert HttpHeaders({"A": "é\t"})["a"] == "é\t"
    with pytest.raises(ValueError, match="latin-1"):
        HttpHeaders({"A": "海"})


@pytest.mark.parametrize(("name", "value"), [("A", 1), (b"A", "1"), ("A", b"1"), ("A", None)])
def test_other_types_are_refused(name: object, value: object) -> None:
    with pytest.raises(TypeError, match="are str"):
        HttpHeaders([(name, value)])  # type: ignore[list-item]


def test_repr_shows_no_secret() -> None:
    headers = HttpHeaders(
        {"A": "1", "AUTHORIZATION": "secret", "Cookie": "secret", "X-Api-Key": "secret"}
    )
    headers.append("Set-Cookie", "secret")
    headers.append("Set-Cookie", "secret")
    assert "A: 1" in repr(headers)
    assert "secret" not in repr(headers)


def test_parsed_pairs_become_headers() -> None:
    pairs = [("A", "1"), ("Set-Cookie", "a"), ("a", "2"), ("set-cookie", "b")]
    headers = new_headers(pairs)
    assert list(headers.fields()) == [("A", "1,2"), ("Set-Cookie", "a"), ("set-cookie", "b")]
    assert new_headers([("A", "1")]) == HttpHeaders({"a": "1"})
    assert repeated_names(pairs) == {"a", "set-cookie"}


def test_headers_have_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(HttpHeaders())


def test_tokens() -> None:
    assert tokens_in(" Close ,, keep-ALIVE\t,") == ["close", "keep-alive"]
    assert tokens_in("") == []


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, ""),
        ({"Content-Type": "text/csv; a=b"}, "text/csv; a=b"),
        ({"Content-Type": ""}, None),
        ({"content-type": "text/csv"}, None),
        ({"Content-Type": "text/csv", "X": "y"}, None),
        ({"X": "y"}, None),
        ({"Set-Cookie": "a"}, None),
    ],
)
def test_content_type_alone_is_known(headers: dict[str, str], found: str | None) -> None:
    """So its response has a head that needs no headers put together."""
    assert HttpHeaders(headers).only_content_type() == found
