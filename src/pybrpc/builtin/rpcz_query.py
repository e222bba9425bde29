"""The parameters of /rpcz as a SpanQuery."""

from __future__ import annotations

import re
import time

from pybrpc.builtin.page import PageError, PageRequest
from pybrpc.tracing.query import MAX_SCAN, SpanQuery

_FULL = re.compile("[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}-[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}")
_MAX_DIGITS = 20
NAMES = (
    "time",
    "max_scan",
    "min_latency",
    "min_request_size",
    "min_response_size",
    "log_id",
    "error_code",
)
"""All parameters of the list."""


def query_of(request: PageRequest) -> SpanQuery:
    """The query that the parameters ask for. PageError (400) for a wrong one; an empty one, as
    forms send it, counts as missing."""
    when = request.parameter("time")
    log_id = request.parameter("log_id")
    return _query(
        before_us=time_us(when) if when else None,
        min_latency_us=_number(request, "min_latency", 0),
        min_request_size=_number(request, "min_request_size", 0),
        min_response_size=_number(request, "min_response_size", 0),
        log_id=log_id_of(log_id) if log_id else None,
        error_code=_number(request, "error_code", None),
        max_scan=min(max(_number(request, "max_scan", 100) or 100, 1), MAX_SCAN),
    )


def _query(**conditions: int | None) -> SpanQuery:
    try:
        return SpanQuery(**conditions)  # type: ignore[arg-type]
    except ValueError as error:
        raise PageError(400, str(error)) from None


def _number(request: PageRequest, name: str, default: int | None) -> int | None:
    text = request.parameter(name)
    if not text:
        return default
    if not re.fullmatch("-?[0-9]{1,18}", text, re.ASCII):
        raise PageError(400, f"Invalid {name}=`{text[:64]}'")
    return int(text)


def id_of(text: str, name: str) -> int:
    """A trace or span id, in hexadecimal digits. PageError (400) for other text."""
    if not re.fullmatch("[0-9a-fA-F]{1,16}", text):
        raise PageError(400, f"Invalid {name}=`{text[:64]}'")
    return int(text, 16)


def trace_id_of(text: str, name: str) -> tuple[int, int | None]:
    """The lower half of a trace id, which is bRPC's, and the upper one. As pages and bRPC show it,
    without an upper half, or the 32 digits of W3C. PageError (400) for other text."""
    if not re.fullmatch("[0-9a-fA-F]{32}", text):
        return id_of(text, name), None
    return int(text[16:], 16), int(text[:16], 16)


def log_id_of(text: str) -> int:
    """A log id as C++ reads it: "0x1f", decimal, or else hexadecimal."""
    digits = text[: _MAX_DIGITS + 2]
    if digits == text and re.fullmatch("0[xX][0-9a-fA-F]{1,16}", text):
        return int(text, 16)
    if digits == text and re.fullmatch("[0-9]{1,20}", text, re.ASCII):
        return int(text)
    return id_of(text, "log_id")


def time_us(text: str) -> int:
    """Microseconds since 1970 at "2026/11/29-07:06:12.5", or at "07:06:12" of today; the whole of
    that second without a fraction. PageError (400) for other text."""
    whole, dot, fraction = text.partition(".")
    if not _FULL.fullmatch(whole):
        whole = f"{time.strftime('%Y/%m/%d')}-{whole}"
    try:
        if not _FULL.fullmatch(whole) or (dot and not re.fullmatch("[0-9]{1,6}", fraction)):
            raise ValueError
        seconds = int(time.mktime(time.strptime(whole, "%Y/%m/%d-%H:%M:%S")))
    except (ValueError, OverflowError):
        raise PageError(400, f"Invalid time=`{text[:64]}'") from None
    micros = int(fraction) if dot else 999_999
    return max(seconds * 1_000_000 + micros, 0)
