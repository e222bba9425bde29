"""What a socket has done so far, as a value that tests, metrics and pages read."""

from __future__ import annotations

import dataclasses


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


def sum_of_sockets(parts: list[SocketStatistics]) -> SocketStatistics:
    """The statistics of several sockets as one; crowded if one of them is."""
    names = [field.name for field in dataclasses.fields(SocketStatistics)]
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    sums["is_overcrowded"] = any(part.is_overcrowded for part in parts)
    return SocketStatistics(**sums)
