"""Usual frames by hand against the codec of all frames: the same for all messages and bytes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybrpc.errors import ProtocolError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import meta, usual_frames
from pybrpc.protocols.baidu_std.frame import pack_header
from pybrpc.protocols.baidu_std.usual_frames import (
    LONGEST_KEPT,
    MOST_KEPT,
    cut_usual,
    pack_usual_request,
    pack_usual_response,
)
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import ParseLimits
from tests.property.strategies import requests, responses, sound_fields

ids = st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 127, 128, 2**14, 2**63 - 1])
bodies = st.sampled_from([b"", b"body", bytes(4096)])
attachments = st.none() | st.builds(IOBuf, st.sampled_from([b"", b"m", bytes(127), bytes(70000)]))
timeouts = st.none() | st.sampled_from([1, 500, 60_000]) | st.integers(0, 2**31 - 1)

ASKED = RpcRequest(300, "a.Service", "Method", b"body", timeout_ms=500)
ANSWERED = RpcResponse(300, body=b"body")


def frame_of(data: bytes, body: Any) -> bytes:
    return pack_header(len(data) + len(body), len(data)) + data + body


def packed_by_codec(message: Any, encode: Any) -> bytes:
    """The frame up to the attachment, as the codec has it."""
    size = 0 if message.attachment is None else len(message.attachment)
    data = encode(message, size)
    return pack_header(len(data) + len(message.body) + size, len(data)) + data + message.body


def read_usual(frame: bytes, cut_at: int | None = None) -> RpcRequest | RpcResponse | None:
    """What is cut from a buffer with `frame` and a byte more, in two blocks if `cut_at`; all of it
    or nothing."""
    buffer = IOBuf(frame[:cut_at])
    if cut_at is not None:
        buffer.append(frame[cut_at:])
    buffer.append(b"P")
    found = cut_usual(buffer, ParseLimits())
    assert buffer == (frame if found is None else b"") + b"P"
    return found


def read_by_meta(data: bytes, body: bytes) -> Any:
    decoded = meta.decode_meta(data)
    of = meta.request_of if meta.is_request(decoded) else meta.response_of
    size = decoded.attachment_size
    if not size:
        return of(decoded, body, None)
    if not 0 <= size <= len(body):
        return None
    return of(decoded, body[:-size], IOBuf(body[-size:]))


@given(
    st.builds(RpcRequest, ids, st.text(), st.text(), bodies, attachments, timeout_ms=timeouts)
    | requests
)
@example(ASKED)
def test_a_request_is_packed_as_by_the_codec(request: RpcRequest) -> None:
    for _ in range(2):  # the second time by what was kept
        packed = pack_usual_request(request)
        if packed is not None:
            assert packed == packed_by_codec(request, meta.encode_request_meta)


@given(st.builds(RpcResponse, ids, body=bodies, attachment=attachments) | responses)
@example(ANSWERED)
def test_a_response_is_packed_as_by_the_codec(response: RpcResponse) -> None:
    packed = pack_usual_response(response)
    if packed is not None:
        assert packed == packed_by_codec(response, meta.encode_response_meta)


@pytest.mark.parametrize("timeout_ms", [None, 0, 1, 500, 2**31 - 1])
@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**28, 2**63 - 1])
def test_usual_messages_are_usual_there_and_back(number: int, timeout_ms: int | None) -> None:
    asked = RpcRequest(number, "a.Service", "Method", b"body", timeout_ms=timeout_ms)
    answered = RpcResponse(number, body=b"body")
    for packed, message in (
        (pack_usual_request(asked), asked),
        (pack_usual_response(answered), answered),
    ):
        assert packed is not None
        for _ in range(2):
            assert read_usual(packed) == message


@pytest.mark.parametrize("cut_at", [None, 90, 100, 5000])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 4096, 70_000, 2_100_000])
def test_usual_messages_carry_attachments_there_and_back(size: int, cut_at: int | None) -> None:
    attachment = IOBuf(bytes(range(256)) * (size // 256) + bytes(size % 256))
    asked = dataclasses.replace(ASKED, attachment=attachment)
    answered = dataclasses.replace(ANSWERED, attachment=attachment)
    for packed, message in (
        (pack_usual_request(asked), asked),
        (pack_usual_response(answered), answered),
    ):
        assert packed is not None
        found = read_usual(packed + bytes(attachment), cut_at)
        expected = dataclasses.replace(message, attachment=attachment if size else None)
        assert found == expected


def test_attachment_that_has_not_come_yet_is_waited_for() -> None:
    attachment = IOBuf(bytes(10_000))
    packed = pack_usual_response(dataclasses.replace(ANSWERED, attachment=attachment))
    assert packed is not None
    buffer = IOBuf(packed + bytes(9_999))
    assert cut_usual(buffer, ParseLimits()) is None
    assert len(buffer) == len(packed) + 9_999


def test_attachment_that_is_larger_than_its_message_is_not_usual() -> None:
    assert read_usual(frame_of(meta.encode_response_meta(ANSWERED, 4), b"body")) is not None
    assert read_usual(frame_of(meta.encode_response_meta(ANSWERED, 5), b"body")) is None


OTHER = {
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
    "stream_settings": meta.StreamSettings(1),
    "error_code": 1,
    "error_text": "no",
    "body": memoryview(b"body"),
    "correlation_id": -1,
}


@pytest.mark.parametrize("field", OTHER)
def test_what_has_one_field_more_is_not_usual(field: str) -> None:
    for pack, usual in ((pack_usual_request, ASKED), (pack_usual_response, ANSWERED)):
        if field in {each.name for each in dataclasses.fields(usual)}:
            assert pack(usual) is not None  # type: ignore[operator]
            other: Any = dataclasses.replace(usual, **{field: OTHER[field]})
            assert pack(other) is None


@pytest.mark.parametrize("timeout_ms", [True, 1.0])
def test_what_only_equals_a_usual_timeout_is_not_usual(timeout_ms: Any) -> None:
    assert pack_usual_request(dataclasses.replace(ASKED, timeout_ms=1)) is not None
    assert pack_usual_request(dataclasses.replace(ASKED, timeout_ms=timeout_ms)) is None


def test_large_bodies_long_names_and_large_ids_are_not_usual() -> None:
    for other in (
        dataclasses.replace(ASKED, body=bytes(4097)),
        dataclasses.replace(ASKED, service="x" * LONGEST_KEPT),
        dataclasses.replace(ASKED, service="x" * 70_000),
        dataclasses.replace(ASKED, correlation_id=2**63),
    ):
        assert pack_usual_request(other) is None


def test_names_that_cannot_be_written_are_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        pack_usual_request(dataclasses.replace(ASKED, service="\udc80"))


@given(sound_fields | st.binary(max_size=24), st.sampled_from([b"", b"body"]))
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
def test_what_is_read_by_hand_is_what_the_codec_reads(data: bytes, body: bytes) -> None:
    found = read_usual(frame_of(data, body))
    if found is not None:
        try:
            assert found == read_by_meta(data, body)
        except ProtocolError:
            pytest.fail(f"{data!r} is no meta")


@given(st.sampled_from([ASKED, ANSWERED]), st.integers(0, 60), st.integers(0, 255))
def test_a_damaged_usual_frame_is_read_as_by_the_codec(message: Any, index: int, byte: int) -> None:
    usual = isinstance(message, RpcRequest)
    encode: Any = meta.encode_request_meta if usual else meta.encode_response_meta
    data = bytearray(encode(message, 0))
    data[index % len(data)] = byte
    test_what_is_read_by_hand_is_what_the_codec_reads.hypothesis.inner_test(bytes(data), b"body")


def test_no_more_is_kept_than_the_limit() -> None:
    for timeout_ms in range(MOST_KEPT + 10):
        packed = pack_usual_request(dataclasses.replace(ASKED, timeout_ms=timeout_ms))
        assert packed is not None
        assert read_usual(packed) is not None
    if hasattr(usual_frames, "_templates"):  # not of the compiled form
        assert 0 < len(usual_frames._templates) <= MOST_KEPT
        assert 0 < len(usual_frames._requests) <= MOST_KEPT
