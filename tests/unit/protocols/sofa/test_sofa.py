from __future__ import annotations

import struct
from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError, ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, Broken, ParseLimits, ParseOutcome
from pybrpc.protocols.sofa import SOFA_PBRPC
from pybrpc.protocols.sofa.schema import REQUEST, RESPONSE, SofaRpcMeta
from pybrpc.rpc.compress import CompressType
from pybrpc.testing.check_protocol import check_protocol, parse_all

NUMBERS = {
    CompressType.NONE: 0,
    CompressType.GZIP: 1,
    CompressType.ZLIB: 2,
    CompressType.SNAPPY: 3,
    CompressType.LZ4: 4,
}
"""sofa_pbrpc's own, of src/brpc/policy/sofa_pbrpc_meta.proto."""


def header(meta_size: int, body_size: int, message_size: int) -> bytes:
    return struct.pack("<4sIQQ", b"SOFA", meta_size, body_size, message_size)


def frame(meta: Any, payload: bytes = b"") -> bytes:
    """A frame with the given meta, even if no client or server would send it."""
    data = meta if isinstance(meta, bytes) else meta.SerializeToString()
    return header(len(data), len(payload), len(data) + len(payload)) + data + payload


def parse(data: bytes, limits: ParseLimits | None = None) -> ParseOutcome:
    return SOFA_PBRPC.parse(IOBuf(data), limits or ParseLimits())


def test_sofa_passes_the_checks_of_every_protocol() -> None:
    check_protocol(
        SOFA_PBRPC,
        [
            RpcRequest(1, "a.b.S", "M", b"body"),
            RpcRequest(2**64 - 1, "S", "M", compress_type=CompressType.SNAPPY),
            RpcRequest(3, "", "M"),
            RpcResponse(5, body=b"b", compress_type=CompressType.ZLIB),
            RpcResponse(6, error_code=1003, error_text="no"),
            RpcResponse(7, body=b"body", compress_type=None),
        ],
    )


@pytest.mark.parametrize(
    ("meta_size", "body_size", "message_size"),
    [(5, 5, 9), (5, 5, 11), (0, 0, 1), (2**32 - 1, 2**64 - 1, 2**32 - 2), (1, 2**64 - 1, 0)],
)
def test_sizes_that_contradict_each_other_are_broken_at_once(
    meta_size: int, body_size: int, message_size: int
) -> None:
    """Also those whose sum would fit if it lost its highest bit, as it does in C++."""
    start = header(meta_size, body_size, message_size)
    text = f"message_size={message_size} is not meta_size={meta_size} + body_size={body_size}"
    assert parse(start) == Broken(text)
    assert SOFA_PBRPC.bytes_wanted(IOBuf(start), ParseLimits()) == 0


def test_oversized_body_is_reported_with_its_head_alone() -> None:
    """SofaTest.reject_oversized_body, but for the meta: without one there is nothing to answer."""
    limits = ParseLimits(max_body_size=1024)
    meta = SofaRpcMeta(type=REQUEST, sequence_id=3, method=b"S.M").SerializeToString()
    body_size = 8 << 20
    start = header(len(meta), body_size, len(meta) + body_size)
    assert parse(start, limits) is NEED_MORE
    outcome = parse(start + meta, limits)
    size = len(meta) + body_size
    assert outcome == OversizedMessage(3, True, size, 1024, rest_bytes=body_size)
    assert isinstance(parse(header(0, body_size, body_size), limits), Broken)


def test_oversized_meta_is_broken_at_once() -> None:
    """SofaTest.reject_oversized_meta"""
    start = header(8 << 20, 0, 8 << 20)
    assert isinstance(parse(start, ParseLimits(max_body_size=1024)), Broken)


def test_body_of_exabytes_is_awaited_no_further_than_its_head() -> None:
    meta = SofaRpcMeta(type=RESPONSE, sequence_id=3).SerializeToString()
    body_size = 2**64 - 1 - len(meta)
    start = header(len(meta), body_size, 2**64 - 1)
    assert SOFA_PBRPC.bytes_wanted(IOBuf(start), ParseLimits()) == len(meta)
    outcome = parse(start + meta)
    assert isinstance(outcome, OversizedMessage)
    assert (outcome.is_request, outcome.rest_bytes) == (False, body_size)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": REQUEST}, "the meta has no type or no sequence_id"),
        ({"sequence_id": 1}, "the meta has no type or no sequence_id"),
        ({}, "the meta has no type or no sequence_id"),
        ({"type": 2, "sequence_id": 1}, "type=2 is neither a request nor a response"),
        ({"type": -1, "sequence_id": 1}, "type=-1 is neither a request nor a response"),
    ],
)
def test_meta_without_its_required_fields_is_broken(fields: dict[str, int], reason: str) -> None:
    assert parse(frame(SofaRpcMeta(**fields), b"body")) == Broken(reason)


@pytest.mark.parametrize(
    ("name", "service", "method"),
    [
        (b"a.b.S.M", "a.b.S", "M"),
        (b"S.M", "S", "M"),
        (b"M", "", "M"),
        (b"", "", ""),
        (b"S.", "S", ""),
        (b"\xff.M", "\ufffd", "M"),
    ],
)
def test_full_name_of_a_method_is_split_at_its_last_dot(
    name: bytes, service: str, method: str
) -> None:
    message = parse(frame(SofaRpcMeta(type=REQUEST, sequence_id=1, method=name)))
    assert message == RpcRequest(1, service, method, compress_type=None)


@pytest.mark.parametrize(("compress_type", "number"), NUMBERS.items())
def test_compress_types_have_their_own_numbers(compress_type: CompressType, number: int) -> None:
    packed = bytes(SOFA_PBRPC.pack_request(RpcRequest(1, "S", "M", compress_type=compress_type)))
    assert SofaRpcMeta.FromString(packed[24:]).compress_type == number
    (message,) = parse_all(SOFA_PBRPC, [packed])
    assert isinstance(message, RpcRequest)
    assert message.compress_type == compress_type


@pytest.mark.parametrize("number", [5, -1, 2**31 - 1])
def test_unknown_compress_type_is_not_sent_but_read_as_an_unknown_one(number: int) -> None:
    with pytest.raises(BadRequestError, match="sofa_pbrpc has no number for compress_type="):
        SOFA_PBRPC.pack_request(RpcRequest(1, "S", "M", compress_type=number))
    with pytest.raises(BadResponseError, match="sofa_pbrpc has no number for compress_type="):
        SOFA_PBRPC.pack_response(RpcResponse(1, compress_type=number))
    message = parse(frame(SofaRpcMeta(type=RESPONSE, sequence_id=1, compress_type=number)))
    assert isinstance(message, RpcResponse)
    assert message.compress_type not in set(CompressType)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"failed": False, "error_code": 0}, 0),
        ({}, 0),
        ({"failed": True, "error_code": 12345}, 12345),
        ({"failed": False, "error_code": 12345}, 12345),
        ({"failed": True}, ErrorCode.EINTERNAL),
        ({"failed": True, "error_code": 0}, ErrorCode.EINTERNAL),
    ],
)
def test_response_fails_by_its_code_or_by_its_flag(fields: dict[str, Any], code: int) -> None:
    """C++ looks at the code alone; servers of sofa-pbrpc itself may set the flag alone."""
    meta = SofaRpcMeta(type=RESPONSE, sequence_id=1, reason=b"why", **fields)
    message = parse(frame(meta))
    assert isinstance(message, RpcResponse)
    assert (message.error_code, message.error_text) == (code, "why")


@pytest.mark.parametrize("code", [0, 5])
def test_response_says_whether_it_failed(code: int) -> None:
    packed = bytes(SOFA_PBRPC.pack_response(RpcResponse(1, code)))
    meta = SofaRpcMeta.FromString(packed[24:])
    assert (meta.failed, meta.error_code) == (code != 0, code)
    assert meta.HasField("failed")
    assert meta.HasField("error_code")
    assert not meta.HasField("reason")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attachment", IOBuf(b"x")),
        ("credential", b"who"),
        ("credential", b""),
        ("log_id", 0),
        ("log_id", 7),
        ("trace_id", 1),
        ("span_id", 1),
        ("parent_span_id", 1),
    ],
)
def test_request_with_something_that_sofa_has_no_place_for_is_refused(
    name: str, value: object
) -> None:
    with pytest.raises(BadRequestError, match=f"sofa_pbrpc has no place for {name}"):
        SOFA_PBRPC.pack_request(RpcRequest(1, "S", "M", **{name: value}))  # type: ignore[arg-type]


def test_attachment_of_a_response_is_refused() -> None:
    with pytest.raises(BadResponseError, match="sofa_pbrpc has no place for attachment"):
        SOFA_PBRPC.pack_response(RpcResponse(1, attachment=IOBuf(b"x")))


@pytest.mark.parametrize("correlation_id", [-1, 2**64])
def test_correlation_id_that_is_no_unsigned_one_is_refused(correlation_id: int) -> None:
    with pytest.raises(BadRequestError):
        SOFA_PBRPC.pack_request(RpcRequest(correlation_id, "S", "M"))
