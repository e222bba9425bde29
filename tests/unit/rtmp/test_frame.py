"""Frame: what it takes, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.rtmp import Frame


@pytest.mark.parametrize("payload", [b"ab", bytearray(b"ab"), memoryview(b"ab")])
def test_a_payload_is_bytes_or_becomes_them(payload: Any) -> None:
    frame = Frame.video(payload, 0)
    assert type(frame.payload) is bytes
    assert frame.payload == b"ab"


@pytest.mark.parametrize("payload", ["ab", 5, None, [1, 2], Frame.video(b"", 0)], ids=repr)
def test_what_is_no_payload_is_refused(payload: Any) -> None:
    for make in (Frame.audio, Frame.video):
        with pytest.raises(TypeError, match="a payload must be bytes, not "):
            make(payload, 0)


def test_timestamps_are_modulo_two_to_the_32() -> None:
    assert Frame.audio(b"", 2**32 - 1).timestamp == 2**32 - 1
    assert Frame.audio(b"", 2**32 + 5).timestamp == 5


@pytest.mark.parametrize("timestamp", [-1, 1.5, "1", None, True])
def test_what_is_no_timestamp_is_refused(timestamp: Any) -> None:
    for make in (Frame.audio, Frame.video):
        with pytest.raises(ValueError, match="timestamp must be a whole number >= 0, not "):
            make(b"", timestamp)
    with pytest.raises(ValueError, match="timestamp must be"):
        Frame.of_metadata({}, timestamp)


@pytest.mark.parametrize("values", [[1], "width", None, 5, [("width", 1)]], ids=repr)
def test_metadata_that_are_no_dict_are_refused(values: Any) -> None:
    with pytest.raises(TypeError, match="metadata must be a dict, not "):
        Frame.of_metadata(values)


def test_a_value_that_amf0_cannot_have_is_refused() -> None:
    with pytest.raises(TypeError):
        Frame.of_metadata({"width": object()})


@pytest.mark.parametrize("kind", [0, 20, "video", None, [9]], ids=repr)
def test_what_is_no_type_of_a_frame_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"a frame is audio \(8\), video \(9\) or data \(18\)"):
        Frame(kind, b"")
