"""FlvReader and FlvWriter: the frames of a stream in an FLV file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from pybrpc.base.checked_options import checked_flag, shown
from pybrpc.protocols.rtmp import flv
from pybrpc.protocols.rtmp.message import RtmpMessage
from pybrpc.rtmp.frame import Frame, check_frame


class FlvReader:
    """Iterates over the frames of an FLV file.

        with open("in.flv", "rb") as file:
            for frame in FlvReader(file):
                stream.send(frame)

    `file` is a binary file, at its beginning. Frames come as fast as the file is read: for a live
    stream, wait between them as their timestamps say. Tags that are encrypted, or of other types,
    are skipped. A file that ends inside a tag, as an interrupted recording does, ends the
    iteration, and `is_truncated` is True then. FlvError, a ValueError, if the file is no FLV file,
    or a tag is longer than 4 MiB. Blocks as `file.read` does, and passes its errors on. Does not
    close the file. For one thread at a time.
    """

    __slots__ = ("_tags",)

    def __init__(self, file: flv.ReadableFile) -> None:
        """TypeError for what is no binary file."""
        self._tags = flv.FlvReader(_checked_file(file, "read", "rb"))

    @property
    def is_truncated(self) -> bool:
        """Whether the file has ended inside a tag."""
        return self._tags.is_truncated

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return Frame.of_message(next(self._tags))

    def __repr__(self) -> str:
        return f"<FlvReader{', the file is truncated' if self.is_truncated else ''}>"


class FlvWriter:
    """Writes frames to an FLV file.

        with open("out.flv", "wb") as file:
            writer = FlvWriter(file)
            for frame in stream:
                writer.write(frame)

    `file` is a binary file; the header is written with the first frame. `has_audio` and `has_video`
    go into it: some players wait for both if it has both. Metadata are stored without the name
    "@setDataFrame" that publishers write before them. Timestamps have 32 bits, and are stored as
    they are; those of a live stream may begin with any number. Blocks as `file.write` does, and
    passes its errors on. Does not flush or close the file. For one thread at a time.
    """

    __slots__ = ("_tags",)

    def __init__(
        self, file: flv.WritableFile, *, has_audio: bool = True, has_video: bool = True
    ) -> None:
        """TypeError for what is no binary file."""
        self._tags = flv.FlvWriter(
            _checked_file(file, "write", "wb"),
            checked_flag("has_audio", has_audio),
            checked_flag("has_video", has_video),
        )

    @property
    def frame_count(self) -> int:
        """Frames that were written."""
        return self._tags.tag_count

    def write(self, frame: Frame) -> None:
        """Write one frame. TypeError for what is none."""
        check_frame(frame)
        self._tags.write(RtmpMessage(frame.message_type, frame.payload, 0, frame.timestamp))

    def __repr__(self) -> str:
        return f"<FlvWriter, {self.frame_count} frames>"


def _checked_file(file: Any, method: str, mode: str) -> Any:
    """A string or a path has no such method, and a text file would take no bytes."""
    if not callable(getattr(file, method, None)) or isinstance(file, io.TextIOBase):
        raise TypeError(
            f'file must be a binary file, as of open(path, "{mode}"), not {shown(file)}'
        )
    return file
