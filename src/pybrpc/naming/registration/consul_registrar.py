"""ConsulRegistrar: a service of the agent, with a check that has to be passed again and again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.consul_naming import consul_settings
from pybrpc.naming.wire.http_api import HttpAnswer, HttpApi

JSON = {"Content-Type": "application/json"}
NOT_FOUND = 404
FORGOTTEN_AFTER_S = 60
"""Consul removes a service whose check fails for so long; it takes no shorter time."""


class ConsulRegistrar:
    """The words of the tag are its tags. Option `ttl`: the seconds after which it counts as failed
    if nothing renews it."""

    def __init__(self, url: NamingUrl, node: ServerNode) -> None:
        text, options = url.split()
        self._name, settings = consul_settings(url, text, options)
        self._token = options.text("token")
        self._ttl_s = options.count("ttl", 15, 1, 3600)
        self.interval_s = self._ttl_s / 3
        self._http = HttpApi(settings)
        self._node = node
        self._id = options.text("id") or f"{self._name}-{node.endpoint}"
        options.check_all_known()

    def register(self) -> None:
        self._put("service/register?replace-existing-checks=true", self._body()).checked()

    def renew(self) -> bool:
        answer = self._put(f"check/pass/service:{quote(self._id, safe='')}")
        if answer.status == NOT_FOUND or b"nknown check" in answer.body:
            return False
        answer.checked()
        return True

    def deregister(self) -> None:
        answer = self._put(f"service/deregister/{quote(self._id, safe='')}")
        if answer.status != NOT_FOUND:
            answer.checked()

    def _body(self) -> dict[str, Any]:
        node = self._node
        body: dict[str, Any] = {
            "ID": self._id,
            "Name": self._name,
            "Address": node.endpoint.host,
            "Port": node.endpoint.port,
            "Tags": node.tag.split(),
            "Check": {
                "TTL": f"{self._ttl_s}s",
                "Status": "passing",
                "DeregisterCriticalServiceAfter": f"{max(FORGOTTEN_AFTER_S, self._ttl_s)}s",
            },
        }
        if node.weight is not None and node.weight >= 1:
            body["Weights"] = {"Passing": round(node.weight), "Warning": 1}
        return body

    def _put(self, path: str, body: dict[str, Any] | None = None) -> HttpAnswer:
        headers = {**JSON, "X-Consul-Token": self._token} if self._token else JSON
        data = b"" if body is None else json.dumps(body).encode()
        return self._http.request("PUT", f"/v1/agent/{path}", data, headers)

    def interrupt(self) -> None:
        self._http.interrupt()

    def close(self) -> None:
        self._http.close()
