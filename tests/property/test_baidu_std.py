"""baidu_std parses what it packs, whatever the messages, and survives any bytes in any pieces."""

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
)
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits
from pybrpc.testing.check_protocol import Sample, pack, parse_all
from tests.property.strategies import messages

PROTOCOL = BaiduStd()


@given(messages)
def test_message_is_parsed_as_it_was_packed(message: Sample) -> None:
    packed = bytes(pack(PROTOCOL, message))
    (parsed,) = parse_all(PROTOCOL, [packed])
    assert parsed == message
    assert isinstance(parsed, RpcRequest | RpcResponse)
    assert bytes(pack(PROTOCOL, parsed)) == packed


@given(st.lists(messages, max_size=4), st.data())
def test_messages_are_the_same_however_the_stream_is_split(
    sent: list[Sample], data: st.DataObject
) -> None:
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
def test_parse_never_raises_and_awaits_no_more_than_the_limit(data: bytes, limit: int) -> None:
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
def test_parse_does_not_raise_for_a_damaged_message(message: Sample, data: st.DataObject) -> None:
    damaged = bytearray(bytes(pack(PROTOCOL, message)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert PROTOCOL.parse(IOBuf(damaged), ParseLimits()) is not NOT_MINE
