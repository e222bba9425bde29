"""Fast frames against protobuf: the same bytes and the same messages, or `None`."""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybrpc.errors import ProtocolError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import fast_frames
from pybrpc.protocols.baidu_std.fast_frames import (
    MAX_KEPT,
    MAX_KEPT_BYTES,
    is_fast_request,
    is_fast_response,
    pack_fast_request,
    pack_fast_response,
    parse_fast,
)
from pybrpc.protocols.baidu_std.frame import pack_header
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings
from pybrpc.protocols.protocol import ParseLimits
from tests.oracles import protobuf_meta
from tests.property.strategies import encoded_fields, requests, responses

ids = st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 127, 128, 2**14, 2**63 - 1])
bodies = st.sampled_from([b"", b"body", bytes(4096)])
attachments = st.none() | st.builds(IOBuf, st.sampled_from([b"", b"m", bytes(127), bytes(70000)]))
timeouts = st.none() | st.sampled_from([1, 500, 60_000]) | st.integers(0, 2**31 - 1)

ASKED = RpcRequest(300, "a.Service", "Method", b"body", timeout_ms=500)
ANSWERED = RpcResponse(300, body=b"body")


def pack(message: RpcRequest | RpcResponse) -> bytes | None:
    """The fast frame of a message, without the bytes of its attachment."""
    if isinstance(message, RpcResponse):
        if not is_fast_response(message):
            return None
        return pack_fast_response(message.correlation_id, message.body, message.attachment)
    if not is_fast_request(message):
        return None
    return pack_fast_request(
        message.correlation_id,
        message.service,
        message.method,
        message.timeout_ms,
        message.body,
        message.attachment,
    )


def encode(message: RpcRequest | RpcResponse, attachment_size: int) -> bytes:
    if isinstance(message, RpcRequest):
        return protobuf_meta.encode_request_meta(message, attachment_size)
    return protobuf_meta.encode_response_meta(message, attachment_size)


def frame_of(data: bytes, body: Any) -> bytes:
    return pack_header(len(data) + len(body), len(data)) + data + body


def packed_by_protobuf(message: RpcRequest | RpcResponse) -> bytes:
    """The frame of a message, without the bytes of its attachment."""
    size = 0 if message.attachment is None else len(message.attachment)
    data = encode(message, size)
    return pack_header(len(data) + len(message.body) + size, len(data)) + data + message.body


def parse(frame: bytes, cut_at: int | None = None) -> RpcRequest | RpcResponse | None:
    """Parse a buffer that contains `frame` and one more byte, in two blocks if `cut_at` is given.
    Either the whole frame is consumed or nothing."""
    buffer = IOBuf(frame[:cut_at])
    if cut_at is not None:
        buffer.append(frame[cut_at:])
    buffer.append(b"P")
    found = parse_fast(buffer, ParseLimits())
    assert buffer == (frame if found is None else b"") + b"P"
    return found


def parsed_by_protobuf(data: bytes, body: bytes) -> Any:
    meta = protobuf_meta.decode_meta(data)
    is_request = protobuf_meta.is_request(meta)
    of: Any = protobuf_meta.request_of if is_request else protobuf_meta.response_of
    size = meta.attachment_size
    if not size:
        return of(meta, body, None)
    if not 0 <= size <= len(body):
        return None
    return of(meta, body[:-size], IOBuf(body[-size:]))


@given(
    st.builds(RpcRequest, ids, st.text(), st.text(), bodies, attachments, timeout_ms=timeouts)
    | requests
)
@example(ASKED)
def test_request_is_packed_as_by_protobuf(request: RpcRequest) -> None:
    for _ in range(2):  # the second time with the template of the first
        packed = pack(request)
        assert packed is None or packed == packed_by_protobuf(request)


@given(st.builds(RpcResponse, ids, body=bodies, attachment=attachments) | responses)
@example(ANSWERED)
def test_response_is_packed_as_by_protobuf(response: RpcResponse) -> None:
    packed = pack(response)
    assert packed is None or packed == packed_by_protobuf(response)


@pytest.mark.parametrize("timeout_ms", [None, 0, 1, 500, 2**31 - 1])
@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**28, 2**63 - 1])
def test_message_without_rare_fields_is_packed_and_parsed_fast(
    number: int, timeout_ms: int | None
) -> None:
    asked = RpcRequest(number, "a.Service", "Method", b"body", timeout_ms=timeout_ms)
    answered = RpcResponse(number, body=b"body")
    for packed, message in (
        (pack(asked), asked),
        (pack(answered), answered),
    ):
        assert packed is not None
        for _ in range(2):
            assert parse(packed) == message


@pytest.mark.parametrize("cut_at", [None, 90, 100, 5000])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 4096, 70_000, 2_100_000])
def test_message_with_an_attachment_is_packed_and_parsed_fast(
    size: int, cut_at: int | None
) -> None:
    attachment = IOBuf(bytes(range(256)) * (size // 256) + bytes(size % 256))
    asked = dataclasses.replace(ASKED, attachment=attachment)
    answered = dataclasses.replace(ANSWERED, attachment=attachment)
    for packed, message in (
        (pack(asked), asked),
        (pack(answered), answered),
    ):
        assert packed is not None
        found = parse(packed + bytes(attachment), cut_at)
        expected = dataclasses.replace(message, attachment=attachment if size else None)
        assert found == expected


def test_frame_is_left_in_the_buffer_until_its_attachment_is_complete() -> None:
    attachment = IOBuf(bytes(10_000))
    packed = pack(dataclasses.replace(ANSWERED, attachment=attachment))
    assert packed is not None
    buffer = IOBuf(packed + bytes(9_999))
    assert parse_fast(buffer, ParseLimits()) is None
    assert len(buffer) == len(packed) + 9_999


def test_frame_is_not_fast_if_its_attachment_is_larger_than_the_message() -> None:
    assert parse(frame_of(encode(ANSWERED, 4), b"body")) is not None
    assert parse(frame_of(encode(ANSWERED, 5), b"body")) is None


OTHER: dict[str, Any] = {
    "log_id": 1,
    "request_id": "x",
    "trace_id": 1,
    "span_id": 1,
    "parent_span_id": 1,
    "user_fields": {"a": "b"},
    "credential": b"",
    "compress_type": 1,
    "content_type": None,
    "checksum_type": 1,
    "checksum_value": None,
    "checksum_with_attachment": False,
    "stream_settings": StreamSettings(1),
    "error_code": 1,
    "error_text": "no",
    "body": memoryview(b"body"),
    "correlation_id": -1,
}


@pytest.mark.parametrize("field", OTHER)
def test_message_with_a_rare_field_is_not_packed_fast(field: str) -> None:
    for message in (ASKED, ANSWERED):
        if field in {each.name for each in dataclasses.fields(message)}:
            assert pack(message) is not None
            other: Any = dataclasses.replace(message, **{field: OTHER[field]})
            assert pack(other) is None


@pytest.mark.parametrize("timeout_ms", [True, 1.0])
def test_timeout_that_is_no_int_is_not_packed_fast(timeout_ms: Any) -> None:
    assert pack(dataclasses.replace(ASKED, timeout_ms=1)) is not None
    assert pack(dataclasses.replace(ASKED, timeout_ms=timeout_ms)) is None


def test_large_bodies_long_names_and_large_ids_are_not_packed_fast() -> None:
    for other in (
        dataclasses.replace(ASKED, body=bytes(4097)),
        dataclasses.replace(ASKED, service="x" * MAX_KEPT_BYTES),
        dataclasses.replace(ASKED, service="x" * 70_000),
        dataclasses.replace(ASKED, correlation_id=2**63),
    ):
        assert pack(other) is None


def test_name_without_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        pack(dataclasses.replace(ASKED, service="\udc80"))


@given(encoded_fields | st.binary(max_size=24), st.sampled_from([b"", b"body"]))
@example(b"\x0a\x06\x0a\x01S\x12\x01M\x0a\x02\x40\x05", b"")
@example(b"\x0a\x08\x0a\x01S\x12\x01M\x18\x07", b"body")
@example(b"\x0a\x02\x0a\x00", b"")
@example(b"\x12\x02\x08\x01", b"")
@example(b"\x12\x02\x08\x00\x20\x80\x01\x28\x01", b"body")
@example(b"\x20" + b"\x80" * 9 + b"\x01", b"")
@example(b"\x12\x05\x08\x00", b"long enough")
@example(b"\x0a\x05\x0a\x01", b"long enough")
@example(b"\x20\x80", b"\x01")
@example(b"\x20", b"\x01")
def test_any_fields_are_parsed_as_by_protobuf_or_not_at_all(data: bytes, body: bytes) -> None:
    found = parse(frame_of(data, body))
    if found is not None:
        try:
            assert found == parsed_by_protobuf(data, body)
        except ProtocolError:
            pytest.fail(f"{data!r} is no meta")


@given(st.sampled_from([ASKED, ANSWERED]), st.integers(0, 60), st.integers(0, 255))
def test_damaged_frame_is_parsed_as_by_protobuf_or_not_at_all(
    message: Any, index: int, byte: int
) -> None:
    data = bytearray(encode(message, 0))
    data[index % len(data)] = byte
    test_any_fields_are_parsed_as_by_protobuf_or_not_at_all.hypothesis.inner_test(
        bytes(data), b"body"
    )


def test_templates_and_parsed_fields_are_kept_up_to_the_limit() -> None:
    for timeout_ms in range(MAX_KEPT + 10):
        packed = pack(dataclasses.replace(ASKED, timeout_ms=timeout_ms))
        assert packed is not None
        assert parse(packed) is not None
    if hasattr(fast_frames, "_templates"):  # compiled modules hide it
        assert 0 < len(fast_frames._templates) <= MAX_KEPT
        assert 0 < len(fast_frames._parsed) <= MAX_KEPT


def test_clear_tables_leaves_no_template_that_was_kept() -> None:
    def templates() -> int:
        gc.collect()
        return sum(isinstance(each, fast_frames.Template) for each in gc.get_objects())

    fast_frames.clear_tables()
    before = templates()
    for timeout_ms in range(20):
        assert pack(dataclasses.replace(ASKED, timeout_ms=timeout_ms)) is not None
    assert templates() > before + 10
    fast_frames.clear_tables()
    assert templates() <= before + 1  # the one that was used last


@pytest.mark.python_only
def test_threads_that_pack_at_the_same_time_use_different_drafts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = dataclasses.replace(ASKED, correlation_id=2**40, body=b"other")
    meanwhile: list[bytes | None] = []
    put_varint = fast_frames._put_varint

    def pack_other_first(frame: bytearray, at: int, number: int) -> int:
        """Pack another frame first, as another thread could between two steps."""
        if not meanwhile:
            meanwhile.append(None)
            meanwhile.append(pack(other))
        return put_varint(frame, at, number)

    monkeypatch.setattr(fast_frames, "_put_varint", pack_other_first)
    assert pack(ASKED) == packed_by_protobuf(ASKED)
    assert meanwhile == [None, packed_by_protobuf(other)]
