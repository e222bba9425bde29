"""DiscoveryApi: bilibili's discovery (https://github.com/bilibili/discovery/blob/master/doc/api.md).

The hosts of the URL are asked for the nodes, which then get all other requests; as a node may
leave, they are asked again after an error.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError, NamingError
from pybrpc.naming.wire.http_api import HttpApi
from pybrpc.naming.wire.http_settings import HttpSettings
from pybrpc.naming.wire.json_fields import field_or, number_or

DEFAULT_PORT = 7171
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OK, NOT_MODIFIED, NOT_FOUND = 0, -304, -404
UP = 0
"""The status of a node that takes requests."""
MAX_NODES = 100


class DiscoveryError(NamingError):
    """discovery has answered with a code other than 0."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class DiscoveryApi:
    """Requests to discovery. One thread, but for `http.interrupt`."""

    def __init__(self, settings: HttpSettings) -> None:
        self.http = HttpApi(settings)
        self._given = settings.hosts
        self._knows_nodes = False

    def get(self, name: str, fields: dict[str, str], timeout_s: float | None = None) -> Any:
        """The data of the answer to a GET of /discovery/`name`. DiscoveryError for other codes."""
        return self._call("GET", f"{name}?{urlencode(fields)}", None, timeout_s)

    def post(self, name: str, fields: list[tuple[str, str]]) -> None:
        """POST a form to /discovery/`name`. DiscoveryError for codes other than 0."""
        self._call("POST", name, urlencode(fields).encode(), None)

    def _call(self, method: str, target: str, body: bytes | None, timeout_s: float | None) -> Any:
        if not self._knows_nodes:
            self._look_for_nodes()
        try:
            return self._send(method, target, body, timeout_s)
        except DiscoveryError:
            raise
        except BaseException:
            self._knows_nodes = False
            raise

    def _send(self, method: str, target: str, body: bytes | None, timeout_s: float | None) -> Any:
        headers = FORM if body is not None else None
        answer = self.http.request(method, f"/discovery/{target}", body, headers, timeout_s)
        found = answer.checked().json()
        code = int(number_or(found, "code", -500))
        if code != OK:
            raise DiscoveryError(f"{answer.what}: code {code}", code)
        return found.get("data")

    def _look_for_nodes(self) -> None:
        """Ask one of the given hosts. Without an answer, requests go to the given hosts."""
        self.http.use_hosts(self._given)
        try:
            nodes = self._send("GET", "nodes", None, None)
        except NamingError:
            return
        found = [
            _endpoint(node)
            for node in (nodes[:MAX_NODES] if isinstance(nodes, list) else ())
            if number_or(node, "status", -1) == UP
        ]
        usable = tuple(node for node in found if node is not None)
        if usable:
            self.http.use_hosts(usable)
            self._knows_nodes = True


def _endpoint(node: Any) -> Endpoint | None:
    try:
        return Endpoint.parse(field_or(node, "addr", ""))
    except AddressError:
        return None
