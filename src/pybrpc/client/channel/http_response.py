"""HttpResponse: what `channel.http()` returns."""

from __future__ import annotations

import json
from typing import Any

from pybrpc.client.connections.http_status import MAX_ERROR_BYTES, is_success, status_error
from pybrpc.protocols.http1.head import ResponseHead
from pybrpc.protocols.http1.headers import HttpHeaders


class HttpResponse:
    """A response. A status is no error, unless `raise_for_status` is called; redirects are not
    followed.

    headers   HttpHeaders, by names without regard to case
    body      bytes, without the gzip that Content-Encoding tells of
    trailers  HttpHeaders after a chunked body; `None` without any
    """

    __slots__ = ("_head", "_peer", "body", "headers", "trailers")

    def __init__(
        self,
        head: ResponseHead,
        body: bytes = b"",
        trailers: HttpHeaders | None = None,
        peer: str = "",
    ) -> None:
        self._head = head
        self._peer = peer
        self.headers = head.headers
        self.body = body
        self.trailers = trailers

    @property
    def status(self) -> int:
        """The status, such as 404."""
        return self._head.status

    @property
    def reason(self) -> str:
        """The text behind the status, such as "Not Found"; "" if the server sent none."""
        return self._head.reason

    def text(self) -> str:
        """The body as text, in the charset of Content-Type or in UTF-8. What is wrong in it becomes
        U+FFFD."""
        charset = charset_in(self.headers.content_type)
        try:
            return self.body.decode(charset, "replace")
        except (LookupError, ValueError):
            return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The value of a body that is JSON; ValueError if it is none."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None

    def raise_for_status(self) -> None:
        """Raise the RpcError of a status other than 2xx, as a stub does: EHTTP, or the code in
        `x-bd-error-code`."""
        if not is_success(self._head):
            text = self.body[:MAX_ERROR_BYTES].decode("utf-8", "replace")
            raise status_error(self._head, text, self._peer)

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status} {self.reason}, {len(self.body)} bytes>"


def charset_in(content_type: str) -> str:
    """The charset that a Content-Type names; "utf-8" if it names none."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or "utf-8"
    return "utf-8"
