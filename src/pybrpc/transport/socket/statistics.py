"""SocketStatistics: the counts of a socket so far, as a value for tests, metrics and pages."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pybrpc.base.deprecation import warn_renamed

if TYPE_CHECKING:
    from pybrpc.transport.socket.reader import SocketReader
    from pybrpc.transport.writing.writer import SocketWriter


@dataclasses.dataclass(frozen=True, slots=True)
class SocketStatistics:
    """Counts since the socket was made; sizes in bytes."""

    bytes_written: int
    bytes_read: int
    messages_written: int
    messages_read: int
    writes: int
    """System calls that wrote something or met EAGAIN."""
    writes_blocked: int
    """Those of them that met EAGAIN."""
    written_in_place: int
    """Messages written in full by the producer itself, inside start_write."""
    handed_over: int
    """Messages written, or finished, by a continuation."""
    reads: int
    backlog_bytes: int
    is_overcrowded: bool
    refused_overcrowded: int

    @property
    def messages_per_write(self) -> float:
        """Messages that one writing system call carried, on average."""
        return self.messages_written / self.writes if self.writes else 0.0

    @property
    def is_crowded(self) -> bool:
        """Deprecated: use `is_overcrowded`."""
        warn_renamed("SocketStatistics.is_crowded", "is_overcrowded")
        return self.is_overcrowded


def statistics_of(
    writer: SocketWriter, reader: SocketReader, refused_overcrowded: int
) -> SocketStatistics:
    """The counts of the two sides of one socket."""
    written = writer.pending.messages_written
    return SocketStatistics(
        bytes_written=writer.bytes_written,
        bytes_read=reader.bytes_read,
        messages_written=written,
        messages_read=reader.messages_read,
        writes=writer.writes,
        writes_blocked=writer.writes_blocked,
        written_in_place=writer.written_inline,
        handed_over=written - writer.written_inline,
        reads=reader.reads,
        backlog_bytes=writer.backlog.size_bytes,
        is_overcrowded=writer.backlog.is_overcrowded,
        refused_overcrowded=refused_overcrowded,
    )


def sum_of_sockets(parts: list[SocketStatistics]) -> SocketStatistics:
    """The statistics of several sockets as one; overcrowded if one of them is."""
    names = [field.name for field in dataclasses.fields(SocketStatistics)]
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    sums["is_overcrowded"] = any(part.is_overcrowded for part in parts)
    return SocketStatistics(**sums)
