"""HTTP/1.0 and 1.1 without any I/O: URLs, headers, messages in received bytes, messages to send.

`RequestParser` and `ResponseParser` turn bytes into heads, parts of bodies, and ends;
`RequestWriter` and `ResponseWriter` make the bytes of one message. Neither knows what a request
means: routing, JSON and calls are above.
"""

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
