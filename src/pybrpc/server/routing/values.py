"""Route, PageRoute and NotFound: the results of looking a path up."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from pybrpc.errors import ErrorCode

MAX_SHOWN_PATH = 1024
"""Characters of a path that an error text shows."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method.

    entry            what the method was added with
    unresolved_path  what follows the method, or what `*` stands for, without repeated slashes, and
                     with none at its ends (but `*b` has "a/" for "a/b"). As it was sent: nothing
                     is percent-decoded, and ".." is a component as any other, so check it before
                     it names a file
    captures         the fields that the path captured, and their texts, percent-decoded: any text,
                     also with slashes and NUL
    http_method      the HTTP method that the path was mapped for, "GET" for a HEAD request too;
                     `None` if it was mapped for any, or was not mapped
    pattern          the path that was mapped, "/v1/users/{id}"; "" if it was not mapped
    """

    entry: Any
    unresolved_path: str = ""
    captures: tuple[tuple[str, str], ...] = ()
    http_method: str | None = None
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A builtin page: its name, and what follows it, as in `Route`."""

    name: str
    unresolved_path: str = ""


@dataclass(frozen=True, slots=True)
class NotFound:
    """No method, and why.

    status   404; 405 if only the HTTP method is not mapped; 400 if a captured text is no UTF-8
    code     the bRPC error code of the response
    text     its text. What came from the peer is in it as HTML: escaped
    allow    for 405: the methods of the header Allow, sorted
    methods  if the method's name is missing: those of the service, as lines of a .proto file
    """

    status: int
    code: ErrorCode
    text: str
    allow: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


def no_method(path: str) -> NotFound:
    """404, with the text of C++ bRPC."""
    return NotFound(404, ErrorCode.ENOMETHOD, f"Fail to find method on `{_shown(path)}'")


def wrong_http_method(http_method: str, path: str, allow: set[str]) -> NotFound:
    """405. HEAD is allowed where GET is."""
    methods = sorted(allow | {"HEAD"} if "GET" in allow else allow)
    text = (
        f"Fail to find method on `{_shown(path)}' for {_shown(http_method)}, "
        f"only for {', '.join(methods)}"
    )
    return NotFound(405, ErrorCode.ENOMETHOD, text, allow=tuple(methods))


def not_utf8(path: str, field: str) -> NotFound:
    """400: the text that `field` captured is no UTF-8."""
    text = f"Invalid UTF-8 in `{_shown(path)}' where `{field}' is captured"
    return NotFound(400, ErrorCode.EREQUEST, text)


def missing_method_name(service_name: str, methods: tuple[str, ...]) -> NotFound:
    """404 for "/Service" alone. bRPC: BadMethodService."""
    lines = "".join(f"{each}\n" for each in methods)
    text = f"Missing method name for service={service_name}. Available methods are: \n\n{lines}"
    return NotFound(404, ErrorCode.ENOMETHOD, text, methods=methods)


def _shown(text: str) -> str:
    """Text of a peer for a response: escaped as by WebEscape of bRPC, valid Unicode, not too
    long."""
    cut = text if len(text) <= MAX_SHOWN_PATH else f"{text[:MAX_SHOWN_PATH]}..."
    return html.escape(cut.encode("utf-8", "replace").decode()).replace("&#x27;", "&apos;")
