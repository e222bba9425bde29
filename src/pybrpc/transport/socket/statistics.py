"""SocketStatistics: the counts of a socket so far, as a value for tests, metrics and pages."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybrpc.transport.socket.reader import SocketReader
    from pybrpc.transport.writing.writer import SocketWriter


@dataclasses.dataclass(frozen=True, slots=True)
class SocketStatistics:
    """Counts since the socket was made; sizes in bytes."""

    bytes_written: int
    """Bytes that the system took."""
    bytes_read: int
    """Bytes that the system gave."""
    messages_written: int
    """Messages that the system took whole."""
    messages_read: int
    """Messages that were complete."""
    writes: int
    """System calls that wrote something or met EAGAIN."""
    writes_blocked: int
    """Those of them that met EAGAIN."""
    written_in_place: int
    """Messages written in full by the producer itself, inside start_write."""
    handed_over: int
    """Messages written, or finished, by a continuation."""
    reads: int
    """System calls that read."""
    backlog_bytes: int
    """Bytes that wait to be written now."""
    is_overcrowded: bool
    """Whether they are so many that writes are refused now."""
    refused_overcrowded: int
    """Writes that were refused so, with EOVERCROWDED."""

    @property
    def messages_per_write(self) -> float:
        """Messages that one writing system call carried, on average."""
        return self.messages_written / self.writes if self.writes else 0.0


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
