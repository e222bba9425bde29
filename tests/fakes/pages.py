"""FakeServerView: a server for pages whose every text may be what a test says."""

from __future__ import annotations

import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.builtin.page import PageRequest
from pybrpc.builtin.server_view import (
    CallView,
    ConnectionView,
    HealthReport,
    MethodView,
    RegistrationView,
    ServiceView,
)
from pybrpc.protocols.http1 import QueryMap

HOSTILE = "<script>alert('1')</script>\"'&<img src=x onerror=alert(2)>"


def request_of(target: str, method: str = "GET", **fields: Any) -> PageRequest:
    """The request for "/vars/a?series" of a client that may use internal pages."""
    path, _, query = target.partition("?")
    name, _, rest = path.strip("/").partition("/")
    values: dict[str, Any] = {"query": QueryMap(query), "is_internal": True}
    return PageRequest(method, name, rest.strip("/"), **(values | fields))


class FakeServerView:
    """One service with one method, a connection of each kind, and a call."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.address = text or "127.0.0.1:8000"
        self.version = text or "1.0"
        self.metric_prefix = "rpc_server_8000"
        self.worker_name = text
        self.is_stopping = False
        self.started_at_s = time.time() - 100
        self.max_concurrency = 0
        self.limiter = ""
        self.rejected = 0
        self.concurrency = 1
        self.connection_count = 1
        self.health_reporter: Callable[[], HealthReport | bool | str | None] | None = None
        self.service_descriptors: list[ServiceDescriptor] = []
        self.services_shown = [self._service()]
        self.mounts_shown: list[MethodView] = []
        self.registrations_shown = [RegistrationView(text, text, True, text, 1)] if text else []

    def _service(self) -> ServiceView:
        name = self.text or "Echo"
        method = MethodView(
            name, f"pkg.EchoService.{name}", f"pkg.{name}", f"pkg.{name}", (f"/{name}",), 5, 1
        )
        return ServiceView("EchoService", f"pkg.{self.text or 'EchoService'}", (method,))

    def counters(self) -> list[tuple[str, int]]:
        return [(self.text or "requests", 7), ("errors", 2)]

    def options(self) -> list[tuple[str, str]]:
        return [(self.text or "max_workers", self.text or "256")]

    def services(self) -> list[ServiceView]:
        return self.services_shown

    def mounts(self) -> list[MethodView]:
        return self.mounts_shown

    def registrations(self) -> list[RegistrationView]:
        return self.registrations_shown

    def descriptors(self) -> list[ServiceDescriptor]:
        return self.service_descriptors

    def view(self, socket_id: int = 3, **fields: Any) -> ConnectionView:
        text = self.text
        values: dict[str, Any] = {
            "socket_id": socket_id,
            "remote_side": text or "10.0.0.1:5",
            "local_side": text or "10.0.0.2:8000",
            "protocol": text or "baidu_std",
            "tls": text or "TLSv1.3",
            "fd": 9,
            "age_s": 100.0,
            "in_bytes": 1000,
            "in_messages": 10,
            "out_bytes": 2000,
            "out_messages": 20,
            "rtt_ms": 0.25,
            "rtt_var_ms": 0.1,
            "unwritten_bytes": 0,
            "concurrency": 1,
            "streams": 0,
            "state": text or "open",
            "error": text,
        }
        return ConnectionView(**(values | fields))

    def connections(self, limit: int) -> list[ConnectionView]:
        return [self.view()][:limit]

    def channel_connections(self, limit: int) -> list[ConnectionView]:
        return [self.view(4)][:limit]

    def connection(self, socket_id: int) -> ConnectionView | None:
        return self.view(socket_id) if socket_id in (3, 4) else None

    def socket_count(self) -> int:
        return 2

    def calls(self, limit: int) -> list[CallView]:
        text = self.text
        call = CallView(
            "3-1", text or "pkg.E.M", text or "10.0.0.1:5", 1.5, -0.5, text or "open", 3, 8, 9
        )
        return [call][:limit]


class Markup(HTMLParser):
    """The elements and the text that a browser would find in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values_of(self, attribute: str) -> list[str]:
        """The values of an attribute of all elements."""
        found = [attributes.get(attribute) for _, attributes in self.elements]
        return [value for value in found if value is not None]

    def dangers(self) -> list[str]:
        """Elements and attributes that no page of ours has."""
        found = []
        for tag, attributes in self.elements:
            source = attributes.get("src") or ""
            if tag in ("img", "iframe", "object", "embed", "style", "base"):
                found.append(tag)
            if tag == "script" and not source.startswith("/js/pybrpc.js?v="):
                found.append("script")
            found += [name for name in attributes if name.startswith("on") or name == "style"]
            urls = [attributes.get(name) or "/" for name in ("href", "action", "src")]
            found += [url for url in urls if not url.startswith(("/", "https://", "#"))]
            found += [url for url in urls if url.startswith("//")]
        return found
