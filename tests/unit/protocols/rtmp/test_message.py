"""RtmpMessage and the control messages."""

from __future__ import annotations

import pytest

from pybrpc.protocols.rtmp import message as messages
from pybrpc.protocols.rtmp.message import (
    ABORT,
    ACK,
    BandwidthLimit,
    MessageType,
    PeerBandwidth,
    RtmpMessage,
    UserControl,
    UserEvent,
    abort,
    ack,
    bandwidth_in,
    number_in,
    ping_response,
    set_chunk_size,
    set_peer_bandwidth,
    user_control,
    user_control_in,
    window_ack,
)


def test_plain_numbers_are_those_of_the_enum() -> None:
    for kind in MessageType:
        assert getattr(messages, kind.name) == kind


def test_numbers_of_control_messages_come_back() -> None:
    assert number_in(set_chunk_size(60_000).payload) == 60_000
    assert number_in(window_ack(2_500_000).payload) == 2_500_000
    assert abort(6) == RtmpMessage(ABORT, b"\x00\x00\x00\x06")
    assert ack((1 << 32) + 5) == RtmpMessage(ACK, b"\x00\x00\x00\x05")


@pytest.mark.parametrize("size_bytes", [0, -1, 0x80000000])
def test_chunk_size_out_of_range_is_refused(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 2147483647"):
        set_chunk_size(size_bytes)


def test_bandwidth_comes_back() -> None:
    message = set_peer_bandwidth(5000, BandwidthLimit.SOFT)
    assert bandwidth_in(message.payload) == PeerBandwidth(5000, 1)
    assert set_peer_bandwidth(5000).payload[4] == 2
    assert bandwidth_in(b"\x00\x00\x13\x88\xff") == PeerBandwidth(5000, 255)


def test_user_control_comes_back() -> None:
    begin = user_control(UserEvent.STREAM_BEGIN, 1)
    assert begin.payload == b"\x00\x00\x00\x00\x00\x01"
    assert user_control_in(begin.payload) == UserControl(UserEvent.STREAM_BEGIN, 1)
    length = user_control(UserEvent.SET_BUFFER_LENGTH, 1, 3000)
    assert user_control_in(length.payload) == UserControl(UserEvent.SET_BUFFER_LENGTH, 1, 3000)
    assert user_control_in(b"\x00\x63\x00\x00\x00\x07more") == UserControl(99, 7)


def test_ping_is_answered_with_its_time() -> None:
    ping = user_control_in(user_control(UserEvent.PING_REQUEST, 0xFFFFFFFF).payload)
    assert ping is not None
    assert ping_response(ping).payload == b"\x00\x07\xff\xff\xff\xff"


def test_control_messages_that_are_too_short_have_no_contents() -> None:
    for size in range(4):
        assert number_in(bytes(size)) is None
    for size in range(5):
        assert bandwidth_in(bytes(size)) is None
    for size in range(6):
        assert user_control_in(bytes(size)) is None
    assert user_control_in(b"\x00\x03" + bytes(4)) == UserControl(3, 0)


def test_message_is_a_value_with_a_repr() -> None:
    message = RtmpMessage(9, b"abc", 1, 40)
    assert message == RtmpMessage(9, b"abc", 1, 40)
    assert message != RtmpMessage(9, b"abc", 1, 41)
    assert message != "message"
    assert repr(message) == "<RtmpMessage VIDEO of stream 1 at 40 ms, 3 bytes>"
    assert "type 77" in repr(RtmpMessage(77, b""))
