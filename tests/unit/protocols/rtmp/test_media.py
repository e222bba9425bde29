"""Facts about audio and video: codecs, keyframes, sequence headers, and payloads that are short."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.protocols.rtmp.media import AudioFacts, VideoFacts

NAMES = (
    *("is_empty", "is_enhanced", "fourcc", "codec", "is_keyframe", "is_sequence_header"),
    *("frame_type", "is_command", "composition_time_ms", "sample_rate_hz", "is_stereo"),
)


def facts_of(facts: AudioFacts | VideoFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in NAMES if hasattr(type(facts), name)}


VIDEOS = [
    ("17 00 00 00 00 01 64 00 1f", "h264", "header"),
    ("17 01 00 00 28 00 00 00 02 65 88", "h264", "key"),
    ("17 02 00 00 00", "h264", ""),
    ("27 01 00 00 00 00 00 00 02 41 9a", "h264", ""),
    ("1c 00 00 00 00 01", "hevc", "header"),
    ("1c 01 00 00 00 01", "hevc", "key"),
    ("12 00 00 84", "h263", "key"),
    ("22 00 00 84", "h263", ""),
    ("14 00", "vp6", "key"),
    ("57 00", "h264", "command"),
    ("90 68 76 63 31 01", "hevc", "header"),
    ("91 68 76 63 31 00 00 50 00 00", "hevc", "key"),
    ("93 68 76 63 31 00 00 00 02", "hevc", "key"),
    ("a1 68 76 63 31 00 00 00", "hevc", ""),
    ("a3 61 76 30 31 0a", "av1", ""),
    ("92 68 76 63 31", "hevc", ""),
    ("94 61 76 30 31 02", "av1", ""),
    ("95 61 76 30 31 02", "av1", "header"),
    ("90 78 78 78 78 01", None, "header"),
    ("d0 00", None, "command"),
    ("96 00 68 76 63 31 00", "hevc", "header"),
    ("96 11 76 70 30 39 00", "vp9", "key"),
    ("96 21 00 76 70 30 39 00", None, "key"),
    ("97 02 00 00 01 01 61 76 63 31 00 00 07", "h264", "key"),
    ("97 ff 01 00" + " 00" * 257 + " 03 61 76 30 31", "av1", "key"),
]


@pytest.mark.parametrize(("data", "codec", "kind"), VIDEOS)
def test_video(data: str, codec: str | None, kind: str) -> None:
    facts = VideoFacts(bytes.fromhex(data))
    assert facts.codec == codec
    assert facts.is_keyframe is (kind == "key")
    assert facts.is_sequence_header is (kind == "header")
    assert facts.is_command is (kind == "command")
    assert facts.is_enhanced is (facts.payload[0] >= 0x80)
    assert not facts.is_empty


AUDIOS = [
    ("af 00 12 10", "aac", True),
    ("af 01 21 10 04", "aac", False),
    ("2f ff fb", "mp3", False),
    ("b2 00", "speex", False),
    ("72 d5", "g711_a", False),
    ("90 4f 70 75 73 4f 70 75 73", "opus", True),
    ("91 4f 70 75 73 f8", "opus", False),
    ("91 66 4c 61 43 ff", "flac", False),
    ("90 6d 70 34 61 12 10", "aac", True),
    ("91 78 78 78 78", None, False),
    ("94 4f 70 75 73 00", "opus", False),
    ("c0", None, False),
]


@pytest.mark.parametrize(("data", "codec", "is_header"), AUDIOS)
def test_audio(data: str, codec: str | None, is_header: bool) -> None:
    facts = AudioFacts(bytes.fromhex(data))
    assert facts.codec == codec
    assert facts.is_sequence_header is is_header


def test_rate_and_channels_are_those_of_the_first_byte() -> None:
    facts = [AudioFacts(bytes([0x20 | low])) for low in (0x0, 0x5, 0xA, 0xF)]
    assert [each.sample_rate_hz for each in facts] == [5512, 11025, 22050, 44100]
    assert [each.is_stereo for each in facts] == [False, True, False, True]
    assert AudioFacts(b"\x90Opus").sample_rate_hz is None
    assert AudioFacts(b"\x90Opus").is_stereo is None


def test_composition_time_is_signed() -> None:
    assert VideoFacts(bytes.fromhex("2701000028")).composition_time_ms == 40
    assert VideoFacts(bytes.fromhex("2701ffffd8")).composition_time_ms == -40
    assert VideoFacts(b"\x91hvc1\xff\xff\xd8").composition_time_ms == -40
    assert VideoFacts(b"\x93hvc1\xff\xff\xd8").composition_time_ms == 0
    assert VideoFacts(b"\x91av01\xff\xff\xd8").composition_time_ms == 0
    assert VideoFacts(bytes.fromhex("22010000")).composition_time_ms == 0


def test_payload_without_bytes_is_empty() -> None:
    video, audio = facts_of(VideoFacts(b"")), facts_of(AudioFacts(b""))
    for facts in (video, audio):
        assert facts.pop("is_empty") is True
        assert facts.pop("codec") is None
        assert facts.pop("fourcc") == b""
        assert not any(facts.values())


def test_sequence_header_without_parameter_sets_is_one() -> None:
    """An AVC header that ends before its SPS, or has none, is data to this layer."""
    for data in ("1700", "1700000000", "1700000000 01640000ffe0", "1700000000 0164001fffe1 0000"):
        facts = VideoFacts(bytes.fromhex(data))
        assert facts.is_sequence_header
        assert not facts.is_keyframe
    assert VideoFacts(b"\x17").is_sequence_header is False


@pytest.mark.parametrize("data", [data for data, *_ in (*VIDEOS, *AUDIOS)])
def test_every_beginning_of_a_payload_has_facts(data: str) -> None:
    payload = bytes.fromhex(data)
    for size in range(min(len(payload), 20) + 1):
        for facts in (AudioFacts(payload[:size]), VideoFacts(payload[:size])):
            assert facts_of(facts)
            assert repr(facts)


def test_every_first_bytes_have_facts() -> None:
    for number in range(1 << 16):
        payload = number.to_bytes(2, "big")
        for facts in (AudioFacts(payload), VideoFacts(payload)):
            kinds = facts.is_sequence_header, getattr(facts, "is_keyframe", False)
            assert kinds != (True, True)


def test_modifiers_without_end_are_given_up() -> None:
    facts = VideoFacts(b"\x97" + b"\x00\x00\x07" * 1000)
    assert not facts.is_sequence_header
    assert facts.codec is None


def test_repr_has_codec_and_kind() -> None:
    assert repr(VideoFacts(b"\x17\x01\0\0\0")) == "<VideoFacts h264, keyframe, 5 bytes>"
    assert repr(AudioFacts(b"\xaf\x00")) == "<AudioFacts aac, header, 2 bytes>"
    assert repr(AudioFacts(b"")) == "<AudioFacts None, empty, 0 bytes>"
