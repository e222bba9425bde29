"""PageRequest and PageResponse: what a page is asked, and what it answers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote_plus

from pybrpc.builtin.server_view import ServerView
from pybrpc.protocols.http1 import HttpHeaders, QueryMap, decode_query

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"

MAX_FORM_BYTES = 64 * 1024
"""Longest form that a page takes."""
MAX_FORM_FIELDS = 64


class Access(enum.Enum):
    """Which clients may use a page."""

    PUBLIC = enum.auto()
    """All that reach the port."""
    INTERNAL = enum.auto()
    """Those on the internal port, or at an address that the server allows."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for a page. Everything in it but `is_internal` is chosen by the client."""

    method: str
    """GET, HEAD or POST."""
    name: str
    """First component of the path: "vars"."""
    path: str = ""
    """The rest of the path, without slashes at its ends: "a;b*"."""
    query: QueryMap = field(default_factory=QueryMap)
    headers: HttpHeaders = field(default_factory=HttpHeaders)
    body: bytes = field(default=b"", repr=False)
    wants_html: bool = False
    """Whether the answer is for a browser; see `wants_html`."""
    is_internal: bool = False
    """Whether the client may use pages that are not public."""
    pages: Mapping[str, PageEntry] = field(default_factory=dict, repr=False)
    """All pages that the server has, by name. `run_page` fills it in."""

    def parameter(self, name: str, default: str = "") -> str:
        """A parameter of the query, percent-decoded; the last one of that name."""
        value = self.query.get(name)
        return default if value is None else decoded(value)

    def form(self) -> dict[str, str]:
        """The fields of the form in the body. PageError (413 or 400) if it is too large."""
        if len(self.body) > MAX_FORM_BYTES:
            raise PageError(413, f"a form has at most {MAX_FORM_BYTES} bytes")
        text = self.body.decode("utf-8", "replace")
        if text.count("&") >= MAX_FORM_FIELDS:
            raise PageError(400, f"a form has at most {MAX_FORM_FIELDS} fields")
        return dict(decode_query(text))


@dataclass(slots=True)
class PageResponse:
    """The answer of a page."""

    body: bytes | str = field(repr=False)
    """Text is sent as UTF-8."""
    content_type: str = TEXT
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def body_bytes(self) -> bytes:
        """The body as it is sent. What UTF-8 can't have becomes "?"."""
        body = self.body
        return body if isinstance(body, bytes) else body.encode("utf-8", "replace")


class PageError(Exception):
    """A page can't answer as it was asked: a status, and a text for the client."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


PageFunction: TypeAlias = Callable[[PageRequest, ServerView], PageResponse]
"""A page: plain, may block for a short time, runs in a thread of its own. Errors become a page."""


@dataclass(frozen=True, slots=True)
class PageEntry:
    """A page that a server has."""

    name: str
    """First component of its path."""
    function: PageFunction = field(repr=False)
    title: str
    """One line for the index, as C++ bRPC words it."""
    access: Access = Access.INTERNAL
    methods: tuple[str, ...] = ("GET",)
    """GET includes HEAD. POST always needs a client that may use internal pages."""
    tab: bool = False
    """Whether it has a tab at the top of all pages."""
    usage: tuple[tuple[str, str], ...] = ()
    """More forms of its path for the index, each with a line: ("/vars/NAME", "List the bvar")."""


def wants_html(query: QueryMap, headers: HttpHeaders) -> bool:
    """Whether HTML is the answer: as `?console=0` or 1 says; else by User-Agent and Accept.

    C++ bRPC (UseHTML in builtin/common.cpp) sends text to curl and to clients without User-Agent.
    Here a client gets text too whose Accept names other types than HTML, such as text/plain.
    """
    console = query.get("console")
    if console is not None:
        return console == "0"
    agent = headers.get("user-agent")
    if not agent or "curl/" in agent:
        return False
    types = [
        part.partition(";")[0].strip() for part in headers.get("accept", "").lower().split(",")
    ]
    return "text/html" in types or not any(each and "*" not in each for each in types)


def decoded(text: str) -> str:
    """A value of a query, percent-decoded as UTF-8; `+` is a blank."""
    return unquote_plus(text)
