"""BodyItems: what a handler yields, as the bytes of a body, and the headers that go with them."""

from __future__ import annotations

from google.protobuf.message import Message

from pybrpc.errors import BadResponseError
from pybrpc.json2pb import JsonOptions, message_to_json
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.protocols.http1.headers import tokens_in
from pybrpc.rpc.http import HttpHeader
from pybrpc.rpc.server_sent_event import EVENT_STREAM, ServerSentEvent
from pybrpc.server.http.content_types import PARSE_ERRORS

JSON_LINES = "application/x-ndjson"
BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


class BodyItems:
    """Decides by the first item which type the body has. One thread at a time."""

    __slots__ = ("_is_event_stream", "_made", "_options")

    def __init__(self, accept: str, made: HttpHeader, options: JsonOptions) -> None:
        """`made`: what the handler says of the response. `accept`: the header of the request."""
        self._made = made
        self._options = options
        asked = made.content_type or accept
        self._is_event_stream = any(_type_of(each) == EVENT_STREAM for each in tokens_in(asked))

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is known to be events, so that its head need not wait for the first."""
        return self._is_event_stream

    def headers_for(self, item: object) -> HttpHeaders:
        """The headers of a body whose first item is `item`; `None`: it has none yet."""
        made = self._made.content_type
        if isinstance(item, ServerSentEvent) or _type_of(made) == EVENT_STREAM:
            self._is_event_stream = True
        elif made:
            self._is_event_stream = False
        headers = self._made.headers.copy()
        if self._is_event_stream:
            headers.set_default("Content-Type", EVENT_STREAM)
            headers.set_default("Cache-Control", "no-store")
            headers.set_default("X-Accel-Buffering", "no")
        elif not made:
            kind = JSON_LINES if isinstance(item, Message) else TEXT
            headers["Content-Type"] = BYTES if isinstance(item, bytes | bytearray) else kind
        return headers

    def to_bytes(self, item: object) -> bytes:
        """The bytes of one item. BadResponseError for what can't be one."""
        if isinstance(item, bytes):
            return item
        if isinstance(item, str):
            return item.encode("utf-8", "replace")
        if isinstance(item, ServerSentEvent):
            return item.to_bytes()
        if isinstance(item, Message):
            return self._message_bytes(item)
        if isinstance(item, bytearray | memoryview):
            return bytes(item)
        raise BadResponseError(
            f"a handler yielded {type(item).__name__}, not bytes, str, a message or a "
            "ServerSentEvent"
        )

    def _message_bytes(self, message: Message) -> bytes:
        try:
            text = message_to_json(message, self._options)
        except PARSE_ERRORS as error:
            raise BadResponseError(f"Fail to convert a message to json: {error}") from None
        if self._is_event_stream:
            return b"data: " + text.replace(b"\n", b"\ndata: ") + b"\n\n"
        return text + b"\n"


def _type_of(value: str) -> str:
    return value.partition(";")[0].strip().lower()
