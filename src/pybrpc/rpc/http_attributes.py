"""The attributes of a Controller that are for HTTP.

HTTP is many modules, so a controller does not import them. Channels that speak HTTP and servers do,
when they are made; in any other program the first use of such an attribute imports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, overload

from pybrpc.errors import BadRequestError

if TYPE_CHECKING:
    from pybrpc.rpc.http import HttpHeader


def progressive_attachment_of(request: HttpHeader | None) -> Any:
    """The writer of the body of the response to `request`. BadRequestError, for the caller, if it
    has none: only HTTP does."""
    attachments = None if request is None else request._attachments
    if attachments is None:
        raise BadRequestError("this method sends its response in parts, which only HTTP carries")
    return attachments.new_attachment()


class HttpHeaderOf:
    """The attribute of a Controller that shows an HttpHeader, made when it is first read."""

    __slots__ = ("_name", "_slot")

    def __init__(self, slot: str) -> None:
        """`slot`: the attribute that keeps it; `None` there is not made yet."""
        self._slot = slot
        self._name = slot.lstrip("_")

    @overload
    def __get__(self, controller: None, owner: type) -> Self: ...

    @overload
    def __get__(self, controller: object, owner: type) -> HttpHeader: ...

    def __get__(self, controller: object, owner: type) -> Any:
        if controller is None:
            return self
        found = getattr(controller, self._slot)
        if found is None:
            from pybrpc.rpc.http import HttpHeader

            found = HttpHeader()
            setattr(controller, self._slot, found)
        return found

    def __set__(self, controller: object, header: HttpHeader) -> None:
        from pybrpc.rpc.http import HttpHeader

        if not isinstance(header, HttpHeader):
            raise TypeError(f"{self._name} must be an HttpHeader, not {header!r:.200}")
        setattr(controller, self._slot, header)
