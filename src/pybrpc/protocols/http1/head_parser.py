"""parse_request_head and parse_response_head: heads by patterns, without another package.

A head is parsed when all of it has come: HeadCollector waits for that. One pattern checks it, one
takes the headers apart: two passes over its text, both in C.
"""

from __future__ import annotations

from typing import Protocol

from pybrpc.protocols.http1.errors import MalformedHeadError, VersionError
from pybrpc.protocols.http1.grammar import (
    FIELD_LINES,
    REQUEST_HEAD,
    REQUEST_LINE,
    RESPONSE_HEAD,
    STATUS_LINE,
    field_pairs,
)
from pybrpc.protocols.http1.head import (
    RequestHead,
    ResponseHead,
    check_method,
    new_request_head,
    new_response_head,
    new_trailers,
    url_too_long,
)
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.options import ParserOptions


class HeadParser(Protocol):
    """Parses whole heads, each a block that ends with an empty line. Any thread; no state.

    Each method raises an HttpParseError for a block that is no acceptable head. PatternHeadParser
    and that of httptools, which tests compare it with, return equal heads, and raise errors of
    equal types.
    """

    def parse_request_head(self, block: bytes, options: ParserOptions) -> RequestHead:
        """The head of a request."""

    def parse_response_head(self, block: bytes, options: ParserOptions) -> ResponseHead:
        """The head of a response."""


class PatternHeadParser:
    """Parses heads by the patterns of `grammar`."""

    __slots__ = ()

    def parse_request_head(self, block: bytes, options: ParserOptions) -> RequestHead:
        text = block.decode("latin-1")
        found = REQUEST_HEAD.fullmatch(text)
        if found is None:
            check_request_line(text.partition("\r\n")[0], options)
            raise MalformedHeadError("a header of a request is malformed")
        method, target, minor, lines = found.groups()
        return new_request_head(method, target, int(minor), field_pairs(lines), options)

    def parse_response_head(self, block: bytes, options: ParserOptions) -> ResponseHead:
        text = block.decode("latin-1")
        found = RESPONSE_HEAD.fullmatch(text)
        if found is None:
            check_status_line(text.partition("\r\n")[0])
            raise MalformedHeadError("a header of a response is malformed")
        minor, status, reason, lines = found.groups("")
        return new_response_head(int(status), reason, int(minor), field_pairs(lines), options)


PATTERN_HEAD_PARSER = PatternHeadParser()


def parse_trailers(block: bytes, options: ParserOptions) -> HttpHeaders | None:
    """Trailers, with the empty line at their end. Raises an HttpParseError."""
    found = FIELD_LINES.fullmatch(block.decode("latin-1"))
    if found is None:
        raise MalformedHeadError("a trailer is malformed")
    return new_trailers(field_pairs(found[1]), options)


def check_request_line(line: str, options: ParserOptions) -> None:
    """Raises an HttpParseError if a request line alone, without CRLF, is not acceptable."""
    found = REQUEST_LINE.fullmatch(line)
    if found is None:
        raise MalformedHeadError("it does not begin with a request line of HTTP")
    method, target, major, minor = found.groups()
    check_version(major, minor)
    check_method(method, options)
    if len(target) > options.max_url_length:
        raise url_too_long(options)


def check_status_line(line: str) -> None:
    """Raises an HttpParseError if a status line alone, without CRLF, is not acceptable."""
    found = STATUS_LINE.fullmatch(line)
    if found is None:
        raise MalformedHeadError("it does not begin with a status line of HTTP")
    check_version(found[1], found[2])


def check_version(major: str, minor: str) -> None:
    if major != "1" or len(minor) > 1:
        raise VersionError(f"HTTP/{major[:8]}.{minor[:8]} is no version 1.x")
