"""HTTP/1.0 and 1.1 without any I/O: URLs, headers, messages in received bytes, messages to send.

`RequestParser` and `ResponseParser` turn bytes into heads, parts of bodies, and ends;
`RequestWriter` and `ResponseWriter` make the bytes of one message. Neither knows what a request
means: routing, JSON and calls are above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.protocols.http1.error_responses import error_response, parse_error_response
    from pybrpc.protocols.http1.errors import HttpParseError
    from pybrpc.protocols.http1.head import MessageEnd, RequestHead, ResponseHead
    from pybrpc.protocols.http1.headers import HttpHeaders
    from pybrpc.protocols.http1.options import ParserOptions
    from pybrpc.protocols.http1.parser import Event, RequestParser, ResponseParser
    from pybrpc.protocols.http1.query import QueryMap, UriError, decode_query, encode_query
    from pybrpc.protocols.http1.status import error_code_in, reason_phrase, status_of_error
    from pybrpc.protocols.http1.uri import URI
    from pybrpc.protocols.http1.writer import CONTINUE, RequestWriter, ResponseWriter

__all__ = [
    "CONTINUE",
    "URI",
    "Event",
    "HttpHeaders",
    "HttpParseError",
    "MessageEnd",
    "ParserOptions",
    "QueryMap",
    "RequestHead",
    "RequestParser",
    "RequestWriter",
    "ResponseHead",
    "ResponseParser",
    "ResponseWriter",
    "UriError",
    "decode_query",
    "encode_query",
    "error_code_in",
    "error_response",
    "parse_error_response",
    "reason_phrase",
    "status_of_error",
]

_DEFINED_IN = {
    "CONTINUE": "pybrpc.protocols.http1.writer",
    "Event": "pybrpc.protocols.http1.parser",
    "HttpHeaders": "pybrpc.protocols.http1.headers",
    "HttpParseError": "pybrpc.protocols.http1.errors",
    "MessageEnd": "pybrpc.protocols.http1.head",
    "ParserOptions": "pybrpc.protocols.http1.options",
    "QueryMap": "pybrpc.protocols.http1.query",
    "RequestHead": "pybrpc.protocols.http1.head",
    "RequestParser": "pybrpc.protocols.http1.parser",
    "RequestWriter": "pybrpc.protocols.http1.writer",
    "ResponseHead": "pybrpc.protocols.http1.head",
    "ResponseParser": "pybrpc.protocols.http1.parser",
    "ResponseWriter": "pybrpc.protocols.http1.writer",
    "URI": "pybrpc.protocols.http1.uri",
    "UriError": "pybrpc.protocols.http1.query",
    "decode_query": "pybrpc.protocols.http1.query",
    "encode_query": "pybrpc.protocols.http1.query",
    "error_code_in": "pybrpc.protocols.http1.status",
    "error_response": "pybrpc.protocols.http1.error_responses",
    "parse_error_response": "pybrpc.protocols.http1.error_responses",
    "reason_phrase": "pybrpc.protocols.http1.status",
    "status_of_error": "pybrpc.protocols.http1.status",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
