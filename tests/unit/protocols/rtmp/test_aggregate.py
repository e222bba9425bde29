"""Aggregate messages are split, and their timestamps are moved."""

from __future__ import annotations

import pytest

from pybrpc.protocols.rtmp.aggregate import MAX_PARTS, MalformedAggregateError, split_aggregate
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.flv import tag_header
from pybrpc.protocols.rtmp.message import AGGREGATE, AUDIO, DATA, VIDEO, RtmpMessage
from tests.fakes.rtmp_chunks import chunk, read_all


def part(kind: int, payload: bytes, time: int) -> bytes:
    header = tag_header(RtmpMessage(kind, payload, 0, time))
    return header + payload + (len(payload) + 11).to_bytes(4, "big")


def test_parts_have_the_stream_and_the_time_of_the_aggregate() -> None:
    payload = part(VIDEO, b"v", 1000) + part(AUDIO, b"aa", 1010) + part(DATA, b"", 990)
    assert split_aggregate(RtmpMessage(AGGREGATE, payload, 7, 5000)) == [
        RtmpMessage(VIDEO, b"v", 7, 5000),
        RtmpMessage(AUDIO, b"aa", 7, 5010),
        RtmpMessage(DATA, b"", 7, 4990),
    ]


def test_part_may_be_longer_than_64_kib() -> None:
    body = bytes(0x012345)
    payload = part(VIDEO, body, 0) + part(AUDIO, b"a", 1)
    split = split_aggregate(RtmpMessage(AGGREGATE, payload, 1, 5))
    assert split == [RtmpMessage(VIDEO, body, 1, 5), RtmpMessage(AUDIO, b"a", 1, 6)]


def test_times_of_parts_wrap() -> None:
    payload = part(VIDEO, b"v", 0xFFFFFFFF) + part(VIDEO, b"w", 20)
    split = split_aggregate(RtmpMessage(AGGREGATE, payload, 1, 0xFFFFFFF0))
    assert [message.timestamp for message in split] == [0xFFFFFFF0, 5]


def test_last_back_length_may_be_missing() -> None:
    payload = part(VIDEO, b"v", 0)
    for cut in (1, 4):
        assert len(split_aggregate(RtmpMessage(AGGREGATE, payload[:-cut]))) == 1
    assert split_aggregate(RtmpMessage(AGGREGATE, b"")) == []


def test_parts_that_would_control_the_connection_are_dropped() -> None:
    reader = ChunkReader()
    payload = part(1, b"\0\0\0\0", 0) + part(AGGREGATE, b"x", 0) + part(VIDEO, b"v", 3)
    found = read_all(reader, [chunk(0, 4, payload, kind=AGGREGATE)])
    assert [(message.message_type, message.payload) for message in found] == [(VIDEO, b"v")]
    assert found[0].timestamp == 3
    assert reader.broken is None


def test_number_of_parts_is_limited() -> None:
    payload = part(VIDEO, b"", 0) * MAX_PARTS
    assert len(split_aggregate(RtmpMessage(AGGREGATE, payload))) == MAX_PARTS
    with pytest.raises(MalformedAggregateError, match="more than 4096"):
        split_aggregate(RtmpMessage(AGGREGATE, payload + part(VIDEO, b"", 0)))


def test_every_cut_inside_a_part_is_an_error() -> None:
    payload = part(VIDEO, b"vvv", 0)
    for size in range(1, 14):
        with pytest.raises(MalformedAggregateError, match="not whole"):
            split_aggregate(RtmpMessage(AGGREGATE, payload[:size]))
