"""PageQuestion, from the supervisor to a worker, and PageAnswer, the way back.

Each question has a stream of its own, one end of which the worker is sent: so a page that takes
long keeps no other one, and no report or stop, from coming. On it goes one message each way: the
lengths of its two parts, a head in JSON, and a body.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from typing import Any, Self

from pybrpc.builtin.page import TEXT, PageRequest, PageResponse
from pybrpc.protocols.http1 import HttpHeaders, QueryMap

MAX_HEAD_BYTES = 64 * 1024
MAX_QUESTION_BODY_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Longest body of an answer."""

PAGE = "page"
METRICS = "metrics"
"""Asks for a `Snapshot`."""
VARIABLES = "variables"
"""Asks for the variables, for `merged_registry`."""

_SIZES = struct.Struct("!II")
SIZES_BYTES = _SIZES.size
_PASSED_ON = ("accept", "if-none-match")
"""Headers of a client that a page of a worker may see: none with a credential."""
_POST_HEADER = "X-Pybrpc-Post"


class TooLongError(ValueError):
    """A message has more bytes than it may have."""


@dataclasses.dataclass(frozen=True, slots=True)
class PageQuestion:
    """A question to a worker. `token`: the secret of all forms of the supervisor."""

    kind: str
    page: PageRequest = dataclasses.field(default_factory=lambda: PageRequest("GET", "index"))
    token: str = dataclasses.field(default="", repr=False)

    def to_bytes(self) -> bytes:
        """The message. TooLongError."""
        page = self.page
        head = {
            "kind": self.kind,
            "token": self.token,
            "method": page.method,
            "name": page.name,
            "path": page.path,
            "query": page.query.items(),
            "headers": [(name, page.headers[name]) for name in _PASSED_ON if name in page.headers],
            "wants_html": page.wants_html,
            "is_internal": page.is_internal,
        }
        return _packed(head, page.body, MAX_QUESTION_BODY_BYTES)

    @classmethod
    def from_parts(cls, head: bytes, body: bytes) -> Self:
        """ValueError, TypeError or KeyError for a head that is none."""
        found = _object(head)
        query = QueryMap()
        for key, value in found["query"]:
            query.append(str(key), str(value))
        headers = HttpHeaders([(str(name), str(value)) for name, value in found["headers"]])
        if found["method"] == "POST":  # The supervisor has judged where it comes from.
            headers[_POST_HEADER] = "1"
        page = PageRequest(
            str(found["method"]),
            str(found["name"]),
            str(found["path"]),
            query,
            headers,
            body,
            bool(found["wants_html"]),
            bool(found["is_internal"]),
        )
        return cls(str(found["kind"]), page, str(found["token"]))


@dataclasses.dataclass(frozen=True, slots=True)
class PageAnswer:
    """The answer of a worker."""

    status: int
    content_type: str = TEXT
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = dataclasses.field(default=b"", repr=False)

    @classmethod
    def of(cls, response: PageResponse) -> Self:
        """The answer that is the response of a page."""
        body = response.body_bytes()
        return cls(response.status, response.content_type, dict(response.headers), body)

    def response(self) -> PageResponse:
        """The other way round."""
        return PageResponse(self.body, self.content_type, self.status, dict(self.headers))

    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def to_bytes(self) -> bytes:
        """The message. TooLongError."""
        head = {
            "status": self.status,
            "content_type": self.content_type,
            "headers": self.headers,
        }
        return _packed(head, self.body, MAX_ANSWER_BYTES)

    @classmethod
    def from_parts(cls, head: bytes, body: bytes) -> Self:
        """ValueError, TypeError or KeyError for a head that is none."""
        found = _object(head)
        status = found["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError("no status of an answer")
        headers = {str(name): str(value) for name, value in dict(found["headers"]).items()}
        content_type = str(found["content_type"])
        HttpHeaders([*headers.items(), ("Content-Type", content_type)])  # checks them
        return cls(status, content_type, headers, body)


def _packed(head: dict[str, Any], body: bytes, most: int) -> bytes:
    data = json.dumps(head).encode()
    if len(data) > MAX_HEAD_BYTES:
        raise TooLongError(f"a head of {len(data)} bytes, more than {MAX_HEAD_BYTES}")
    if len(body) > most:
        raise TooLongError(f"a body of {len(body)} bytes, more than {most}")
    return _SIZES.pack(len(data), len(body)) + data + body


def _object(head: bytes) -> dict[str, Any]:
    try:
        found = json.loads(head)
    except RecursionError as error:
        raise ValueError("the head is nested too deep") from error
    if not isinstance(found, dict):
        raise TypeError("the head is no object")
    return found


class MessageReader:
    """Puts one message together. Refuses it by the lengths that it declares."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._data = bytearray()

    def bytes_wanted(self) -> int:
        """Bytes that are missing, as far as is known; 0 if the message is whole. TooLongError."""
        if len(self._data) < SIZES_BYTES:
            return SIZES_BYTES - len(self._data)
        head, body = self._sizes()
        return SIZES_BYTES + head + body - len(self._data)

    def add(self, data: bytes) -> None:
        """Take no more than `bytes_wanted`."""
        self._data += data

    def parts(self) -> tuple[bytes, bytes]:
        """Head and body of a message that is whole."""
        head, _ = self._sizes()
        return bytes(self._data[SIZES_BYTES : SIZES_BYTES + head]), bytes(
            self._data[SIZES_BYTES + head :]
        )

    def _sizes(self) -> tuple[int, int]:
        head, body = _SIZES.unpack_from(self._data)
        if head > MAX_HEAD_BYTES or body > self._max_body_bytes:
            raise TooLongError(f"a message of {head} and {body} bytes")
        return head, body
