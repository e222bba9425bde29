"""Facts about audio and video messages, read from the first bytes of their payloads.

The payload of a message is that of an FLV tag (FLV 10.1, E.4.2 and E.4.3), or one of enhanced RTMP
(Veovera, v2), which names codecs by four characters. Nothing is parsed before it is asked for, no
payload makes a property raise, and a payload without bytes is empty: no keyframe, no codec.
"""

from __future__ import annotations

from typing import Final

AUDIO_CODECS: Final = {
    0: "pcm",
    1: "adpcm",
    2: "mp3",
    3: "pcm_le",
    4: "nellymoser_16k",
    5: "nellymoser_8k",
    6: "nellymoser",
    7: "g711_a",
    8: "g711_mu",
    10: "aac",
    11: "speex",
    14: "mp3_8k",
    15: "device",
}
VIDEO_CODECS: Final = {
    1: "jpeg",
    2: "h263",
    3: "screen",
    4: "vp6",
    5: "vp6_alpha",
    6: "screen_2",
    7: "h264",
    12: "hevc",
    13: "av1",
}
FOURCC_CODECS: Final = {
    b"avc1": "h264",
    b"hvc1": "hevc",
    b"av01": "av1",
    b"vp08": "vp8",
    b"vp09": "vp9",
    b"vvc1": "vvc",
    b"mp4a": "aac",
    b".mp3": "mp3",
    b"Opus": "opus",
    b"fLaC": "flac",
    b"ac-3": "ac3",
    b"ec-3": "eac3",
}
"""Names of codecs, as ffmpeg calls most of them."""

_AAC = 10
_ENHANCED_AUDIO = 9
_PACKET_TYPE_CODECS = frozenset((7, 12, 13))
"""Codecs of video with a packet type and a composition time behind the first byte."""

_KEYFRAME, _COMMAND_FRAME = 1, 5
_SEQUENCE_START, _CODED_FRAMES, _SEQUENCE_END = 0, 1, 2
_METADATA, _MPEG2_SEQUENCE_START, _MULTITRACK, _MOD_EX = 4, 5, 6, 7
_MANY_CODECS = 2
_MAX_MODIFIERS = 8
"""Modifiers that are skipped. Enhanced RTMP has defined one so far."""

_RATES_HZ = 5512, 11025, 22050, 44100


class _Enhanced:
    """The header of enhanced RTMP, with modifiers and the header of several tracks skipped."""

    __slots__ = ("at", "fourcc", "packet_type")

    def __init__(self, payload: bytes) -> None:
        self.packet_type = payload[0] & 0x0F
        self.fourcc = b""
        self.at = 1
        for _ in range(_MAX_MODIFIERS):
            if self.packet_type != _MOD_EX or len(payload) <= self.at:
                break
            self._skip_modifier(payload)
        if self.packet_type == _MULTITRACK and len(payload) > self.at:
            tracks = payload[self.at]
            self.packet_type = tracks & 0x0F
            self.at += 1
            if tracks >> 4 == _MANY_CODECS:
                return
        self.fourcc = payload[self.at : self.at + 4]
        self.at += 4

    def _skip_modifier(self, payload: bytes) -> None:
        size, self.at = payload[self.at] + 1, self.at + 1
        if size == 256:
            size = int.from_bytes(payload[self.at : self.at + 2], "big") + 1
            self.at += 2
        self.at += size
        if len(payload) > self.at:
            self.packet_type = payload[self.at] & 0x0F
            self.at += 1


class _Facts:
    """A payload."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    @property
    def is_empty(self) -> bool:
        return not self.payload


class AudioFacts(_Facts):
    """Facts about the payload of an audio message."""

    __slots__ = ()

    @property
    def is_enhanced(self) -> bool:
        """Whether the codec is named by four characters."""
        return bool(self.payload) and self.payload[0] >> 4 == _ENHANCED_AUDIO

    @property
    def fourcc(self) -> bytes:
        """The four characters of enhanced RTMP; b"" without them."""
        return _Enhanced(self.payload).fourcc if self.is_enhanced else b""

    @property
    def codec(self) -> str | None:
        """Its name, as in AUDIO_CODECS; `None` if it is unknown."""
        if self.is_enhanced:
            return FOURCC_CODECS.get(self.fourcc)
        return AUDIO_CODECS.get(self.payload[0] >> 4) if self.payload else None

    @property
    def is_sequence_header(self) -> bool:
        """Whether it has no sound, but what a decoder needs to begin."""
        payload = self.payload
        if self.is_enhanced:
            return _Enhanced(payload).packet_type == _SEQUENCE_START
        return len(payload) > 1 and payload[0] >> 4 == _AAC and payload[1] == 0

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate in the first byte. AAC and enhanced codecs have their own, elsewhere."""
        if not self.payload or self.is_enhanced:
            return None
        return _RATES_HZ[self.payload[0] >> 2 & 3]

    @property
    def is_stereo(self) -> bool | None:
        """The channels in the first byte; as `sample_rate_hz`."""
        return None if not self.payload or self.is_enhanced else bool(self.payload[0] & 1)

    def __repr__(self) -> str:
        return _shown(self)


class VideoFacts(_Facts):
    """Facts about the payload of a video message."""

    __slots__ = ()

    @property
    def is_enhanced(self) -> bool:
        """Whether the codec is named by four characters."""
        return bool(self.payload) and self.payload[0] >= 0x80

    @property
    def fourcc(self) -> bytes:
        """The four characters of enhanced RTMP; b"" without them."""
        if not self.is_enhanced or self.is_command:
            return b""
        return _Enhanced(self.payload).fourcc

    @property
    def codec(self) -> str | None:
        """Its name, as in VIDEO_CODECS; `None` if it is unknown."""
        if self.is_enhanced:
            return FOURCC_CODECS.get(self.fourcc)
        return VIDEO_CODECS.get(self.payload[0] & 0x0F) if self.payload else None

    @property
    def frame_type(self) -> int:
        """1 keyframe, 2 other frame, 3 disposable, 4 generated keyframe, 5 command; 0 if empty."""
        return self.payload[0] >> 4 & 7 if self.payload else 0

    @property
    def is_command(self) -> bool:
        """Whether it has a command for the player, such as the start of seeking, and no picture."""
        return self.frame_type == _COMMAND_FRAME and self._packet_type != _METADATA

    @property
    def is_keyframe(self) -> bool:
        """Whether players can begin with this picture. A sequence header is none, and neither is
        the end of a sequence, though their frame type is 1."""
        if self.frame_type != _KEYFRAME:
            return False
        packet_type = self._packet_type
        if self.is_enhanced:
            return packet_type not in (_SEQUENCE_START, _SEQUENCE_END, _METADATA, 5)
        return packet_type is None or packet_type == _CODED_FRAMES

    @property
    def is_sequence_header(self) -> bool:
        """Whether it has no picture, but what a decoder needs to begin."""
        packet_type = self._packet_type
        if self.is_enhanced and packet_type == _MPEG2_SEQUENCE_START:
            return not self.is_command
        return packet_type == _SEQUENCE_START and not self.is_command

    @property
    def composition_time_ms(self) -> int:
        """The time from decoding to showing a picture, signed; 0 without one."""
        payload = self.payload
        if not self.is_enhanced:
            has_time = self._packet_type is not None
            return int.from_bytes(payload[2:5], "big", signed=True) if has_time else 0
        header = _Enhanced(payload)
        if header.packet_type != _CODED_FRAMES or header.fourcc not in (b"avc1", b"hvc1", b"vvc1"):
            return 0
        return int.from_bytes(payload[header.at : header.at + 3], "big", signed=True)

    @property
    def _packet_type(self) -> int | None:
        """`None` if the codec has none, or the payload ends before it."""
        payload = self.payload
        if self.is_enhanced:
            return _Enhanced(payload).packet_type
        if len(payload) > 1 and payload[0] & 0x0F in _PACKET_TYPE_CODECS:
            return payload[1]
        return None

    def __repr__(self) -> str:
        return _shown(self)


def _shown(facts: AudioFacts | VideoFacts) -> str:
    kind = "header" if facts.is_sequence_header else "empty" if facts.is_empty else "data"
    if isinstance(facts, VideoFacts) and facts.is_keyframe:
        kind = "keyframe"
    return f"<{type(facts).__name__} {facts.codec}, {kind}, {len(facts.payload)} bytes>"
