"""ParserOptions: what a parser of HTTP/1 accepts from a peer, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE

METHODS = frozenset(
    {
        *("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"),
        *("COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "REPORT"),
        *("MKACTIVITY", "CHECKOUT", "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"),
        *("PURGE", "MKCALENDAR"),
    }
)
"""Methods of requests: those of bRPC (src/brpc/http_method.cpp), and QUERY."""


@dataclass(frozen=True, slots=True)
class ParserOptions:
    """Limits of one message, in bytes unless they say otherwise. ValueError if one is below 1.

    max_header_bytes           the start line and all headers, with the empty line at their end
    max_header_count           headers; also trailers
    max_url_length             the target of a request
    max_trailer_bytes          trailers after a chunked body
    max_chunk_line_bytes       the line before a chunk, with its extensions
    max_chunk_extension_bytes  the extensions of all chunks of a body
    max_body_size              a body, unless `lift_body_limit` was called for the message
    methods                    methods that a request may have
    require_host               whether a request of HTTP/1.1 needs a Host; C++ bRPC needs none
    allow_chunked_length       whether a body may have both a Content-Length and chunks; the chunks
                               count then, as with bRPC's `-allow_chunked_length`, and the
                               connection is not kept
    """

    max_header_bytes: int = 64 * 1024
    max_header_count: int = 100
    max_url_length: int = 16 * 1024
    max_trailer_bytes: int = 8 * 1024
    max_chunk_line_bytes: int = 4 * 1024
    max_chunk_extension_bytes: int = 16 * 1024
    max_body_size: int = DEFAULT_MAX_BODY_SIZE
    methods: frozenset[str] = METHODS
    require_host: bool = True
    allow_chunked_length: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not field.name.startswith("max_"):
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{field.name} must be an int, not {type(value).__name__}")
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, not {value}")


DEFAULT_OPTIONS = ParserOptions()
