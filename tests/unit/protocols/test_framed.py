"""FramedProtocol: what hulu_pbrpc and sofa_pbrpc have in common: sizes, limits, payloads."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols import frames
from pybrpc.protocols.framed import (
    UNDECODABLE,
    FramedProtocol,
    is_bare_request,
    is_bare_response,
)
from pybrpc.protocols.frames import MAX_OVERSIZED_META
from pybrpc.protocols.hulu import HULU_PBRPC, hulu
from pybrpc.protocols.hulu.schema import HuluRpcResponseMeta
from pybrpc.protocols.message import (
    BadMessage,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
    StreamSettings,
)
from pybrpc.protocols.protocol import (
    DEFAULT_MAX_META_SIZE,
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseOutcome,
)
from pybrpc.protocols.sofa import SOFA_PBRPC, sofa
from pybrpc.testing.check_protocol import Sample, pack, parse_all

DEFAULT = ParseLimits()
BOTH = pytest.mark.parametrize("protocol", [HULU_PBRPC, SOFA_PBRPC], ids=lambda each: each.name)


def parse(protocol: FramedProtocol, data: bytes, limits: ParseLimits = DEFAULT) -> ParseOutcome:
    return protocol.parse(IOBuf(data), limits)


def request(body: bytes = b"", **fields: Any) -> RpcRequest:
    return RpcRequest(7, "EchoService", "Echo", body, **fields)


def messages(body: bytes) -> list[Sample]:
    return [request(body), RpcResponse(7, body=body)]


def size_of_meta(protocol: FramedProtocol, message: Sample) -> int:
    header = bytes(pack(protocol, message))[: protocol.header_size]
    sizes = protocol.sizes_of(header)
    assert not isinstance(sizes, Broken)
    return sizes[0]


@BOTH
@pytest.mark.parametrize("size", [0, 1, 4000, 4096, 5000, 200_000])
def test_message_of_any_size_is_parsed_from_small_blocks(
    protocol: FramedProtocol, size: int
) -> None:
    sent = messages(b"b" * size)
    packed = b"".join(bytes(pack(protocol, message)) for message in sent)
    pieces = [packed[i : i + 1500] for i in range(0, len(packed), 1500)]
    assert list(parse_all(protocol, pieces)) == sent


@BOTH
def test_body_of_a_large_message_is_not_copied(protocol: FramedProtocol) -> None:
    whole = bytes(protocol.pack_response(RpcResponse(1, body=bytes(100_000))))
    message = parse(protocol, whole)
    assert isinstance(message, RpcResponse)
    assert isinstance(message.body, memoryview)
    assert message.body.obj is whole


@BOTH
def test_body_that_is_smaller_than_its_meta_keeps_no_view_of_it(protocol: FramedProtocol) -> None:
    failed = RpcResponse(1, error_code=5, error_text="x" * 5000, body=b"y" * 4500)
    message = parse(protocol, bytes(protocol.pack_response(failed)))
    assert isinstance(message, RpcResponse)
    assert isinstance(message.body, bytes)


@BOTH
def test_small_message_keeps_no_view_of_the_block_that_it_came_in(
    protocol: FramedProtocol,
) -> None:
    block = memoryview(bytearray(bytes(pack(protocol, request(bytes(3000)))))).toreadonly()
    message = protocol.parse(IOBuf(block), DEFAULT)
    assert isinstance(message, RpcRequest)
    assert type(message.body) is bytes
    assert message.body == bytes(3000)


@BOTH
def test_parse_leaves_the_bytes_after_the_frame(protocol: FramedProtocol) -> None:
    for message in messages(b"x"):
        buffer = pack(protocol, message)
        buffer.append(protocol.magic)
        assert protocol.parse(buffer, DEFAULT) == message
        assert buffer == protocol.magic


@BOTH
def test_a_start_that_is_too_short_is_awaited_and_another_one_is_not_mine(
    protocol: FramedProtocol,
) -> None:
    header = protocol.pack_header(4, 4)
    for size in range(protocol.header_size):
        start = header[:size]
        assert parse(protocol, start) is NEED_MORE
        assert protocol.bytes_wanted(IOBuf(start), DEFAULT) == protocol.header_size - size
    for other in (b"P", b"PRPC", protocol.magic[:3] + b"X", protocol.magic.lower()):
        assert parse(protocol, other + bytes(30)) is NOT_MINE
        assert protocol.bytes_wanted(IOBuf(other), DEFAULT) == 0


@BOTH
def test_sizes_are_little_endian(protocol: FramedProtocol) -> None:
    assert protocol.pack_header(0x0102, 0x0304)[4:].find(b"\x02\x01") >= 0
    assert protocol.sizes_of(protocol.pack_header(0x0102, 0x0304)) == (0x0102, 0x0304)


@BOTH
def test_rest_of_a_frame_is_wanted_exactly(protocol: FramedProtocol) -> None:
    whole = bytes(protocol.pack_request(request(b"x" * 100)))
    for size in range(protocol.header_size, len(whole)):
        assert parse(protocol, whole[:size]) is NEED_MORE
        assert protocol.bytes_wanted(IOBuf(whole[:size]), DEFAULT) == len(whole) - size


@BOTH
@pytest.mark.parametrize("payload_size", [0, 3, 5000])
@pytest.mark.parametrize("meta", [b"\xff\xff", b"\x0b" * 2000, b"\x0a\x7fshort"])
def test_frame_whose_meta_is_not_protobuf_is_broken(
    protocol: FramedProtocol, meta: bytes, payload_size: int
) -> None:
    frame = protocol.pack_header(len(meta), payload_size) + meta + bytes(payload_size)
    assert parse(protocol, frame) == Broken(UNDECODABLE)


@BOTH
def test_sizes_that_contradict_each_other_are_broken_before_more_is_received(
    protocol: FramedProtocol,
) -> None:
    header = protocol.magic + b"\xff" * (protocol.header_size - 5) + b"\x00"
    assert isinstance(parse(protocol, header), Broken)
    assert protocol.bytes_wanted(IOBuf(header), DEFAULT) == 0


@pytest.mark.parametrize("payload_size", [3, 5000])
@pytest.mark.parametrize(("size", "fault"), [(5001, "larger than {0}"), (-1, "negative")])
def test_body_that_ends_beyond_the_payload_makes_only_its_own_message_bad(
    payload_size: int, size: int, fault: str
) -> None:
    meta = HuluRpcResponseMeta(correlation_id=7, user_message_size=size).SerializeToString()
    frame = HULU_PBRPC.pack_header(len(meta), payload_size) + meta + bytes(payload_size)
    buffer = IOBuf(frame + b"HULU")
    reason = f"user_message_size={size} is " + fault.format(f"response_size={payload_size}")
    assert HULU_PBRPC.parse(buffer, DEFAULT) == BadMessage(7, False, reason)
    assert buffer == b"HULU"


@BOTH
@pytest.mark.parametrize("is_request", [True, False])
def test_message_over_the_limit_is_reported_once_its_meta_is_received(
    protocol: FramedProtocol, is_request: bool
) -> None:
    message = messages(b"b" * 1000)[0 if is_request else 1]
    meta_size = size_of_meta(protocol, message)
    whole, limits = bytes(pack(protocol, message)), ParseLimits(max_body_size=1000)
    head = whole[: protocol.header_size + meta_size]
    assert parse(protocol, head[:-1], limits) is NEED_MORE
    assert protocol.bytes_wanted(IOBuf(head[:-1]), limits) == 1
    outcome = parse(protocol, head, limits)
    size = meta_size + 1000
    assert outcome == OversizedMessage(7, is_request, size, 1000, rest_bytes=1000)


@BOTH
def test_message_at_the_limit_is_parsed(protocol: FramedProtocol) -> None:
    whole = bytes(protocol.pack_response(RpcResponse(1, body=b"x" * 100)))
    limit = len(whole) - protocol.header_size
    assert isinstance(parse(protocol, whole, ParseLimits(limit)), RpcResponse)
    assert isinstance(parse(protocol, whole, ParseLimits(limit - 1)), OversizedMessage)


@BOTH
@pytest.mark.parametrize(
    ("meta_size", "payload_size", "limit"),
    [
        (MAX_OVERSIZED_META + 1, 1 << 31, 1 << 26),
        ((1 << 31) - 1, 0, 1 << 26),
        (11, 89, 10),
        (DEFAULT_MAX_META_SIZE + 1, 0, 1 << 26),
    ],
)
def test_meta_over_its_limit_is_broken_before_it_is_received(
    protocol: FramedProtocol, meta_size: int, payload_size: int, limit: int
) -> None:
    header = protocol.pack_header(meta_size, payload_size)
    limits = ParseLimits(max_body_size=limit)
    assert isinstance(parse(protocol, header, limits), Broken)
    assert protocol.bytes_wanted(IOBuf(header), limits) == 0


@BOTH
def test_meta_that_is_too_long_is_not_packed(protocol: FramedProtocol) -> None:
    with pytest.raises(BadRequestError, match="exceeds the 1048576 bytes of a meta"):
        protocol.pack_request(RpcRequest(1, "S", "M" * DEFAULT_MAX_META_SIZE))


@BOTH
def test_frame_that_is_too_long_for_cpp_is_not_packed(
    protocol: FramedProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_SIZE", 1000)
    with pytest.raises(BadResponseError, match="exceeds the 1000 bytes of a frame"):
        protocol.pack_response(RpcResponse(1, body=bytes(1000)))


@BOTH
def test_body_may_be_a_view_of_items_of_any_size(protocol: FramedProtocol) -> None:
    view = memoryview(bytes(8000)).cast("Q")
    (message,) = parse_all(protocol, [bytes(protocol.pack_response(RpcResponse(1, body=view)))])
    assert isinstance(message, RpcResponse)
    assert bytes(message.body) == bytes(8000)


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_fields", {"a": "b"}),
        ("request_id", "x"),
        ("checksum_type", 1),
        ("content_type", 1),
        ("stream_settings", StreamSettings(1)),
    ],
)
def test_request_with_something_that_has_no_place_is_refused(
    protocol: FramedProtocol, name: str, value: object
) -> None:
    with pytest.raises(BadRequestError) as caught:
        protocol.pack_request(request(**{name: value}))
    what = "streams" if name == "stream_settings" else name
    assert caught.value.text.endswith(
        f"Fail to pack request: {protocol.name} has no place for {what}"
    )


VALUES: dict[str, Any] = {
    "attachment": IOBuf(b"a"),
    "checksum_type": 1,
    "content_type": 1,
    "credential": b"",
    "log_id": 0,
    "parent_span_id": 0,
    "request_id": "",
    "span_id": 0,
    "stream_settings": StreamSettings(1),
    "trace_id": 0,
    "user_fields": {"a": "b"},
}


@pytest.mark.parametrize("module", [hulu, sofa])
def test_what_is_refused_makes_a_message_not_bare(module: Any) -> None:
    for name in module._NO_PLACE_IN_REQUEST:
        assert not is_bare_request(request(**{name: VALUES[name]})), name
    for name in module._NO_PLACE:
        assert not is_bare_response(RpcResponse(7, **{name: VALUES[name]})), name
    assert is_bare_request(request())
    assert is_bare_response(RpcResponse(7))


@BOTH
@pytest.mark.parametrize(("name", "value"), [("user_fields", {"a": "b"}), ("checksum_type", 1)])
def test_success_with_something_that_has_no_place_is_refused_and_an_error_goes_without(
    protocol: FramedProtocol, name: str, value: object
) -> None:
    with pytest.raises(BadResponseError, match=f"{protocol.name} has no place for {name}"):
        protocol.pack_response(RpcResponse(1, **{name: value}))  # type: ignore[arg-type]
    failed = RpcResponse(1, 2001, "no", **{name: value})  # type: ignore[arg-type]
    packed = bytes(protocol.pack_response(failed))
    assert list(parse_all(protocol, [packed])) == [RpcResponse(1, 2001, "no")]


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [("user_fields", {}), ("attachment", IOBuf()), ("checksum_type", None), ("timeout_ms", 9)],
)
def test_request_with_an_empty_field_or_a_timeout_goes_without(
    protocol: FramedProtocol, name: str, value: object
) -> None:
    packed = bytes(protocol.pack_request(request(**{name: value})))
    assert packed == bytes(protocol.pack_request(request()))


@BOTH
@pytest.mark.parametrize(
    "fields", [{"correlation_id": 1 << 64}, {"service": 3}, {"method": None}, {"body": 3}]
)
def test_request_with_an_impossible_value_is_refused(
    protocol: FramedProtocol, fields: dict[str, Any]
) -> None:
    values: dict[str, Any] = {"correlation_id": 1, "service": "S", "method": "M", **fields}
    with pytest.raises(BadRequestError, match="Fail to pack request: "):
        protocol.pack_request(RpcRequest(**values))


@BOTH
def test_fast_forms_pack_the_same_bytes(protocol: FramedProtocol) -> None:
    fast = protocol.pack_fast_request(7, "EchoService", "Echo", 500, b"body")
    assert fast == protocol.pack_request(request(b"body"))
    answer = RpcResponse(7, body=b"body")
    assert protocol.pack_fast_response(7, b"body") == protocol.pack_response(answer)


@BOTH
def test_text_that_is_no_utf8_is_read_and_lone_surrogates_become_question_marks(
    protocol: FramedProtocol,
) -> None:
    packed = bytes(protocol.pack_response(RpcResponse(1, 5, "a\ud800b")))
    assert list(parse_all(protocol, [packed])) == [RpcResponse(1, 5, "a?b")]
    damaged = packed.replace(b"a?b", b"a\xffb")
    assert list(parse_all(protocol, [damaged])) == [RpcResponse(1, 5, "a\ufffdb")]
