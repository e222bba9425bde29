"""hulu_pbrpc and sofa_pbrpc parse what they pack, whatever the messages, and survive any bytes in
any pieces."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.framed import FramedProtocol
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits
from pybrpc.protocols.sofa import SOFA_PBRPC
from pybrpc.testing.check_protocol import Sample, pack, parse_all
from tests.property.strategies import bodies, encoded_fields, int32, int64, text

names = text.filter(lambda name: "." not in name)

hulu_common: dict[str, Any] = {
    "correlation_id": int64,
    "body": bodies,
    "attachment": st.none() | bodies.filter(len).map(IOBuf),
    "compress_type": st.none() | st.integers(0, 3),
}
hulu_requests = st.builds(
    RpcRequest,
    service=names,
    method=st.just(""),
    method_index=int32,
    log_id=st.none() | int64,
    trace_id=st.none() | int64,
    span_id=st.none() | int64,
    parent_span_id=st.none() | int64,
    credential=st.none() | st.binary(max_size=20),
    **hulu_common,
) | st.builds(RpcRequest, service=names, method=names, **hulu_common)
hulu_messages = hulu_requests | st.builds(
    RpcResponse, error_code=int32, error_text=text, **hulu_common
)

sofa_common: dict[str, Any] = {
    "correlation_id": st.integers(0, 2**64 - 1),
    "body": bodies,
    "compress_type": st.none() | st.integers(0, 4),
}
sofa_messages = st.builds(RpcRequest, service=text, method=names, **sofa_common) | st.builds(
    RpcResponse, error_code=int32, error_text=text, **sofa_common
)

messages = st.tuples(st.just(HULU_PBRPC), hulu_messages) | st.tuples(
    st.just(SOFA_PBRPC), sofa_messages
)
BOTH = pytest.mark.parametrize("protocol", [HULU_PBRPC, SOFA_PBRPC], ids=lambda each: each.name)


@given(messages)
def test_message_is_parsed_as_it_was_packed(given_message: tuple[FramedProtocol, Sample]) -> None:
    protocol, message = given_message
    packed = bytes(pack(protocol, message))
    (parsed,) = parse_all(protocol, [packed])
    assert parsed == message
    assert isinstance(parsed, RpcRequest | RpcResponse)
    assert bytes(pack(protocol, parsed)) == packed


@BOTH
@given(st.data())
def test_messages_are_the_same_however_the_stream_is_split(
    protocol: FramedProtocol, data: st.DataObject
) -> None:
    some = hulu_messages if protocol is HULU_PBRPC else sofa_messages
    sent = data.draw(st.lists(some, max_size=4))
    stream = b"".join(bytes(pack(protocol, message)) for message in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert list(parse_all(protocol, pieces)) == sent


small = st.integers(0, 100)
sizes = small | st.integers(0, 2**32 - 1)
long_sizes = small | st.integers(0, 2**64 - 1)
rests = st.binary(max_size=120) | encoded_fields
almost_hulu = st.builds(
    lambda body, meta, rest: struct.pack("<4sII", b"HULU", body, meta) + rest, sizes, sizes, rests
)
almost_sofa = st.builds(
    lambda meta, body, total, rest: struct.pack("<4sIQQ", b"SOFA", meta, body, total) + rest,
    sizes,
    long_sizes,
    long_sizes,
    rests,
) | st.builds(
    lambda meta, body, rest: struct.pack("<4sIQQ", b"SOFA", meta, body, meta + body) + rest,
    small,
    small | st.integers(0, 2**63),
    rests,
)
framed_hulu = encoded_fields.map(
    lambda meta: struct.pack("<4sII", b"HULU", len(meta), len(meta)) + meta
)
framed_sofa = encoded_fields.map(
    lambda meta: struct.pack("<4sIQQ", b"SOFA", len(meta), 0, len(meta)) + meta
)
frames = almost_hulu | almost_sofa | framed_hulu | framed_sofa


@BOTH
@given(data=st.binary(max_size=200) | frames, limit=st.integers(0, 100))
def test_parse_never_raises_and_awaits_no_more_than_the_limit(
    protocol: FramedProtocol, data: bytes, limit: int
) -> None:
    limits = ParseLimits(max_body_size=limit)
    buffer = IOBuf(data)
    outcome = protocol.parse(buffer, limits)
    if outcome is NEED_MORE:
        wanted = protocol.bytes_wanted(buffer, limits)
        assert wanted > 0
        assert len(data) + wanted <= protocol.header_size + limit
        assert buffer == data
    elif outcome is NOT_MINE:
        assert not data.startswith(protocol.magic)
        assert protocol.bytes_wanted(buffer, limits) == 0
    else:
        known = Broken | RpcRequest | RpcResponse | BadMessage | OversizedMessage
        assert isinstance(outcome, known)
        assert data.startswith(protocol.magic)


@given(messages, st.data())
def test_parse_does_not_raise_for_a_damaged_message(
    given_message: tuple[FramedProtocol, Sample], data: st.DataObject
) -> None:
    protocol, message = given_message
    damaged = bytearray(bytes(pack(protocol, message)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert protocol.parse(IOBuf(damaged), ParseLimits()) is not NOT_MINE
