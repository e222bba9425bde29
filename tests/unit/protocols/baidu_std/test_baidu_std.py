from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE, pack_header
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta, encode_response_meta
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import (
    DEFAULT_MAX_META_SIZE,
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseOutcome,
)
from pybrpc.testing.check_protocol import check_protocol, pack, parse_all

PROTOCOL = BaiduStd()
DEFAULT = ParseLimits()
NAMES = {"service_name": b"S", "method_name": b"M"}


def frame(meta: object, payload: bytes = b"", body_size: int | None = None) -> bytes:
    """A frame with the given meta, even if no client or server would send it."""
    data = meta if isinstance(meta, bytes) else meta.SerializeToString()  # type: ignore[attr-defined]
    size = len(data) + len(payload) if body_size is None else body_size
    return pack_header(size, len(data)) + data + payload


def parse(data: bytes, limits: ParseLimits = DEFAULT) -> ParseOutcome:
    return PROTOCOL.parse(IOBuf(data), limits)


def test_baidu_std_passes_the_checks_of_every_protocol() -> None:
    check_protocol(
        PROTOCOL,
        [
            RpcRequest(1, "S", "M", b"body"),
            RpcRequest(2, "S", "M", b"", attachment=IOBuf(b"only")),
            RpcResponse(3, body=b"b", attachment=IOBuf(b"att"), user_fields={"k": "v"}),
            RpcResponse(4, error_code=1003, error_text="no"),
            RpcRequest(5, "", ""),
        ],
    )


@pytest.mark.parametrize("size", [0, 1, 4000, 4096, 5000, 200_000])
@pytest.mark.parametrize("attachment_size", [0, 1, 4096, 100_000])
def test_message_of_any_size_is_parsed_from_small_blocks(size: int, attachment_size: int) -> None:
    attachment = IOBuf(b"a" * attachment_size) if attachment_size else None
    sent = RpcRequest(1, "S", "M", b"b" * size, attachment=attachment)
    packed = bytes(PROTOCOL.pack_request(sent)) * 2
    pieces = [packed[i : i + 1500] for i in range(0, len(packed), 1500)]
    assert list(parse_all(PROTOCOL, pieces)) == [sent, sent]


def test_parse_leaves_the_bytes_after_the_frame() -> None:
    buffer = PROTOCOL.pack_response(RpcResponse(1, body=b"x"))
    buffer.append(b"PRP")
    assert isinstance(PROTOCOL.parse(buffer, DEFAULT), RpcResponse)
    assert buffer == b"PRP"


def test_parse_needs_more_than_an_empty_buffer() -> None:
    assert parse(b"") is NEED_MORE


def test_meta_bigger_than_the_body_is_broken_before_it_is_received() -> None:
    assert parse(pack_header(4, 5)) == Broken("meta_size=5 is bigger than body_size=4")


@pytest.mark.parametrize(
    "meta",
    [
        pytest.param(b"\xff\xff", id="not protobuf"),
        pytest.param(RpcMeta(request={"service_name": b"S"}), id="no method"),
        pytest.param(RpcMeta(request={"method_name": b"M"}), id="no service"),
    ],
)
@pytest.mark.parametrize("payload", [b"", b"x" * 5000])
def test_frame_with_an_invalid_meta_is_broken(meta: object, payload: bytes) -> None:
    assert isinstance(parse(frame(meta, payload)), Broken)


def test_meta_with_neither_request_nor_response_is_a_successful_response() -> None:
    """A server may omit `response` when nothing failed; C++ accepts that, too."""
    message = parse(frame(RpcMeta(correlation_id=7), b"body"))
    assert isinstance(message, RpcResponse)
    assert (message.correlation_id, message.error_code, message.body) == (7, 0, b"body")


@pytest.mark.parametrize("payload_size", [3, 5000])
@pytest.mark.parametrize(
    ("role", "excess", "reason"),
    [
        ("request", 1, "attachment_size={0} is larger than request_size={1}"),
        ("response", 1, "attachment_size={0} is larger than response_size={1}"),
        ("request", 2**30, "attachment_size={0} is larger than request_size={1}"),
        ("response", -9999, "attachment_size={0} is negative"),
    ],
)
def test_wrong_attachment_size_makes_only_its_own_message_bad(
    payload_size: int, role: str, excess: int, reason: str
) -> None:
    fields = {"request": {"request": NAMES}, "response": {"response": {}}}[role]
    attachment_size = payload_size + excess
    meta = RpcMeta(
        correlation_id=7, attachment_size=attachment_size, authentication_data=b"who", **fields
    )
    buffer = IOBuf(frame(meta, b"x" * payload_size) + b"PRPC")
    outcome = PROTOCOL.parse(buffer, DEFAULT)
    text = reason.format(attachment_size, payload_size)
    assert outcome == BadMessage(7, role == "request", text, b"who")
    assert buffer == b"PRPC"


@pytest.mark.parametrize("is_request", [True, False])
def test_message_over_the_limit_is_reported_once_its_meta_is_received(is_request: bool) -> None:
    role = {"request": NAMES} if is_request else {"response": {}}
    meta = RpcMeta(correlation_id=9, authentication_data=b"who", **role)
    head = frame(meta, body_size=1001)
    limits = ParseLimits(max_body_size=1000)
    assert parse(head[:-1], limits) is NEED_MORE
    outcome = parse(head, limits)
    rest = 1001 - (len(head) - HEADER_SIZE)
    assert outcome == OversizedMessage(9, is_request, 1001, 1000, b"who", rest_bytes=rest)
    assert outcome.reason == "body_size=1001 is larger than max_body_size=1000"


def test_message_at_the_limit_is_parsed() -> None:
    packed = bytes(PROTOCOL.pack_response(RpcResponse(1, body=b"x" * 100)))
    limits = ParseLimits(max_body_size=len(packed) - 12)
    assert isinstance(parse(packed, limits), RpcResponse)


@pytest.mark.parametrize(
    ("body_size", "meta_size", "limit"),
    [(2**32 - 1, 64 * 1024 + 1, 2**26), (2**32 - 1, 2**32 - 1, 2**26), (100, 11, 10)],
)
def test_message_over_the_limit_with_a_big_meta_is_broken_at_once(
    body_size: int, meta_size: int, limit: int
) -> None:
    header = pack_header(body_size, meta_size)
    limits = ParseLimits(max_body_size=limit)
    assert isinstance(parse(header, limits), Broken)
    assert PROTOCOL.bytes_wanted(IOBuf(header), limits) == 0


def test_message_over_the_limit_with_an_invalid_meta_is_broken() -> None:
    assert isinstance(parse(frame(b"\xff", body_size=2**30)), Broken)


@pytest.mark.parametrize(
    ("received", "wanted"),
    [
        (b"", 12),
        (b"PRPC", 8),
        (pack_header(1_000_000, 10), 1_000_000),
        (pack_header(1_000_000, 10) + b"x" * 999, 999_001),
        (pack_header(2**31, 10), 10),
        (pack_header(0, 0), 0),
        (pack_header(4, 5), 0),
        (b"HTTP/1.1 200 OK", 0),
        (b"HTTP", 0),
    ],
)
def test_bytes_wanted_counts_what_is_missing(received: bytes, wanted: int) -> None:
    assert PROTOCOL.bytes_wanted(IOBuf(received), DEFAULT) == wanted


@pytest.mark.parametrize("data", [b"prpc", b"HULU", b"PRP ", b"\x00", b"STRM" + b"\x00" * 20])
def test_bytes_with_another_magic_are_not_mine(data: bytes) -> None:
    buffer = IOBuf(data)
    assert PROTOCOL.parse(buffer, DEFAULT) is NOT_MINE
    assert buffer == data


def test_small_body_is_packed_into_one_block() -> None:
    assert PROTOCOL.pack_request(RpcRequest(1, "S", "M", b"x" * 100)).block_count == 1


def test_large_body_and_attachment_are_not_copied() -> None:
    body = b"x" * 100_000
    attached = b"y" * 100_000
    packed = PROTOCOL.pack_request(RpcRequest(1, "S", "M", body, attachment=IOBuf(attached)))
    _, body_view, attachment_view = packed
    assert body_view.obj is body
    assert attachment_view.obj is attached


def test_large_received_body_is_not_copied() -> None:
    packed = bytes(PROTOCOL.pack_response(RpcResponse(1, body=b"x" * 100_000)))
    outcome = parse(packed)
    assert isinstance(outcome, RpcResponse)
    assert isinstance(outcome.body, memoryview)
    assert outcome.body.obj is packed


@pytest.mark.parametrize(
    "body", [bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"abcd").cast("I")]
)
def test_any_bytes_like_body_is_packed(body: memoryview) -> None:
    (parsed,) = parse_all(PROTOCOL, [bytes(PROTOCOL.pack_request(RpcRequest(1, "S", "M", body)))])
    assert isinstance(parsed, RpcRequest)
    assert parsed.body == b"abcd"


def test_empty_attachment_is_not_sent() -> None:
    assert PROTOCOL.pack_response(RpcResponse(1, attachment=IOBuf())) == bytes(
        PROTOCOL.pack_response(RpcResponse(1))
    )


def two_gigabytes() -> IOBuf:
    """2**31 bytes that take 1 MiB of memory."""
    attachment = IOBuf()
    for _ in range(2048):
        attachment.append(MEBIBYTE)
    return attachment


MEBIBYTE = bytes(2**20)


def test_attachment_of_two_gigabytes_is_refused() -> None:
    attachment = two_gigabytes()
    with pytest.raises(BadRequestError, match="attachment_size=2147483648 exceeds"):
        PROTOCOL.pack_request(RpcRequest(1, "S", "M", attachment=attachment))
    with pytest.raises(BadResponseError, match="attachment_size=2147483648 exceeds"):
        PROTOCOL.pack_response(RpcResponse(1, attachment=attachment))


def test_frame_of_two_gigabytes_is_refused() -> None:
    attachment = two_gigabytes()
    attachment.pop_back(1)
    with pytest.raises(BadRequestError, match="exceeds the 2147483647 bytes of a frame"):
        PROTOCOL.pack_request(RpcRequest(1, "S", "M", attachment=attachment))


@pytest.mark.parametrize("field", ["request_id", "user_fields", "credential"])
def test_request_whose_meta_no_server_takes_is_refused(field: str) -> None:
    """By default a server takes a mebibyte; a longer one would break the connection."""

    def pack(size: int) -> IOBuf:
        text = "x" * size
        value = {"user_fields": {"key": text}, "credential": text.encode()}.get(field, text)
        return PROTOCOL.pack_request(RpcRequest(1, "S", "M", **{field: value}))  # type: ignore[arg-type]

    assert isinstance(parse(bytes(pack(DEFAULT_MAX_META_SIZE - 100))), RpcRequest)
    with pytest.raises(BadRequestError, match="exceeds the 1048576 bytes of a meta"):
        pack(DEFAULT_MAX_META_SIZE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"correlation_id": 2**63},
        {"service": None},
        {"log_id": 2**63},
        {"timeout_ms": 2**31},
        {"timeout_ms": 0.5},
        {"request_id": 42},
        {"user_fields": {"k": 1}},
        {"user_fields": {"k": "\ud800"}},
        {"credential": "text"},
        {"body": "text"},
        {"body": None},
    ],
    ids=str,
)
def test_request_with_a_field_that_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"correlation_id": 1, "service": "S", "method": "M"} | wrong
    with pytest.raises(BadRequestError, match="Fail to pack request"):
        PROTOCOL.pack_request(RpcRequest(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"a": 1}, "user field 'a' must be a string, not int"),
        ({"a": b"b"}, "user field 'a' must be a string, not bytes"),
        ({1: "a"}, "the name of a user field must be a string, not int"),
    ],
    ids=str,
)
def test_user_field_that_is_no_text_is_named(fields: Any, text: str) -> None:
    with pytest.raises(BadRequestError, match=f"Fail to pack request: {text}$"):
        PROTOCOL.pack_request(RpcRequest(1, "S", "M", user_fields=fields))
    with pytest.raises(BadResponseError, match=f"Fail to pack response: {text}$"):
        PROTOCOL.pack_response(RpcResponse(1, user_fields=fields))


def test_response_with_a_field_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BadResponseError, match="Fail to pack response"):
        PROTOCOL.pack_response(RpcResponse(1, error_code=2**31))


@pytest.mark.parametrize("payload_bytes", range(4070, 4100))
def test_frames_around_the_size_limit_of_copying_are_parsed(payload_bytes: int) -> None:
    """A frame may be a block of its own, or its bytes a copy or a view of a part of a block."""
    request = RpcRequest(1, "S", "M", bytes(payload_bytes), IOBuf(b"abc"))
    frame = bytes(PROTOCOL.pack_request(request))
    buffer = IOBuf(frame + frame + bytes(9000))
    for _ in range(2):
        assert PROTOCOL.parse(buffer, ParseLimits()) == request


@pytest.mark.parametrize(
    "message",
    [
        RpcRequest(1, "a.Service", "Method", b"body", timeout_ms=500),
        RpcRequest(1, "a.Service", "Method", b"body", IOBuf(b"attached")),
        RpcResponse(1, body=b"body"),
        RpcResponse(1, body=b"body", attachment=IOBuf(b"attached")),
    ],
)
def test_fast_frames_and_the_codec_give_the_same_bytes_and_messages(
    monkeypatch: pytest.MonkeyPatch, message: RpcRequest | RpcResponse
) -> None:
    fast = bytes(pack(PROTOCOL, message))
    assert parse(fast) == message
    size = len(message.attachment or b"")
    meta = (
        encode_request_meta(message, size)
        if isinstance(message, RpcRequest)
        else encode_response_meta(message, size)
    )
    assert fast == frame(meta, bytes(message.body) + bytes(message.attachment or b""))
    in_two_blocks = IOBuf(fast[:20])
    in_two_blocks.append(fast[20:])
    assert PROTOCOL.parse(in_two_blocks, DEFAULT) == message


@pytest.mark.parametrize("body", [b"", b"body", bytes(100_000)])
@pytest.mark.parametrize("timeout_ms", [None, 500])
def test_pack_fast_gives_the_bytes_of_the_whole_message(
    body: bytes, timeout_ms: int | None
) -> None:
    request = RpcRequest(7, "a.Service", "Method", body, timeout_ms=timeout_ms)
    packed = PROTOCOL.pack_fast_request(7, "a.Service", "Method", timeout_ms, body)
    assert packed == PROTOCOL.pack_request(request)
    assert PROTOCOL.pack_fast_response(7, body) == PROTOCOL.pack_response(RpcResponse(7, body=body))


def test_pack_fast_refuses_a_name_without_utf8() -> None:
    with pytest.raises(BadRequestError, match="Fail to pack request"):
        PROTOCOL.pack_fast_request(7, "\ud800", "Method", None, b"")


@pytest.mark.parametrize(("meta_bytes", "is_shared"), [(100_000, False), (1000, True)])
def test_payload_shares_no_memory_with_a_meta_that_is_longer(
    meta_bytes: int, is_shared: bool
) -> None:
    """Nobody counts that memory, and a request may be kept for long."""
    sent = RpcRequest(
        7, "s", "m", b"x" * 20_000, IOBuf(b"y" * 20_000), credential=bytes(meta_bytes)
    )
    parsed = parse(bytes(PROTOCOL.pack_request(sent)))
    assert isinstance(parsed, RpcRequest)
    assert (bytes(parsed.body), bytes(parsed.attachment or b"")) == (sent.body, b"y" * 20_000)
    assert isinstance(parsed.body, memoryview) == is_shared


@pytest.mark.parametrize("excess", [-20_000, 0])
def test_meta_that_a_peer_would_not_accept_is_not_packed(excess: int) -> None:
    """The peer would close the connection, and with it the calls of others."""
    size = DEFAULT.max_meta_size + excess
    request = RpcRequest(7, "s", "m", user_fields={"key": "x" * size})
    response = RpcResponse(7, 1003, "x" * size)
    if excess < 0:
        assert parse(bytes(PROTOCOL.pack_request(request))) == request
        assert parse(bytes(PROTOCOL.pack_response(response))) == response
        return
    with pytest.raises(BadRequestError, match="exceeds the 1048576 bytes of a meta"):
        PROTOCOL.pack_request(request)
    with pytest.raises(BadResponseError, match="exceeds the 1048576 bytes of a meta"):
        PROTOCOL.pack_response(response)
