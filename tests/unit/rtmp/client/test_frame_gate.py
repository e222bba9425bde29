"""Which frames a publisher sends over a new connection."""

from __future__ import annotations

from pybrpc.rtmp import Frame
from pybrpc.rtmp.client.frame_gate import FrameGate

METADATA = Frame.of_metadata({"width": 160.0})
AUDIO_HEADER = Frame.audio(b"\xaf\x00\x12\x10", 0)
VIDEO_HEADER = Frame.video(b"\x17\x00\x00\x00\x00\x01", 0)
CUE = Frame(18, b"\x02\x00\x03cue", 0)


def audio(time_ms: int) -> Frame:
    return Frame.audio(b"\xaf\x01sound", time_ms)


def key(time_ms: int) -> Frame:
    return Frame.video(b"\x17\x01\x00\x00\x00key", time_ms)


def inter(time_ms: int) -> Frame:
    return Frame.video(b"\x27\x01\x00\x00\x00inter", time_ms)


def at(frame: Frame, time_ms: int) -> Frame:
    return Frame(frame.message_type, frame.payload, time_ms)


def test_headers_wait_for_the_first_keyframe() -> None:
    gate = FrameGate()
    assert gate.select([METADATA, VIDEO_HEADER, AUDIO_HEADER]) == ([], 0)
    assert gate.select([audio(1), inter(2)]) == ([], 2)
    selected, dropped = gate.select([key(3), audio(4)])
    assert selected == [
        at(METADATA, 3),
        at(AUDIO_HEADER, 3),
        at(VIDEO_HEADER, 3),
        key(3),
        audio(4),
    ]
    assert dropped == 0


def test_nothing_is_held_back_after_that() -> None:
    gate = FrameGate()
    gate.select([VIDEO_HEADER, key(0)])
    frames = [METADATA, inter(1), CUE, VIDEO_HEADER, audio(2)]
    assert gate.select(frames) == (frames, 0)


def test_the_last_headers_go_out_again_after_an_interruption() -> None:
    gate = FrameGate()
    newer = Frame.video(b"\x17\x00\x00\x00\x00\x02", 5)
    gate.select([VIDEO_HEADER, key(0)])
    gate.interrupt()
    assert gate.keep([newer, inter(6)]) == 1
    assert gate.select([inter(7), key(8), inter(9)]) == ([at(newer, 8), key(8), inter(9)], 1)


def test_a_stream_without_video_needs_no_keyframe() -> None:
    gate = FrameGate()
    assert gate.select([AUDIO_HEADER, audio(7)]) == ([at(AUDIO_HEADER, 7), audio(7)], 0)
    gate.interrupt()
    assert gate.select([CUE, audio(9)]) == ([at(AUDIO_HEADER, 9), audio(9)], 1)


def test_audio_waits_for_a_keyframe_once_there_was_video() -> None:
    gate = FrameGate()
    gate.select([AUDIO_HEADER, audio(0), VIDEO_HEADER])
    gate.interrupt()
    assert gate.select([audio(1)]) == ([], 1)
