"""A profile in pprof's format: profile.proto of github.com/google/pprof, gzipped.

Written by hand, as the messages are few and only written. Functions have their names, so a reader
asks for no symbols; addresses are numbers of our own.
"""

from __future__ import annotations

import gzip
import sys

from pybrpc.builtin.profiling.profile import Frame, Profile, ValueType

_MAPPING_ID = 1


def pprof_bytes(profile: Profile) -> bytes:
    """The file that `go tool pprof` reads."""
    return gzip.compress(_Writer().write(profile), compresslevel=6, mtime=0)


class _Writer:
    """Numbers strings, functions and locations as they come."""

    def __init__(self) -> None:
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}
        self._out = bytearray()

    def write(self, profile: Profile) -> bytes:
        """The message Profile; numbers of fields are those of profile.proto."""
        out = self._out
        for value_type in profile.value_types:
            out += message(1, self._value_type(value_type))
        for key, values in profile.samples.items():
            locations = [self._location(frame) for frame in reversed(key.stack)]
            sample = packed(1, locations) + packed(2, values)
            for label, text in (("thread", key.thread), ("task", key.task)):
                if text:
                    sample += message(3, number(1, self._string(label)) + self._text(2, text))
            out += message(2, sample)
        out += message(3, number(1, _MAPPING_ID) + self._text(5, sys.executable) + number(7, 1))
        for frame, location in self._locations.items():
            line = number(1, self._function(frame)) + number(2, frame.line)
            out += message(4, number(1, location) + number(2, _MAPPING_ID) + message(4, line))
        for (function, file), index in self._functions.items():
            names = self._text(2, function) + self._text(3, function) + self._text(4, file)
            out += message(5, number(1, index) + names)
        tail = number(9, round(profile.taken_at_s * 1e9))
        tail += number(10, round(profile.duration_s * 1e9))
        if profile.period_ns:
            tail += message(11, self._value_type(profile.value_types[-1]))
            tail += number(12, profile.period_ns)
        for note in profile.notes:
            tail += self._text(13, note)
        tail += self._text(14, profile.value_types[-1].name)
        for string in self._strings:
            out += message(6, string.encode("utf-8", "replace"))
        return bytes(out + tail)

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def _text(self, field: int, text: str) -> bytes:
        return number(field, self._string(text))

    def _value_type(self, value_type: ValueType) -> bytes:
        return self._text(1, value_type.name) + self._text(2, value_type.unit)

    def _function(self, frame: Frame) -> int:
        return self._functions.setdefault(frame[:2], len(self._functions) + 1)

    def _location(self, frame: Frame) -> int:
        return self._locations.setdefault(frame, len(self._locations) + 1)


def varint(value: int) -> bytes:
    """An integer; negative ones are 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field with an integer."""
    return varint(field << 3) + varint(value)


def message(field: int, body: bytes) -> bytes:
    """A field with a message, or with a string."""
    return varint(field << 3 | 2) + varint(len(body)) + body


def packed(field: int, values: list[int] | tuple[int, ...]) -> bytes:
    """A field with many integers."""
    return message(field, b"".join(map(varint, values)))
