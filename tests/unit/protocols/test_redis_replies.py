"""Replies of Redis: all types, in any pieces, and the bytes of hostile servers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.protocols.redis import reply_scanner
from pybrpc.protocols.redis.reply_parser import BadReply, RedisCutter, RedisError, RedisPush
from pybrpc.protocols.redis.reply_scanner import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_LINE_BYTES,
    MAX_SKIPPED_DEPTH,
)

REPLIES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b"-WRONGTYPE Operation\r\n", RedisError("WRONGTYPE Operation")),
    (b":-42\r\n", -42),
    (b"$5\r\nhello\r\n", b"hello"),
    (b"$0\r\n\r\n", b""),
    (b"$6\r\n\r\n*1\r\n\r\n", b"\r\n*1\r\n"),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n:1\r\n$-1\r\n-ERR no\r\n", [1, None, RedisError("ERR no")]),
    (b"*2\r\n*1\r\n*1\r\n:1\r\n*0\r\n", [[[1]], []]),
    (b"_\r\n", None),
    (b"#t\r\n", True),
    (b"#f\r\n", False),
    (b",1.5\r\n", 1.5),
    (b",-inf\r\n", float("-inf")),
    (
        b"(3492890328409238509324850943850943825024385\r\n",
        b"3492890328409238509324850943850943825024385",
    ),
    (b"=7\r\ntxt:abc\r\n", b"abc"),
    (b"~2\r\n+a\r\n+b\r\n", [b"a", b"b"]),
    (b"%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%0\r\n", {b"a": [1], b"b": {}}),
    (b">2\r\n+invalidate\r\n*1\r\n+k\r\n", RedisPush((b"invalidate", [b"k"]))),
    (b"!5\r\nERR x\r\n", RedisError("ERR x")),
    (b"*2\r\n!8\r\nERR a\r\nb\r\n:1\r\n", [RedisError("ERR a  b"), 1]),
    (b"!0\r\n\r\n", RedisError("")),
    (b"*2\r\n:1\r\n|1\r\n+ttl\r\n:5\r\n:2\r\n", [1, 2]),
    (b"*1\r\n|0\r\n|1\r\n+a\r\n|1\r\n+b\r\n!1\r\nx\r\n*1\r\n:9\r\n:3\r\n", [3]),
    (b"%1\r\n|1\r\n*0\r\n~0\r\n+key\r\n|1\r\n+ttl\r\n:5\r\n+value\r\n", {b"key": b"value"}),
    (b">2\r\n+x\r\n|1\r\n+ttl\r\n:5\r\n!2\r\nno\r\n", RedisPush((b"x", RedisError("no")))),
]
WIRE = b"".join(wire for wire, _ in REPLIES)
VALUES = [value for _, value in REPLIES]


def cut_parts(parts: Iterable[bytes], **limits: int) -> tuple[list[Any], RedisCutter]:
    cutter, found = RedisCutter(**limits), []
    for part in parts:
        cutter.buffer.append(part)
        found += cutter.cut()
    return found, cutter


def reason_of(*parts: bytes, **limits: int) -> str:
    """The reason why the cutter is broken."""
    _, cutter = cut_parts(parts, **limits)
    assert cutter.broken is not None
    assert not cutter.buffer
    return cutter.broken.reason


@pytest.mark.parametrize(("wire", "value"), REPLIES)
def test_replies_of_all_types_are_parsed(wire: bytes, value: Any) -> None:
    found, cutter = cut_parts([wire])
    assert found == [value]
    assert type(found[0]) is type(value)
    assert cutter.broken is None
    assert not cutter.buffer


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(WIRE)])
def test_replies_are_parsed_from_any_pieces(size: int) -> None:
    found, cutter = cut_parts(WIRE[i : i + size] for i in range(0, len(WIRE), size))
    assert found == VALUES
    assert not cutter.buffer


def test_reply_is_returned_with_its_last_byte() -> None:
    for wire, value in REPLIES:
        found, cutter = cut_parts(wire[i : i + 1] for i in range(len(wire) - 1))
        assert found == []
        cutter.buffer.append(wire[-1:])
        assert cutter.cut() == [value]


def test_attributes_are_skipped() -> None:
    found, cutter = cut_parts([b"+a\r\n|1\r\n+ttl\r\n*1\r\n:3600\r\n+b\r\n|1\r\n+k\r\n+v\r\n"])
    assert found == [b"a", b"b"]
    assert not cutter.buffer


def test_attribute_without_a_python_value_is_skipped() -> None:
    found, cutter = cut_parts([b"|1\r\n*1\r\n:1\r\n:2\r\n+a\r\n"])
    assert found == [b"a"]
    assert cutter.broken is None


def test_reply_without_a_python_value_does_not_affect_others() -> None:
    found, cutter = cut_parts([b":1\r\n%1\r\n*1\r\n:1\r\n:2\r\n:3\r\n"])
    assert [found[0], found[2]] == [1, 3]
    assert isinstance(found[1], BadReply)
    assert "unhashable" in found[1].reason
    assert cutter.broken is None


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no reply of Redis starts with b'HTTP/1.1 400 Bad"),
        (b"\x00", "no reply of Redis starts with"),
        (b"\x15\x03\x01\x00\x02\x02F", "as TLS does: the peer speaks TLS"),
        (b"*one\r\n", "is not a number"),
        (b"$?\r\n", "is not a number"),
        (b"$" + b"9" * 5000 + b"\r\n", "declares no number"),
        (b":abc\r\n", "integer"),
        (b"#x\r\n", "bool"),
        (b"*1\r\n>1\r\n:1\r\n", "inside a reply"),
        (b"$" + b"9" * MAX_LINE_BYTES, "declares no number"),
        (b"*1\r\n" * (MAX_SKIPPED_DEPTH + 1), f"nested deeper than {MAX_SKIPPED_DEPTH}"),
        (b"*2147483648\r\n", f"2147483648 elements, more than {MAX_ELEMENTS}"),
        (b"%9223372036854775807\r\n", f"more than {MAX_ELEMENTS}"),
        (b"*4000000\r\n" * 17, f"68000000 elements, more than {MAX_ELEMENTS}"),
        (b"$9223372036854775807\r\n", "larger than max_body_size"),
    ],
)
def test_malformed_bytes_break_the_cutter(wire: bytes, reason: str) -> None:
    assert reason in reason_of(wire)


def test_replies_before_malformed_bytes_are_returned() -> None:
    found, cutter = cut_parts([b":1\r\n:2\r\nrubbish\r\n"])
    assert found == [1, 2]
    assert cutter.broken is not None
    cutter.buffer.append(b":3\r\n")
    assert cutter.cut() == []


OVER_A_LIMIT = [
    (b"$200000\r\n" + bytes(200_000) + b"\r\n", "larger than max_body_size=100000"),
    (b"*2\r\n$99990\r\n" + bytes(99990) + b"\r\n$100\r\n" + bytes(100) + b"\r\n", "larger than"),
    (b"*500\r\n" + (b"+" + b"x" * 300 + b"\r\n") * 500, "larger than max_body_size=100000"),
    (b"+" + bytes(30_000) + b"\r\n", "line of a reply is longer than 20000 bytes"),
    (b"*2\r\n-" + bytes(20_000) + b"\r\r\n:1\r\n", "line of a reply is longer"),
    (b"*1\r\n" * 10_000 + b"$3\r\nabc\r\n", f"nested deeper than {MAX_DEPTH}"),
    (b"*2000\r\n" + b"_\r\n" * 2000, "declares 2000 elements, more than 1000"),
    (b"%2\r\n" + (b":1\r\n*300\r\n" + b"_\r\n" * 300) * 2, ""),
    (b"*4\r\n" + (b"%300\r\n" + b"_\r\n" * 600) * 3 + b":1\r\n", "declares 1204 elements"),
    (b"*1\r\n|1\r\n+a\r\n$200000\r\n" + bytes(200_000) + b"\r\n:1\r\n", "larger than"),
]


def parts_of(wire: bytes, size: int) -> Iterable[bytes]:
    return (wire[i : i + size] for i in range(0, len(wire), size))


@pytest.mark.parametrize(("wire", "reason"), OVER_A_LIMIT)
@pytest.mark.parametrize("size", [1000, 19_997, 1 << 30])
def test_reply_over_a_limit_is_skipped_and_affects_no_other(
    wire: bytes, reason: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_scanner, "MAX_ELEMENTS", 1000)
    monkeypatch.setattr(reply_scanner, "MAX_LINE_BYTES", 20_000)
    found, cutter = cut_parts(parts_of(b":1\r\n" + wire + b":2\r\n", size), max_bytes=100_000)
    assert [found[0], *found[2:]] == [1, 2]
    assert isinstance(found[1], BadReply) is bool(reason)
    assert not reason or reason in found[1].reason
    assert cutter.broken is None
    assert not cutter.buffer


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"+", b"x" * 9000),
        (b"*800000\r\n", b"$1000\r\n" + bytes(1000) + b"\r\n"),
        (b"*1\r\n|800000\r\n", b":1\r\n" * 1000),
        (b"*800000\r\n|800000\r\n", b":1\r\n" * 1000),
    ],
)
def test_reply_that_is_too_large_to_be_skipped_breaks_the_cutter(
    head: bytes, again: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_scanner, "MIN_SKIPPED_BYTES", 200_000)
    cutter = RedisCutter(max_bytes=10_000)
    cutter.buffer.append(head)
    size = len(head)
    while cutter.broken is None:
        assert cutter.cut() == []
        assert len(cutter.buffer) <= 10_000
        cutter.buffer.append(again)
        size += len(again)
    assert 200_000 < size < 220_000
    assert "is larger than max_body_size=10000" in cutter.broken.reason


@pytest.mark.parametrize("kind", [b"|1\r\n", b">2\r\n"])
def test_attribute_and_push_over_a_limit_are_no_replies(kind: bytes) -> None:
    wire = kind + b"+a\r\n$1001\r\n" + bytes(1001) + b"\r\n:1\r\n"
    found, _ = cut_parts(parts_of(wire, 7), max_bytes=1000)
    assert found[-1] == 1
    assert [type(each) for each in found[:-1]] == ([] if kind[:1] == b"|" else [RedisPush])


def test_reply_over_a_limit_is_dropped_as_it_comes() -> None:
    cutter = RedisCutter(max_bytes=100_000)
    cutter.buffer.append(b"*3\r\n$300000\r\n")
    for _ in range(10):
        assert cutter.cut() == []
        assert (len(cutter.buffer), cutter.bytes_wanted()) == (0, 0)
        cutter.buffer.append(bytes(30_000))
    cutter.buffer.append(b"\r\n+" + bytes(50_000))
    assert cutter.cut() == []
    assert len(cutter.buffer) <= 50_001
    for _ in range(100):
        cutter.buffer.append(bytes(50_000))
        assert cutter.cut() == []
        assert len(cutter.buffer) <= MAX_LINE_BYTES + 50_001
    cutter.buffer.append(b"\r")
    assert cutter.cut() == []
    cutter.buffer.append(b"\n:1\r\n:2\r\n")
    bad, other = cutter.cut()
    assert "larger than max_body_size=100000" in bad.reason
    assert other == 2


@pytest.mark.parametrize("size", [1000, 65_536, 1 << 30])
def test_long_line_is_a_reply(size: int) -> None:
    wire = b"-%b\r\n+%b\r\n:1\r\n" % (b"x" * 100_000, b"y" * 1_000_000)
    found, _ = cut_parts(parts_of(wire, size))
    assert found == [RedisError("x" * 100_000), b"y" * 1_000_000, 1]


def test_push_without_a_python_value_is_still_a_push() -> None:
    found, cutter = cut_parts([b">2\r\n+x\r\n%1\r\n*1\r\n:1\r\n:2\r\n>-1\r\n:3\r\n"])
    bad, null, reply = found
    assert isinstance(bad, RedisPush)
    assert isinstance(bad.values[0], BadReply)
    assert (null, reply) == (RedisPush(()), 3)
    assert cutter.broken is None


def test_reply_without_an_end_is_limited() -> None:
    cutter = RedisCutter(max_bytes=100_000)
    cutter.buffer.append(b"*4000000\r\n")
    for _ in range(1000):
        cutter.buffer.append(b":1\r\n" * 100)
        assert cutter.cut() == []
        assert len(cutter.buffer) <= 100_000 + 400
    assert cutter.broken is None


def test_many_replies_in_one_read_take_linear_time() -> None:
    """The limit is one second; it takes a fifth of one, and would take minutes if quadratic."""
    begin = time.process_time()
    found, _ = cut_parts([b"$10\r\n0123456789\r\n" * 100_000])
    assert len(found) == 100_000
    assert time.process_time() - begin < 10


def test_bytes_wanted_is_the_missing_part_of_a_string() -> None:
    cutter = RedisCutter()
    assert cutter.bytes_wanted() == 0
    cutter.buffer.append(b":1\r\n*2\r\n$100000\r\nabc")
    assert cutter.cut() == [1]
    assert cutter.bytes_wanted() == 100_000 - 3 + 2
    cutter.buffer.append(bytes(100_000 - 3 + 2))
    assert cutter.cut() == []
    assert cutter.bytes_wanted() == 0


def test_big_string_is_parsed_from_many_parts() -> None:
    value = bytes(range(256)) * 40_000
    wire = b"*2\r\n$%d\r\n%b\r\n:7\r\n" % (len(value), value)
    found, _ = cut_parts(wire[i : i + 65_536] for i in range(0, len(wire), 65_536))
    assert found == [[value, 7]]


def test_error_reply_has_a_code() -> None:
    error = RedisError("NOPERM this user has no permissions")
    assert error.code == "NOPERM"
    assert str(error) == error.text == "NOPERM this user has no permissions"
    assert error != RedisError("NOPERM")


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.binary(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def wire_of(value: Any) -> bytes:
    if value is None:
        return b"_\r\n"
    if isinstance(value, bool):
        return b"#t\r\n" if value else b"#f\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(wire_of, value))
    pairs = (wire_of(key) + wire_of(item) for key, item in value.items())
    return b"%%%d\r\n" % len(value) + b"".join(pairs)


@given(st.lists(values, max_size=5), st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_any_values_are_parsed_from_any_pieces(sent: list[Any], sizes: list[int]) -> None:
    wire, parts = b"".join(map(wire_of, sent)), []
    while wire:
        size = sizes[len(parts) % len(sizes)]
        parts.append(wire[:size])
        wire = wire[size:]
    found, cutter = cut_parts(parts)
    assert found == sent
    assert not cutter.buffer


def pieces_of(wire: bytes, sizes: list[int]) -> Iterable[bytes]:
    parts = 0
    while wire:
        size = sizes[parts % len(sizes)]
        yield wire[:size]
        wire, parts = wire[size:], parts + 1


pieces = st.lists(st.integers(1, 50), min_size=1, max_size=10)


@given(st.lists(values, max_size=8), pieces, st.integers(4, 60))
def test_only_values_over_the_limit_are_bad(sent: list[Any], sizes: list[int], limit: int) -> None:
    wires = [wire_of(value) for value in sent]
    found, cutter = cut_parts(pieces_of(b"".join(wires), sizes), max_bytes=limit)
    assert len(found) == len(sent)
    for value, wire, reply in zip(sent, wires, found, strict=True):
        if len(wire) > limit:
            assert isinstance(reply, BadReply)
        else:
            assert reply == value
    assert not cutter.buffer


def wire_with_attributes(value: Any, attributes: Any) -> bytes:
    """An attribute before each value, and each `bytes` as a blob error."""
    before = wire_of(attributes).replace(b"%", b"|", 1)
    if isinstance(value, list):
        inside = b"".join(wire_with_attributes(each, attributes) for each in value)
        return before + b"*%d\r\n" % len(value) + inside
    if isinstance(value, dict):
        pairs = (
            before + wire_of(key) + wire_with_attributes(each, attributes)
            for key, each in value.items()
        )
        return before + b"%%%d\r\n" % len(value) + b"".join(pairs)
    return before + (
        wire_of(value).replace(b"$", b"!", 1) if type(value) is bytes else wire_of(value)
    )


def with_errors(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(with_errors, value))
    if isinstance(value, dict):
        return {key: with_errors(each) for key, each in value.items()}
    return RedisError(value.decode("utf-8", "replace")) if type(value) is bytes else value


texts = st.text("abc \u00e9", max_size=9).map(str.encode)
plain_values = st.recursive(
    st.one_of(st.none(), st.integers(0, 9), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.binary(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(plain_values, max_size=5), pieces, st.dictionaries(st.binary(max_size=4), values))
def test_attributes_and_blob_errors_are_read_anywhere(
    sent: list[Any], sizes: list[int], attributes: Any
) -> None:
    wire = b"".join(wire_with_attributes(value, attributes) for value in sent)
    found, cutter = cut_parts(pieces_of(wire, sizes))
    assert found == list(map(with_errors, sent))
    assert not cutter.buffer


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_break_the_cutter_or_need_more(garbage: bytes, at: int) -> None:
    found, cutter = cut_parts([WIRE[:at] + garbage, b"\r\n"], max_bytes=10_000)
    assert cutter.broken is None or not cutter.buffer
    assert len(cutter.buffer) <= 10_000 + 300
    whole = sum(
        len(w) <= at
        for w in (b"".join(w for w, _ in REPLIES[: i + 1]) for i in range(len(REPLIES)))
    )
    assert found[:whole] == VALUES[:whole]
