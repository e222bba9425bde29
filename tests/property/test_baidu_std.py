"""baidu_std against arbitrary messages, arbitrary bytes and arbitrary splits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.message import (
    BadMessage,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
    StreamSettings,
)
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits
from pybrpc.testing.check_protocol import Sample, pack, parse_all

PROTOCOL = BaiduStd()

int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
text = st.text(max_size=20)
flag = st.none() | st.booleans()
bodies = st.binary(max_size=60) | st.integers(4000, 9000).map(bytes)

stream_settings = st.builds(
    StreamSettings, int64, flag, flag, st.lists(int64, max_size=3).map(tuple)
)

common = {
    "correlation_id": int64,
    "body": bodies,
    "attachment": st.none() | bodies.filter(len).map(IOBuf),
    "user_fields": st.none() | st.dictionaries(text, text, min_size=1, max_size=3),
    "compress_type": st.none() | int32,
    "content_type": st.none() | int32,
    "checksum_type": st.none() | int32,
    "checksum_value": st.none() | st.binary(max_size=8),
    "checksum_with_attachment": flag,
    "stream_settings": st.none() | stream_settings,
}

requests = st.builds(
    RpcRequest,
    service=text,
    method=text,
    log_id=st.none() | int64,
    request_id=st.none() | text,
    timeout_ms=st.none() | int32,
    trace_id=st.none() | int64,
    span_id=st.none() | int64,
    parent_span_id=st.none() | int64,
    credential=st.none() | st.binary(max_size=20),
    **common,
)
responses = st.builds(RpcResponse, error_code=int32, error_text=text, **common)
messages = requests | responses


@given(messages)
def test_message_round_trips(message: Sample) -> None:
    packed = bytes(pack(PROTOCOL, message))
    (parsed,) = parse_all(PROTOCOL, [packed])
    assert parsed == message
    assert isinstance(parsed, RpcRequest | RpcResponse)
    assert bytes(pack(PROTOCOL, parsed)) == packed


@given(st.lists(messages, max_size=4), st.data())
def test_any_split_gives_the_same_messages(sent: list[Sample], data: st.DataObject) -> None:
    stream = b"".join(bytes(pack(PROTOCOL, message)) for message in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert list(parse_all(PROTOCOL, pieces)) == sent


sizes = st.integers(0, 100) | st.integers(0, 2**32 - 1)
almost_frames = st.builds(
    lambda body, meta, rest: b"PRPC" + body.to_bytes(4, "big") + meta.to_bytes(4, "big") + rest,
    sizes,
    sizes,
    st.binary(max_size=120),
)


@given(st.binary(max_size=200) | almost_frames, st.integers(0, 100))
def test_any_bytes_raise_nothing_and_await_no_more_than_the_limit(data: bytes, limit: int) -> None:
    limits = ParseLimits(max_body_size=limit)
    buffer = IOBuf(data)
    outcome = PROTOCOL.parse(buffer, limits)
    if outcome is NEED_MORE:
        wanted = PROTOCOL.bytes_wanted(buffer, limits)
        assert wanted > 0
        assert len(data) + wanted <= 12 + limit
    elif outcome is NOT_MINE:
        assert not data.startswith(b"PRPC")
    else:
        known = Broken | RpcRequest | RpcResponse | BadMessage | OversizedMessage
        assert isinstance(outcome, known)
        assert data.startswith(b"PRPC")


@given(messages, st.data())
def test_damaged_message_raises_nothing(message: Sample, data: st.DataObject) -> None:
    damaged = bytearray(bytes(pack(PROTOCOL, message)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert PROTOCOL.parse(IOBuf(damaged), ParseLimits()) is not NOT_MINE
