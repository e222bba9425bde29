"""GopCache: what a player that comes late needs to begin at once.

That is the metadata, the sequence headers of audio and video, and all frames since the last
keyframe: a group of pictures (GOP). A player can't decode video from anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.protocols.rtmp.message import AUDIO, VIDEO
from pybrpc.rtmp.relay.shared_frames import SharedFrame

MAX_BYTES = 16 * 1024 * 1024
"""Memory of the frames of one group: a minute of 2 Mbit/s. Longer groups are not cached."""

MAX_FRAMES = 8192

MAX_HEADER_BYTES = 64 * 1024
"""Longer metadata and headers are not kept. Real ones have at most a few thousand bytes."""

AUDIO_ONLY_AFTER = 256
"""Frames of audio in a row, about six seconds, after which a stream counts as one without video."""


class GopCache:
    """The beginning of a stream, for late players. For one thread at a time.

    It is bounded in bytes and frames: the frames of a group that is too long are dropped, and
    players then begin at the next keyframe. A stream of audio alone keeps no frames: players begin
    anywhere. A header that differs from the last one begins anew: the frames before it belong to
    the old one. One that repeats the last is not kept.
    """

    __slots__ = (
        "_audio_in_a_row",
        "_max_bytes",
        "_max_frames",
        "audio_header",
        "frames",
        "has_video",
        "keeps_frames",
        "metadata",
        "size_bytes",
        "version",
        "video_header",
    )

    def __init__(
        self, keeps_frames: bool = True, max_bytes: int = MAX_BYTES, max_frames: int = MAX_FRAMES
    ) -> None:
        """`keeps_frames`: False to keep the metadata and headers alone."""
        self.keeps_frames = keeps_frames
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self.metadata: SharedFrame | None = None
        self.audio_header: SharedFrame | None = None
        self.video_header: SharedFrame | None = None
        self.frames: list[SharedFrame] = []
        """A keyframe and what has come after it; empty if there was none, or too much since."""
        self.size_bytes = 0
        """Memory of `frames`."""
        self.has_video = False
        """Whether players have to begin with a keyframe."""
        self.version = 0
        """Changes with the metadata and the headers."""
        self._audio_in_a_row = 0

    def add(self, frame: SharedFrame) -> None:
        """The next frame of the stream."""
        kind = frame.message_type
        if frame.is_header:
            self._add_header(frame)
        elif kind == VIDEO:
            self._audio_in_a_row = 0
            self.has_video = True
            if frame.is_keyframe:
                self.drop_frames()
            self._keep(frame, begins=frame.is_keyframe)
        elif kind == AUDIO:
            self._audio_in_a_row += 1
            if self._audio_in_a_row >= AUDIO_ONLY_AFTER:
                self.has_video = False
                self.drop_frames()
            self._keep(frame)
        elif frame.is_metadata:
            self.metadata = _if_short(frame)
            self.version += 1
        else:
            self._keep(frame)

    def headers_at(self, timestamp: int) -> list[SharedFrame]:
        """Metadata and headers, at the time of the frame that will follow them."""
        headers = self.metadata, self.video_header, self.audio_header
        return [header.at(timestamp) for header in headers if header is not None]

    def beginning(self, timestamp: int) -> list[SharedFrame]:
        """The frames that a player gets first. `timestamp`: that of the last frame of the stream,
        for headers without frames."""
        first = self.frames[0].timestamp if self.frames else timestamp
        return [*self.headers_at(first), *self.frames]

    def drop_frames(self) -> None:
        """Players begin with the next keyframe."""
        self.frames = []
        self.size_bytes = 0

    def restart(self) -> None:
        """Another publisher begins: nothing is kept of the last one."""
        self.drop_frames()
        self.metadata = self.audio_header = self.video_header = None
        self.has_video = False
        self._audio_in_a_row = 0
        self.version += 1

    def _add_header(self, frame: SharedFrame) -> None:
        is_video = frame.message_type == VIDEO
        last = self.video_header if is_video else self.audio_header
        if last is not None and last.payload == frame.payload:
            return
        if is_video:
            self.has_video = True
            self._audio_in_a_row = 0
            self.video_header = _if_short(frame)
        else:
            self.audio_header = _if_short(frame)
        self.version += 1
        if last is not None:
            self.drop_frames()

    def _keep(self, frame: SharedFrame, begins: bool = False) -> None:
        if not self.keeps_frames or not (self.frames or begins):
            return
        self.frames.append(frame)
        self.size_bytes += frame.size_bytes
        if self.size_bytes > self._max_bytes or len(self.frames) > self._max_frames:
            self.drop_frames()

    def __repr__(self) -> str:
        codecs = [header.codec for header in _present(self.video_header, self.audio_header)]
        return f"<GopCache {codecs}, {len(self.frames)} frames, {self.size_bytes} bytes>"


def _if_short(frame: SharedFrame) -> SharedFrame | None:
    return frame if len(frame.payload) <= MAX_HEADER_BYTES else None


def _present(*headers: SharedFrame | None) -> Iterable[SharedFrame]:
    return (header for header in headers if header is not None)
