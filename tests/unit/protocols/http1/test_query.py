"""QueryMap and the functions on queries. bRPC's cases are from test/brpc_uri_unittest.cpp."""

from __future__ import annotations

import pytest

from pybrpc.protocols.http1.query import (
    DEFAULT_MAX_QUERIES,
    QueryMap,
    UriError,
    append_query,
    decode_query,
    encode_query,
    remove_queries,
)


def test_consecutive_ampersand() -> None:
    queries = QueryMap("&key1=value1&&key3=value3")
    assert queries.get("key1") == "value1"
    assert queries.get("key3") == "value3"
    assert queries.get("key2") is None
    assert "key2" not in queries


def test_only_equality() -> None:
    queries = QueryMap("key1=&&key2&&=&key3=value3")
    assert queries.items() == [("key1", ""), ("key2", ""), ("key3", "value3")]


def test_only_one_key() -> None:
    assert QueryMap("key1").get("key1") == ""
    assert "key1" in QueryMap("key1")


def test_set_query() -> None:
    queries = QueryMap("key1=&&key2&&=&key3=value3")
    queries.set("key3", "value4")
    assert queries.get("key3") == "value4"
    queries.set("key2", "value2")
    assert queries.get("key2") == "value2"
    queries.set("key4", "")
    assert str(queries) == "key1&key2=value2&key3=value4&key4"


def test_key_with_several_values() -> None:
    queries = QueryMap("a=1&b=2&a=3&a==")
    assert queries.get("a") == "="
    assert queries.get_all("a") == ["1", "3", "="]
    assert list(queries) == ["a", "b"]
    assert len(queries) == 2
    queries.append("b", "4")
    assert queries.get_all("b") == ["2", "4"]
    queries.set("a", "5")
    assert queries.items() == [("a", "5"), ("b", "2"), ("b", "4")]
    assert queries.remove("b") == 2
    assert str(queries) == "a=5"


def test_keys_are_case_sensitive() -> None:
    assert QueryMap("a=1").get("A", "none") == "none"


def test_removing_nothing_changes_nothing() -> None:
    queries = QueryMap("a&&b")
    assert queries.remove("c") == 0
    assert not queries.is_modified


def test_repr_has_no_values() -> None:
    assert repr(QueryMap("token=secret&a")) == "<QueryMap of 2 parameters>"


def test_number_of_parameters_is_limited() -> None:
    full = "&".join(["a=1"] * DEFAULT_MAX_QUERIES)
    assert len(QueryMap(full).items()) == DEFAULT_MAX_QUERIES
    assert len(decode_query(full)) == DEFAULT_MAX_QUERIES
    for parse in (QueryMap, decode_query):
        with pytest.raises(UriError, match="More than 1000") as caught:
            parse(full + "&a=1")
        assert caught.value.status == 400
    assert len(decode_query(full + "&a=1", max_queries=0)) == DEFAULT_MAX_QUERIES + 1


def test_decoding() -> None:
    query = "a=1+2%203&%E6%B5%B7=%e5%8d%97&b=%ff&c=%zz&d=%&=x&&e"
    assert decode_query(query) == [
        ("a", "1 2 3"),
        ("海", "南"),
        ("b", "\ufffd"),
        ("c", "%zz"),
        ("d", "%"),
        ("e", ""),
    ]


def test_encoded_queries_come_back() -> None:
    pairs = [("a b", "&=+%"), ("海", ""), ("x", "\r\n")]
    assert encode_query(pairs) == "a+b=%26%3D%2B%25&%E6%B5%B7=&x=%0D%0A"
    assert decode_query(encode_query(pairs)) == pairs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "key=value"),
        ("key1=value1", "key1=value1&key=value"),
        ("/some/path?", "/some/path?key=value"),
        ("/some/path?key1=value1", "/some/path?key1=value1&key=value"),
    ],
)
def test_append_query(text: str, expected: str) -> None:
    assert append_query(text, "key", "value") == expected


SIX = "key1=value1&key2=value2&key3=value3&key4=value4&key5=value5&key6=value6"


@pytest.mark.parametrize(
    ("query", "removed", "expected"),
    [
        (SIX, ("key1",), SIX[12:]),
        (SIX, ("key3", "key5"), "key1=value1&key2=value2&key4=value4&key6=value6"),
        (SIX, ("key4",), "key1=value1&key2=value2&key3=value3&key5=value5&key6=value6"),
        ("key1=value1&key2=value2", ("key1", "key2"), ""),
        ("key1=value1&&&key2=value2&key3=value3&&", ("key1",), "key2=value2&key3=value3"),
        ("key1=&&key2&=&key3=value3", ("",), "key1=&key2&key3=value3"),
        ("key1", ("key1",), ""),
        ("key1=value1&&key2", (), "key1=value1&&key2"),
        ("", ("key1",), ""),
    ],
)
def test_query_remover(query: str, removed: tuple[str, ...], expected: str) -> None:
    """bRPC's nine cases, as one function that says which parameters go."""
    assert remove_queries(query, lambda key, value: key in removed) == expected


def test_removal_may_depend_on_the_value() -> None:
    assert remove_queries("a=1&a=2&a", lambda key, value: value == "1") == "a=2&a"
