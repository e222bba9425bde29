"""HttpPart: what a channel that speaks HTTP has and the others don't have.

Only such a channel imports this module, in its constructor: HTTP and JSON are many modules.
"""

from __future__ import annotations

from typing import Any

from pybrpc.client.channel.http_call import PlainHttpCall
from pybrpc.client.channel.http_stream import AioHttpStreamCall, HttpStreamCall
from pybrpc.client.connections.http_method import as_http
from pybrpc.json2pb.options import DEFAULT, JsonOptions
from pybrpc.rpc.http_bodies import HttpContentType
from pybrpc.rpc.method import Method
from pybrpc.rpc.raw_method import RawMethod


class HttpPart:
    """Methods as HTTP carries them, and plain requests.

    content_type   the form of messages in bodies
    json_options   how JSON is written and read; `None`: as by default
    """

    __slots__ = ("_content_type", "_json_options")

    def __init__(self, content_type: HttpContentType, json_options: JsonOptions | None) -> None:
        self._content_type = content_type
        self._json_options = json_options or DEFAULT

    def method_as_sent(self, method: Method | RawMethod) -> Method | RawMethod:
        """`method`, with messages in bodies of HTTP."""
        return as_http(method, self._content_type, self._json_options)

    def new_call(self, channel: Any, *called_with: Any) -> PlainHttpCall:
        """One request of `channel.http()`: the arguments are those of PlainHttpCall."""
        return PlainHttpCall(channel, *called_with)

    def new_stream_call(self, call: PlainHttpCall, timeout: float | None) -> HttpStreamCall:
        """`call`, whose response is read part by part. For threads."""
        return HttpStreamCall(call, timeout)

    def new_aio_stream_call(self, call: PlainHttpCall, timeout: float | None) -> AioHttpStreamCall:
        """`call`, whose response is read part by part. For tasks."""
        return AioHttpStreamCall(call, timeout)
