from __future__ import annotations

import struct
from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.hulu.schema import HuluRpcRequestMeta, HuluRpcResponseMeta
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import Broken, ParseLimits, ParseOutcome
from pybrpc.testing.check_protocol import check_protocol, parse_all

NAMES = {"service_name": b"S", "method_index": 1}


def frame(meta: Any, payload: bytes = b"") -> bytes:
    """A frame with the given meta, even if no client or server would send it."""
    data = meta if isinstance(meta, bytes) else meta.SerializeToString()
    return struct.pack("<4sII", b"HULU", len(data) + len(payload), len(data)) + data + payload


def parse(data: bytes, limits: ParseLimits | None = None) -> ParseOutcome:
    return HULU_PBRPC.parse(IOBuf(data), limits or ParseLimits())


def test_hulu_passes_the_checks_of_every_protocol() -> None:
    check_protocol(
        HULU_PBRPC,
        [
            RpcRequest(1, "S", "", b"body", method_index=0),
            RpcRequest(2, "S", "M", b"", attachment=IOBuf(b"only")),
            RpcRequest(3, "S", "", b"b", attachment=IOBuf(b"a"), log_id=-1, method_index=2**31 - 1),
            RpcRequest(-4, "S", "M", trace_id=1, span_id=2, parent_span_id=3, credential=b"who"),
            RpcResponse(-5, body=b"b", attachment=IOBuf(b"att"), compress_type=3),
            RpcResponse(6, error_code=1003, error_text="no"),
            RpcResponse(7, body=b"body", compress_type=None),
        ],
    )


@pytest.mark.parametrize("size", [0, 1, 4096, 5000])
@pytest.mark.parametrize("attachment_size", [1, 4096, 100_000])
def test_attachment_is_told_from_the_body(size: int, attachment_size: int) -> None:
    attachment = IOBuf(b"a" * attachment_size)
    asked = RpcRequest(1, "S", "", b"b" * size, attachment=attachment, method_index=0)
    answer = RpcResponse(1, body=b"b" * size, attachment=attachment)
    packed = bytes(HULU_PBRPC.pack_request(asked)) + bytes(HULU_PBRPC.pack_response(answer))
    pieces = [packed[i : i + 1500] for i in range(0, len(packed), 1500)]
    assert list(parse_all(HULU_PBRPC, pieces)) == [asked, answer]


def test_size_of_the_body_is_sent_only_if_an_attachment_follows() -> None:
    for attachment in (None, IOBuf()):
        packed = bytes(HULU_PBRPC.pack_response(RpcResponse(1, body=b"b", attachment=attachment)))
        meta = HuluRpcResponseMeta.FromString(packed[12:-1])
        assert not meta.HasField("user_message_size")


def test_body_that_fills_the_payload_has_no_attachment() -> None:
    meta = HuluRpcRequestMeta(user_message_size=4, **NAMES)
    message = parse(frame(meta, b"body"))
    assert isinstance(message, RpcRequest)
    assert (message.body, message.attachment) == (b"body", None)


def test_meta_bigger_than_the_body_is_broken_before_it_is_received() -> None:
    header = struct.pack("<4sII", b"HULU", 4, 5)
    assert parse(header) == Broken("meta_size=5 is bigger than body_size=4")


def test_sizes_in_network_byte_order_are_not_taken_for_small_ones() -> None:
    header = struct.pack("!4sII", b"HULU", 20, 10)
    assert isinstance(parse(header), Broken)


@pytest.mark.parametrize("payload_size", [3, 5000])
@pytest.mark.parametrize(
    ("role", "size", "reason"),
    [
        ("request", 5001, "user_message_size=5001 is larger than request_size={0}"),
        ("response", 5001, "user_message_size=5001 is larger than response_size={0}"),
        ("request", 2**31 - 1, "user_message_size=2147483647 is larger than request_size={0}"),
        ("response", -1, "user_message_size=-1 is negative"),
        ("request", -(2**31), "user_message_size=-2147483648 is negative"),
    ],
)
def test_wrong_size_of_the_body_makes_only_its_own_message_bad(
    payload_size: int, role: str, size: int, reason: str
) -> None:
    if role == "request":
        meta = HuluRpcRequestMeta(
            correlation_id=7, user_message_size=size, credential_data=b"who", **NAMES
        )
    else:
        meta = HuluRpcResponseMeta(error_code=0, correlation_id=7, user_message_size=size)
    buffer = IOBuf(frame(meta, b"x" * payload_size) + b"HULU")
    outcome = HULU_PBRPC.parse(buffer, ParseLimits())
    credential = b"who" if role == "request" else None
    assert outcome == BadMessage(7, role == "request", reason.format(payload_size), credential)
    assert buffer == b"HULU"


def test_request_over_the_limit_has_its_credential() -> None:
    meta = HuluRpcRequestMeta(correlation_id=9, credential_data=b"who", **NAMES)
    outcome = parse(frame(meta, bytes(1000)), ParseLimits(max_body_size=1000))
    assert isinstance(outcome, OversizedMessage)
    assert (outcome.correlation_id, outcome.credential) == (9, b"who")


def test_name_of_the_service_is_sent_without_its_package() -> None:
    packed = HULU_PBRPC.pack_request(RpcRequest(1, "a.b.S", "M", method_index=3))
    message = parse(bytes(packed))
    assert message == RpcRequest(1, "S", "", method_index=3)


def test_method_without_an_index_is_sent_by_its_name_and_an_index_that_no_method_has() -> None:
    packed = bytes(HULU_PBRPC.pack_request(RpcRequest(1, "S", "M")))
    meta = HuluRpcRequestMeta.FromString(packed[12:])
    assert (meta.method_index, meta.method_name) == (-1, b"M")
    assert parse(packed) == RpcRequest(1, "S", "M")


@pytest.mark.parametrize(
    ("fields", "method", "index"),
    [
        ({"method_index": 0}, "", 0),
        ({"method_index": 4, "method_name": b"M"}, "M", 4),
        ({"method_name": b"M"}, "M", None),
        ({"method_index": -1, "method_name": b"M"}, "M", None),
        ({"method_index": -1}, "", -1),
        ({"method_index": -7, "method_name": b""}, "", -7),
    ],
)
def test_method_is_read_by_index_and_by_name(
    fields: dict[str, Any], method: str, index: int | None
) -> None:
    message = parse(frame(HuluRpcRequestMeta(service_name=b"S", **fields)))
    assert isinstance(message, RpcRequest)
    assert (message.method, message.method_index) == (method, index)


def test_request_with_neither_index_nor_name_is_broken() -> None:
    outcome = parse(frame(HuluRpcRequestMeta(service_name=b"S", correlation_id=3)))
    assert outcome == Broken("request has neither a method_index nor a method_name")


@pytest.mark.parametrize("correlation_id", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_correlation_id_of_a_response_is_zigzag_coded(correlation_id: int) -> None:
    packed = bytes(HULU_PBRPC.pack_response(RpcResponse(correlation_id)))
    zigzag = 2 * correlation_id if correlation_id >= 0 else -2 * correlation_id - 1
    assert packed[12:].startswith(b"\x08\x00\x18" + bytes([zigzag & 0x7F | (zigzag > 0x7F) << 7]))
    assert list(parse_all(HULU_PBRPC, [packed])) == [RpcResponse(correlation_id)]


def test_response_may_begin_with_any_field() -> None:
    """A server need not send an error code."""
    for meta in (
        HuluRpcResponseMeta(correlation_id=7),
        HuluRpcResponseMeta(error_text=b"", correlation_id=7),
        HuluRpcResponseMeta(correlation_id=7, compress_type=0),
    ):
        message = parse(frame(meta, b"body"))
        assert isinstance(message, RpcResponse)
        assert (message.correlation_id, message.error_code, message.body) == (7, 0, b"body")


def test_empty_meta_is_a_response() -> None:
    message = parse(frame(b""))
    assert message == RpcResponse(0, compress_type=None)


def test_request_may_begin_with_any_field() -> None:
    meta = HuluRpcRequestMeta(**NAMES).SerializeToString()
    message = parse(frame(b"\x20\x05" + meta))
    assert isinstance(message, RpcRequest)
    assert (message.correlation_id, message.service, message.method_index) == (5, "S", 1)


def test_fields_that_nothing_reads_are_skipped() -> None:
    """chuck_info, the talk type, user_data and user_defined_source_addr."""
    meta = HuluRpcRequestMeta(correlation_id=3, **NAMES).SerializeToString()
    unread = b"\x32\x02\x08\x01\x50\x01\x5a\x03abc\x68\x07"
    assert parse(frame(meta + unread)) == parse(frame(meta))


@pytest.mark.parametrize("compress_type", [4, 5, -1, 2**31 - 1])
def test_compress_type_without_a_number_is_not_sent_but_read(compress_type: int) -> None:
    with pytest.raises(BadRequestError, match="hulu_pbrpc has no number for compress_type="):
        HULU_PBRPC.pack_request(RpcRequest(1, "S", "M", compress_type=compress_type))
    with pytest.raises(BadResponseError, match="hulu_pbrpc has no number for compress_type="):
        HULU_PBRPC.pack_response(RpcResponse(1, compress_type=compress_type))
    message = parse(frame(HuluRpcRequestMeta(compress_type=compress_type, **NAMES)))
    assert isinstance(message, RpcRequest)
    assert message.compress_type == compress_type


@pytest.mark.parametrize(
    "fields",
    [{"method_index": 2**31}, {"log_id": 2**63}, {"credential": "text"}, {"compress_type": "1"}],
)
def test_request_with_a_value_that_does_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match="Fail to pack request: "):
        HULU_PBRPC.pack_request(RpcRequest(1, "S", "M", **fields))
