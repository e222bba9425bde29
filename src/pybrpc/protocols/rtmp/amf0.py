"""AMF0: the encoding of values in the commands and data messages of RTMP (Adobe, AMF 0, 2006).

| AMF0 | Python |
|---|---|
| number, boolean, null | float, bool, None |
| string, long string | str |
| object | dict |
| ECMA array | EcmaArray, a dict |
| typed object | TypedObject, a dict |
| strict array | list |
| date | AmfDate |
| undefined, unsupported, reference, XML document | UNDEFINED |

The targets of references and the text of XML documents are dropped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pybrpc.iobuf import BytesLike

MAX_DEPTH = 32
"""Objects and arrays inside one another, on reading and on writing."""

MAX_VALUES = 65_536
"""Values in one message: they take up to 20 times the memory of their bytes, and time."""

_NUMBER, _BOOLEAN, _STRING, _OBJECT = 0, 1, 2, 3
_NULL, _UNDEFINED, _REFERENCE, _ECMA_ARRAY, _OBJECT_END = 5, 6, 7, 8, 9
_STRICT_ARRAY, _DATE, _LONG_STRING, _UNSUPPORTED = 10, 11, 12, 13
_XML_DOCUMENT, _TYPED_OBJECT = 15, 16

_DOUBLE = struct.Struct(">d")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_DATE_BODY = struct.Struct(">dh")
_END = b"\x00\x00\x09"

_LEAST_ENTRY = 3
"""Bytes of the shortest entry of an object: the length of its name, and a null."""


class AmfError(ValueError):
    """The bytes are no AMF0, or are over a limit; or a value can't be encoded."""


class Undefined:
    """The type of UNDEFINED."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined()


class EcmaArray(dict[str, Any]):
    """An associative array; onMetaData mostly is one."""

    __slots__ = ()


class TypedObject(dict[str, Any]):
    """An object with the name of its class."""

    __slots__ = ("class_name",)

    def __init__(self, class_name: str, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(members or {})
        self.class_name = class_name

    def __eq__(self, other: object) -> bool:
        is_typed = isinstance(other, TypedObject) and self.class_name == other.class_name
        return is_typed and dict.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return f"TypedObject({self.class_name!r}, {dict.__repr__(self)})"


@dataclass(frozen=True, slots=True)
class AmfDate:
    """Milliseconds since 1970 (UTC), any float; `time_zone` is reserved and 0 in practice."""

    milliseconds: float
    time_zone: int = 0


def decode(data: BytesLike, max_values: int = MAX_VALUES) -> list[Any]:
    """All values in `data`, one after another. Bytes that are no UTF-8 are replaced in strings.

    Raises AmfError, and no other error, if `data` is not a sequence of whole values or over a
    limit. Never blocks.
    """
    reader = AmfReader(data, max_values=max_values)
    values = []
    while not reader.is_at_end():
        values.append(reader.read())
    return values


class AmfReader:
    """Reads values from the front of `data`, which is not copied if it is `bytes`. Not thread-safe.

    `at` is the index of the next value. After an AmfError it is undefined.
    """

    __slots__ = ("_data", "_max_values", "_values_left", "at")

    def __init__(self, data: BytesLike, at: int = 0, max_values: int = MAX_VALUES) -> None:
        self._data = bytes(data)
        self._max_values = self._values_left = max_values
        self.at = at

    def is_at_end(self) -> bool:
        return self.at >= len(self._data)

    def read(self) -> Any:
        """The next value; AmfError if there is no whole one."""
        return self._read(MAX_DEPTH)

    def _read(self, depth: int) -> Any:
        self._values_left -= 1
        if self._values_left < 0:
            raise AmfError(f"more than {self._max_values} values")
        marker = self._take(1)[0]
        if marker == _NUMBER:
            return _DOUBLE.unpack(self._take(8))[0]
        if marker == _STRING:
            return self._text(self._u16())
        if marker == _BOOLEAN:
            return self._take(1) != b"\x00"
        if marker == _NULL:
            return None
        if marker in _CONTAINERS:
            if not depth:
                raise AmfError(f"nested deeper than {MAX_DEPTH}")
            return self._read_container(marker, depth - 1)
        return self._read_rare(marker)

    def _read_rare(self, marker: int) -> Any:
        if marker in (_UNDEFINED, _UNSUPPORTED):
            return UNDEFINED
        if marker == _LONG_STRING:
            return self._text(self._u32())
        if marker == _DATE:
            return AmfDate(*_DATE_BODY.unpack(self._take(10)))
        if marker == _REFERENCE:
            self._u16()
            return UNDEFINED
        if marker == _XML_DOCUMENT:
            self._take(self._u32())
            return UNDEFINED
        raise AmfError(f"no value begins with the byte {marker:#04x}")

    def _read_container(self, marker: int, depth: int) -> Any:
        if marker == _OBJECT:
            return self._members({}, depth)
        if marker == _STRICT_ARRAY:
            count = self._count(1)
            return [self._read(depth) for _ in range(count)]
        if marker == _ECMA_ARRAY:
            return self._ecma_array(self._count(_LEAST_ENTRY), depth)
        return self._members(TypedObject(self._text(self._u16())), depth)

    def _members(self, into: dict[str, Any], depth: int) -> dict[str, Any]:
        while not self._data.startswith(_END, self.at):
            name = self._text(self._u16())
            into[name] = self._read(depth)
        self.at += len(_END)
        return into

    def _ecma_array(self, count: int, depth: int) -> EcmaArray:
        """Some writers get the number of entries wrong, so the end marker decides; C++ bRPC reads
        by the number alone, so the marker may be missing at the end of a message."""
        array = EcmaArray()
        entries = 0
        while not self._data.startswith(_END, self.at):
            if entries >= count and self.is_at_end():
                return array
            name = self._text(self._u16())
            array[name] = self._read(depth)
            entries += 1
        self.at += len(_END)
        return array

    def _count(self, least_bytes: int) -> int:
        count = self._u32()
        if count * least_bytes > len(self._data) - self.at:
            raise AmfError(f"an array of {count} values in {len(self._data) - self.at} bytes")
        return count

    def _u16(self) -> int:
        return int(_U16.unpack(self._take(2))[0])

    def _u32(self) -> int:
        return int(_U32.unpack(self._take(4))[0])

    def _text(self, size_bytes: int) -> str:
        return self._take(size_bytes).decode("utf-8", "replace")

    def _take(self, size_bytes: int) -> bytes:
        start = self.at
        end = start + size_bytes
        if end > len(self._data):
            raise AmfError(f"{size_bytes} bytes at index {start} of {len(self._data)}")
        self.at = end
        return self._data[start:end]


_CONTAINERS = frozenset((_OBJECT, _STRICT_ARRAY, _ECMA_ARRAY, _TYPED_OBJECT))


def encode(*values: Any) -> bytes:
    """The bytes of `values`, one after another. An int becomes a number, a tuple a strict array.

    Raises AmfError for a value that is nested deeper than MAX_DEPTH, or too large, and TypeError
    for one of a type without an encoding, or a name that is no str. Never blocks.
    """
    out = bytearray()
    for value in values:
        _write(out, value, MAX_DEPTH)
    return bytes(out)


def _write(out: bytearray, value: Any, depth: int) -> None:
    if isinstance(value, str):
        _write_text(out, value)
    elif value is None:
        out.append(_NULL)
    elif isinstance(value, bool):
        out += b"\x01\x01" if value else b"\x01\x00"
    elif isinstance(value, int | float):
        out.append(_NUMBER)
        try:
            out += _DOUBLE.pack(value)
        except (OverflowError, struct.error):
            raise AmfError("an integer over the range of a double") from None
    elif isinstance(value, Undefined):
        out.append(_UNDEFINED)
    elif isinstance(value, AmfDate):
        out.append(_DATE)
        out += _pack_date(value)
    elif isinstance(value, Mapping | list | tuple):
        if not depth:
            raise AmfError(f"nested deeper than {MAX_DEPTH}")
        _write_container(out, value, depth - 1)
    else:
        raise TypeError(f"AMF0 has no encoding for {type(value).__name__}")


def _write_container(out: bytearray, value: Any, depth: int) -> None:
    if isinstance(value, list | tuple):
        out.append(_STRICT_ARRAY)
        out += _U32.pack(len(value))
        for element in value:
            _write(out, element, depth)
        return
    if isinstance(value, EcmaArray):
        out.append(_ECMA_ARRAY)
        out += _U32.pack(len(value))
    elif isinstance(value, TypedObject):
        out.append(_TYPED_OBJECT)
        _write_name(out, value.class_name)
    else:
        out.append(_OBJECT)
    _write_members(out, value.items(), depth)


def _write_members(out: bytearray, members: Iterable[tuple[Any, Any]], depth: int) -> None:
    for name, value in members:
        _write_name(out, name)
        _write(out, value, depth)
    out += _END


def _write_text(out: bytearray, text: str) -> None:
    data = text.encode("utf-8", "replace")
    if len(data) <= 0xFFFF:
        out.append(_STRING)
        out += _U16.pack(len(data))
    elif len(data) <= 0xFFFFFFFF:
        out.append(_LONG_STRING)
        out += _U32.pack(len(data))
    else:
        raise AmfError(f"a string of {len(data)} bytes")
    out += data


def _write_name(out: bytearray, name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a name in an AMF0 object is a str, not {type(name).__name__}")
    data = name.encode("utf-8", "replace")
    if len(data) > 0xFFFF:
        raise AmfError(f"a name of {len(data)} bytes is longer than 65535")
    out += _U16.pack(len(data))
    out += data


def _pack_date(date: AmfDate) -> bytes:
    try:
        return _DATE_BODY.pack(date.milliseconds, date.time_zone)
    except (OverflowError, struct.error) as error:
        raise AmfError(f"{date} can't be encoded: {error}") from None
