"""HttptoolsHeadParser: heads by llhttp, a judge of PatternHeadParser.

llhttp parses only heads here. Bodies are cut by this package in any case, because httptools copies
each part of a body. What is valid is decided by the rules of `grammar` and `head`: a head that
llhttp refuses is parsed once more by PatternHeadParser, whose verdict counts, and what llhttp lets
through in addition is checked here.
"""

from __future__ import annotations

from typing import Any

import httptools

from pybrpc.protocols.http1.grammar import TARGET, VALUE
from pybrpc.protocols.http1.head import (
    Pairs,
    RequestHead,
    ResponseHead,
    new_request_head,
    new_response_head,
)
from pybrpc.protocols.http1.head_parser import PATTERN_HEAD_PARSER
from pybrpc.protocols.http1.options import ParserOptions

_httptools: Any = httptools


class _Collected:
    """The parts of one head, as llhttp reports them."""

    __slots__ = ("is_whole", "pairs", "reason", "target")

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.target = b""
        self.reason = b""
        self.is_whole = False

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_status(self, part: bytes) -> None:
        self.reason += part

    def on_header(self, name: bytes, value: bytes | None) -> None:
        text = (value or b"").decode("latin-1").rstrip(" \t")
        self.pairs.append((name.decode("latin-1"), text))

    def on_headers_complete(self) -> None:
        self.is_whole = True


class HttptoolsHeadParser:
    """Parses heads by httptools. Slower than PatternHeadParser, so no option selects it."""

    __slots__ = ()

    def parse_request_head(self, block: bytes, options: ParserOptions) -> RequestHead:
        got = _Collected()
        parser = _httptools.HttpRequestParser(got)
        version = _feed(parser, got, block)
        method, target = parser.get_method(), got.target.decode("latin-1")
        line = b"%s %s HTTP/%s\r\n" % (method, got.target, version.encode("ascii"))
        if not version or not block.startswith(line) or not TARGET.fullmatch(target):
            return PATTERN_HEAD_PARSER.parse_request_head(block, options)
        name = method.decode("ascii")
        return new_request_head(name, target, int(version[2:]), got.pairs, options)

    def parse_response_head(self, block: bytes, options: ParserOptions) -> ResponseHead:
        got = _Collected()
        parser = _httptools.HttpResponseParser(got)
        version = _feed(parser, got, block)
        status, reason = parser.get_status_code(), got.reason.decode("latin-1")
        line = b"HTTP/%s %d" % (version.encode("ascii"), status)
        is_sound = 100 <= status <= 999 and VALUE.fullmatch(reason) is not None
        if not version or not is_sound or not block.startswith(line):
            return PATTERN_HEAD_PARSER.parse_response_head(block, options)
        return new_response_head(status, reason, int(version[2:]), got.pairs, options)


def _feed(parser: Any, got: _Collected, block: bytes) -> str:
    """The version of the head, such as "1.1"; "" if llhttp refuses it, or may differ from us."""
    if b"\n " in block or b"\n\t" in block:
        return ""
    try:
        parser.feed_data(block)
    except _httptools.HttpParserUpgrade:
        pass
    except _httptools.HttpParserError:
        return ""
    version: str = parser.get_http_version()
    return version if got.is_whole and version in ("1.0", "1.1") else ""
