"""FrameGate: the frames that a publisher sends over a new connection: first what decoders need, and
then from a keyframe on."""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.rtmp.frame import Frame

_METADATA, _AUDIO_HEADER, _VIDEO_HEADER = range(3)


class FrameGate:
    """For one stream and one thread at a time.

    It keeps the last metadata and sequence headers: three frames. A stream that has shown no video
    needs no keyframe.
    """

    __slots__ = ("_has_video", "_headers", "is_waiting")

    def __init__(self) -> None:
        self.is_waiting = True
        """Whether frames are dropped until one comes that players can begin with."""
        self._has_video = False
        self._headers: dict[int, Frame] = {}

    def interrupt(self) -> None:
        """Frames were lost."""
        self.is_waiting = True

    def keep(self, frames: Iterable[Frame]) -> int:
        """Frames that can't be sent now: keep what a later connection needs. Return the number of
        the others."""
        return sum(not self._keep(frame) for frame in frames)

    def select(self, frames: Iterable[Frame]) -> tuple[list[Frame], int]:
        """The frames to send, the kept ones before the first of them, and the number of those that
        are dropped."""
        selected: list[Frame] = []
        dropped = 0
        for frame in frames:
            is_kept = self._keep(frame)
            if not self.is_waiting:
                selected.append(frame)
            elif not is_kept and self._can_begin_with(frame):
                self.is_waiting = False
                selected += self._headers_at(frame.timestamp)
                selected.append(frame)
            else:
                dropped += not is_kept
        return selected, dropped

    def _keep(self, frame: Frame) -> bool:
        """True for a frame that every connection needs."""
        kind = frame.kind
        if kind == "data":
            if frame.metadata is None:
                return False
            self._headers[_METADATA] = frame
            return True
        self._has_video = self._has_video or kind == "video"
        if not frame.is_sequence_header:
            return False
        self._headers[_VIDEO_HEADER if kind == "video" else _AUDIO_HEADER] = frame
        return True

    def _can_begin_with(self, frame: Frame) -> bool:
        return frame.is_keyframe or (frame.kind == "audio" and not self._has_video)

    def _headers_at(self, timestamp: int) -> list[Frame]:
        kept = [self._headers[key] for key in sorted(self._headers)]
        return [Frame(frame.message_type, frame.payload, timestamp) for frame in kept]
