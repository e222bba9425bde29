"""Stream frames: out comes what a plain reading of the bytes says; what comes out packs and parses
to itself; and a table of streams that gets them keeps its accounts."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from fuzz.references.stream_frames import StreamFrames, fields_of_stream_frame, stream_frames_of
from fuzz.wire import nothing_raised
from pybrpc.base.byte_budget import ByteBudget
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, NEED_MORE, Broken, ParseLimits
from pybrpc.protocols.streaming.stream_frame import (
    CLOSE,
    DATA,
    FEEDBACK,
    RST,
    StreamFrame,
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)
from pybrpc.protocols.streaming.streaming_rpc import StreamingRpc
from pybrpc.rpc.stream_options import StreamOptions
from tests.fakes.streams import StreamSide

PARSER = StreamingRpc()
LIMITS = (DEFAULT_MAX_BODY_SIZE, 5000, 300, 64)
MOST_UNREAD = 2000
OWN = (0, 1, 2)
"""The ids of the streams that are open in the table."""


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, plan = given.one_of(LIMITS), given.number()
    stream = given.rest()
    expected = stream_frames_of(stream, limit)
    for each in {WHOLE, plan}:
        frames, is_broken, waiting = _parsed(pieces_of(stream, each), limit)
        fields = [fields_of_stream_frame(frame) for frame in frames]
        assert StreamFrames(fields, is_broken, waiting) == expected, each
    for frame in frames:
        _check_comes_back(frame)
    _check_table(frames)


def _parsed(pieces: list[bytes], limit: int) -> tuple[list[StreamFrame], bool, int]:
    buffer, limits = IOBuf(), ParseLimits(limit)
    frames: list[StreamFrame] = []
    for piece in pieces:
        buffer.append(piece)
        while len(buffer):
            outcome = PARSER.parse(buffer, limits)
            if isinstance(outcome, StreamFrame):
                frames.append(outcome)
            elif outcome is NEED_MORE:
                assert 0 < PARSER.bytes_wanted(buffer, limits) <= limit + 12
                break
            else:
                assert not isinstance(outcome, Broken) or outcome.reason
                return frames, True, 0
    return frames, False, len(buffer)


def _check_comes_back(frame: StreamFrame) -> None:
    kind, own, theirs = frame.frame_type, frame.stream_id, frame.source_stream_id
    if kind == DATA:
        packed = bytes(pack_data(data_meta(own, theirs, frame.has_continuation), frame.data))
        frame = StreamFrame(own, theirs, DATA, frame.data, frame.has_continuation)
    elif kind == FEEDBACK:
        packed = pack_feedback(own, theirs, frame.consumed_size)
        frame = StreamFrame(own, theirs, FEEDBACK, consumed_size=frame.consumed_size)
    elif kind == CLOSE:
        packed, frame = pack_close(own, theirs), StreamFrame(own, theirs, CLOSE)
    elif kind == RST:
        packed, frame = pack_rst(own), StreamFrame(own, frame_type=RST)
    else:
        return
    assert PARSER.parse(IOBuf(packed), ParseLimits()) == frame


def _check_table(frames: list[StreamFrame]) -> None:
    """Two streams with and one without a window, on which this side has sent a little."""
    with StreamSide(budget=ByteBudget(2 * MOST_UNREAD)) as side, nothing_raised(side.step):
        options = StreamOptions(max_unread_bytes=MOST_UNREAD, max_buf_size=100, min_buf_size=0)
        endless = StreamOptions(max_unread_bytes=MOST_UNREAD, max_buf_size=0)
        cores = []
        for own_id in OWN:
            core = side.table.new_stream(endless if own_id else options, own_id)
            core.connect(100 + own_id, True, True)
            core.open()
            core.try_send(b"some bytes")
            cores.append(core)
        for frame in frames:
            side.feed(frame)
            held = sum(core.held_bytes for core in cores)
            assert side.budget.held_bytes == held <= 2 * MOST_UNREAD
            assert 0 <= side.table.unconsumed <= 10
        for core in cores:
            while core.take() is not None:
                pass
            core.close()
        assert {frame.frame_type for frame in side.sent()} <= {DATA, FEEDBACK, CLOSE, RST}
        side.check_idle()


def seeds() -> Iterator[bytes]:
    recorded = b"".join(each for each in vectors.recorded() if b"STRM" in each)
    start = recorded.index(b"STRM")
    yield bytes([0, WHOLE]) + recorded[start : start + 300]
    for own_id in OWN:
        theirs = 100 + own_id
        meta, more = data_meta(own_id, theirs), data_meta(own_id, theirs, True)
        messages = bytes(pack_data(meta, b"whole")) + bytes(pack_data(more, b"half"))
        yield bytes([0, BYTEWISE]) + messages + pack_feedback(own_id, theirs, 5)
        yield bytes([0, 5]) + messages + bytes(pack_data(meta, bytes(1500))) * 2
        yield bytes([1, 9]) + messages + pack_close(own_id, theirs) + pack_rst(own_id)
    yield bytes([3, WHOLE]) + bytes(pack_data(data_meta(0, 100), bytes(80)))
    yield bytes([2, WHOLE]) + pack_close(77, 5) + pack_feedback(1, 2, -1)


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"STRM", b"\x18\x01", b"\x18\x02", b"\x18\x03\x20\x01", b"\x18\x04\x2a\x02\x08"),
    max_bytes=5000,
)
