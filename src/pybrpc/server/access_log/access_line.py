"""AccessRecord: what the access log says of one call; its lines.

A peer chooses names of methods and request ids. So a value that is more than letters, digits and a
few signs is written as a string of JSON, in ASCII: it can neither end the line nor look like
another value.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import NamedTuple

from pybrpc.base.endpoint import Endpoint

MAX_ID = 256
"""Longest request id in a line, in characters."""

MAX_PATH = 512
"""Longest path of HTTP in a line, in characters."""

_is_simple = re.compile(r"(?!-\Z)[\w./:*@\[\]+%~-]+", re.ASCII).fullmatch


class HttpSummary(NamedTuple):
    """A request of HTTP, as a line shows it."""

    method: str
    """ "POST"; "" if the request was too broken to have one."""
    path: str
    """As it was sent, without the query: that may have secrets."""
    status: int
    """Status of the response; 0: nobody got one."""


class AccessRecord(NamedTuple):
    """One call that has ended. Small, as many may wait."""

    ended_at: float
    """Time in seconds since 1970."""
    peer: Endpoint | None
    protocol: str
    method: str
    """Full name, "" if the request was too broken to have one."""
    code: int | None
    """0: success; `None`: nobody got a response."""
    latency_s: float
    request_bytes: int
    response_bytes: int
    log_id: int | None
    request_id: str | None
    http: HttpSummary | None = None
    """`None`: the protocol is another one."""


def cut_path(path: str) -> str:
    """`path`, without its end if it is long."""
    return path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}..."


def cut_id(request_id: str | None) -> str | None:
    """`request_id`, without its end if it is long."""
    if request_id is None or len(request_id) <= MAX_ID:
        return request_id
    return f"{request_id[:MAX_ID]}..."


def text_line(record: AccessRecord) -> str:
    """The line of format "text": "-" stands for what there is not."""
    code = "-" if record.code is None else record.code
    log_id = "-" if record.log_id is None else record.log_id
    line = (
        f"{_time_of(record)} {_shown(_peer_of(record))} {_shown(record.protocol)} "
        f"{_shown(record.method)} code={code} latency_ms={record.latency_s * 1000:.3f} "
        f"request_bytes={record.request_bytes} response_bytes={record.response_bytes} "
        f"log_id={log_id} request_id={_shown(record.request_id)}"
    )
    http = record.http
    if http is None:
        return line
    method, path = _shown(http.method), _shown(http.path)
    return f"{line} http_method={method} path={path} status={http.status or '-'}"


def json_line(record: AccessRecord) -> str:
    """The line of format "json": null stands for what there is not."""
    fields: dict[str, object] = {
        "time": _time_of(record),
        "peer": _peer_of(record),
        "protocol": record.protocol,
        "method": record.method or None,
        "code": record.code,
        "latency_ms": round(record.latency_s * 1000, 3),
        "request_bytes": record.request_bytes,
        "response_bytes": record.response_bytes,
        "log_id": record.log_id,
        "request_id": record.request_id,
    }
    http = record.http
    if http is not None:
        fields["http_method"] = http.method or None
        fields["path"] = http.path or None
        fields["status"] = http.status or None
    return json.dumps(fields)


def _time_of(record: AccessRecord) -> str:
    return datetime.fromtimestamp(record.ended_at, UTC).isoformat(timespec="milliseconds")


def _peer_of(record: AccessRecord) -> str | None:
    return None if record.peer is None else str(record.peer)


def _shown(value: str | None) -> str:
    if not value:
        return "-"
    return value if _is_simple(value) else json.dumps(value)
