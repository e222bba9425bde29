"""ReceivedRecords: ciphertext that was received, given to TLS in small groups of whole records.

A memory BIO keeps the largest size that it ever had, so it gets about one full record at once. And
a record may cost more than its size shows: a KeyUpdate of 27 bytes takes OpenSSL up to 0.2 ms. So a
group has few records, and the caller may stop after each. An incomplete record waits in here.
"""

from __future__ import annotations

MAX_RECORDS = 16
GROUP_BYTES = 19 * 1024
"""More than the longest record has."""

_HEADER_BYTES = 5
_MOST_CONTENT_BYTES = 16 * 1024 + 2048
"""RFC 5246, section 6.2.3; TLS 1.3 allows less."""
_FIRST_TYPE, _LAST_TYPE = 20, 24


class ReceivedRecords:
    """Ciphertext in the order in which it was received. Not thread-safe."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        """The index of the first byte that was not taken."""

    def add(self, data: bytes) -> None:
        """Add what was received next."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def take_group(self) -> tuple[memoryview, int]:
        """The next whole records, and their number: 0 if none is complete.

        If the next bytes can't be a record, all are taken as one: TLS reports what is wrong.
        """
        data, start = self._data, self._at
        end, count = start, 0
        while count < MAX_RECORDS and len(data) - end >= _HEADER_BYTES:
            size = data[end + 3] << 8 | data[end + 4]
            if not _FIRST_TYPE <= data[end] <= _LAST_TYPE or size > _MOST_CONTENT_BYTES:
                end, count = len(data), count + 1
                break
            after = end + _HEADER_BYTES + size
            if after > len(data) or after - start > GROUP_BYTES:
                break
            end, count = after, count + 1
        if count and end < len(data):
            self._at = end
        else:
            # What was taken must not be kept for the rest, if there is any.
            self._data, self._at = data[end:], 0
        return memoryview(data)[start:end], count

    @property
    def held_bytes(self) -> int:
        """Memory that it keeps: what was received together stays until all of it was taken."""
        return len(self._data)

    def __len__(self) -> int:
        return len(self._data) - self._at

    def __repr__(self) -> str:
        return f"<ReceivedRecords {len(self)} bytes>"
