"""Checks of what a Controller is given: each returns it, or raises an error that names it.

Also what a Controller knows of others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pybrpc.base.checked_options import checked_count, checked_text, is_number
from pybrpc.errors import BadRequestError
from pybrpc.iobuf import IOBuf

if TYPE_CHECKING:
    from pybrpc.rpc.stream_options import StreamOptions

NO_LIMIT_MS = -1
"""As `timeout_ms` of a call: no limit. As `backup_request_ms`: no backup request."""

MAX_BACKUP_MS = 0x7FFFFFFF
_LEAST_CODE, _MOST_CODE = -(2**31), 2**31 - 1
"""A code travels in 32 bits."""

_TEXT_ALONE = -1
"""The code of a failure that has a text alone. EINTERNAL on the wire."""


Options: TypeAlias = "StreamOptions | None"
Body: TypeAlias = Callable[[Any], Any] | None
"""The arguments of `accept_stream`."""


class UsingCall(Protocol):
    """A call that uses a controller, as the controller sees it."""

    @property
    def is_lost(self) -> bool:
        """Whether nobody will ever get its outcome."""


class StreamRequest(Protocol):
    """The streams that a request asks for, as the controller sees them."""

    def accept(self, options: Any, body: Any) -> Any: ...
    def accept_all(self, options: Any, body: Any) -> list[Any]: ...


def checked_timeout_ms(timeout_ms: float | None) -> float | None:
    if timeout_ms is not None:
        is_right = is_number(timeout_ms) and (timeout_ms >= 0 or timeout_ms == NO_LIMIT_MS)
        if not is_right:
            raise ValueError(
                "timeout_ms must be at least 0 milliseconds, -1 for no limit, or None for the "
                f"channel's timeout, not {timeout_ms!r}"
            )
    return timeout_ms


def checked_backup_ms(after_ms: float | None) -> float | None:
    if after_ms is not None:
        is_right = is_number(after_ms) and 0 <= after_ms <= MAX_BACKUP_MS
        if not is_right and (after_ms != NO_LIMIT_MS or not is_number(after_ms)):
            raise ValueError(
                "backup_request_ms must be at least 0 milliseconds, -1 for none, or None for "
                f"the channel's, not {after_ms!r}"
            )
    return after_ms


def checked_failure(code: int | str, text: str) -> tuple[int, str]:
    """The code and the text of `set_failed`, which takes a text alone, too."""
    if isinstance(code, str):
        if text:
            raise TypeError("set_failed takes the code first: set_failed(code, text)")
        return _TEXT_ALONE, code
    checked_text("the text of set_failed", text)
    number = int(checked_count("the code of set_failed", code, _LEAST_CODE, _MOST_CODE))
    if number == 0:
        raise ValueError("error code 0 means success; pass another one to set_failed")
    return number, text


def as_attachment(name: str, data: IOBuf | bytes | bytearray | memoryview) -> IOBuf:
    """An attachment; TypeError if it is none."""
    if isinstance(data, IOBuf):
        return data
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"{name} must be bytes or a pybrpc.IOBuf, not {data!r}")
    return IOBuf(data)


def restored(kind: type[Any], fields: dict[str, Any]) -> Any:
    """The copy of a controller of class `kind` that had `fields`."""
    controller = kind()
    for name, value in fields.items():
        setattr(controller, name, value)
    return controller


def requested_streams(streams: StreamRequest | None, method_name: str) -> StreamRequest:
    """The streams that a handler accepts; BadRequestError if the caller asks for none."""
    if streams is None:
        raise BadRequestError(f"the request of {method_name or 'no method'} opens no stream")
    return streams
