"""The grammar of heads, as patterns of text that was decoded as latin-1. RFC 9110, 5.6; RFC 9112.

All repetitions are possessive, so that no text takes more than linear time.
"""

from __future__ import annotations

import re

_TOKEN_CHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE_CHAR = r"[^\0-\x08\n-\x1f\x7f]"
_FIELD_LINES = rf"((?:{_TOKEN_CHAR}++:{_VALUE_CHAR}*+\r\n)*+)\r\n"
_METHOD = rf"{_TOKEN_CHAR}{{1,32}}+"
_TARGET = r"[!-~\x80-\xff]++"

MAX_METHOD_LENGTH = 32

TOKEN = re.compile(rf"{_TOKEN_CHAR}++")
VALUE = re.compile(rf"{_VALUE_CHAR}*+")
"""No control characters but the tab: so no CR, LF or NUL, which would add headers."""

TARGET = re.compile(_TARGET)

REQUEST_HEAD = re.compile(rf"({_METHOD}) ({_TARGET}) HTTP/1\.([0-9])\r\n{_FIELD_LINES}")
"""A whole request head of HTTP/1.x: method, target, minor version, lines of headers."""

REQUEST_LINE = re.compile(rf"({_METHOD}) ({_TARGET}) HTTP/([0-9]+)\.([0-9]+)")
REQUEST_START = re.compile(rf"{_TOKEN_CHAR}{{1,32}}+(?: .*)?", re.DOTALL)
"""Anything that may go on as a request line."""

RESPONSE_HEAD = re.compile(
    rf"HTTP/1\.([0-9]) ([1-9][0-9][0-9])(?: ({_VALUE_CHAR}*+))?\r\n{_FIELD_LINES}"
)
"""A whole response head of HTTP/1.x: minor version, status, reason or None, lines of headers."""

STATUS_LINE = re.compile(rf"HTTP/([0-9]+)\.([0-9]+) ([1-9][0-9][0-9])(?: ({_VALUE_CHAR}*+))?")

FIELD_LINES = re.compile(_FIELD_LINES)
FIELDS = re.compile(r"([^:]++):[ \t]*+([^\r]*+)\r\n")
"""Names and values in lines that are sound; blanks at the end of a value are left."""

HOST = re.compile(r"[A-Za-z0-9\-._~%!$&'()*+;=:\[\]\x80-\xff]*+")
"""A Host: no comma, which two joined ones would have, and no @, / or blanks."""

CONTENT_LENGTH = re.compile(r"[0-9]{1,19}+")

STRAY = re.compile(rb"\0|(?<!\r)\n|\r(?!\n|\Z)")
"""NUL, LF without CR, CR without LF: bytes of no head."""


def field_pairs(lines: str) -> list[tuple[str, str]]:
    """The names and values in the sound lines of a head."""
    pairs: list[tuple[str, str]] = FIELDS.findall(lines)
    if " \r\n" in lines or "\t\r\n" in lines:
        return [(name, value.rstrip(" \t")) for name, value in pairs]
    return pairs
