"""NacosRegistrar: an ephemeral instance, which lives by its beats."""

from __future__ import annotations

import json

from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.nacos_naming import MAX_INTERVAL_S, MIN_INTERVAL_S, nacos_api
from pybrpc.naming.wire.http_api import HttpAnswer
from pybrpc.naming.wire.json_fields import number_or

BEAT_S = 5.0
NOT_FOUND = 20404
"""The code of a beat of an instance that Nacos does not know."""
FIELDS = ("groupName", "namespaceId", "clusterName")


class NacosRegistrar:
    """The weight of the instance is that of the tag; the tag itself is in its metadata. After
    the first beat, Nacos says how often it wants them. Option `interval`: seconds until the first.
    """

    def __init__(self, url: NamingUrl, node: ServerNode) -> None:
        text, options = url.split()
        self._api, fields = nacos_api(url, text, options)
        fields |= {name: value for name in FIELDS if (value := options.text(name))}
        if clusters := options.text("clusters"):  # as a channel names it
            fields.setdefault("clusterName", clusters)
        self.interval_s = options.seconds("interval", BEAT_S, 0.01)
        options.check_all_known()
        endpoint = node.endpoint
        self._fields = {**fields, "ip": endpoint.host, "port": str(endpoint.port)}
        self._fields["ephemeral"] = "true"
        self._node = node

    def register(self) -> None:
        weight = 1.0 if self._node.weight is None else self._node.weight
        about = {"weight": f"{weight:g}", "enabled": "true", "healthy": "true"}
        if self._node.tag:
            about["metadata"] = json.dumps({"tag": self._node.tag})
        self._send("POST", "/v1/ns/instance", {**self._fields, **about})

    def renew(self) -> bool:
        answer = self._send("PUT", "/v1/ns/instance/beat", self._fields).json()
        if number_or(answer, "code", 0.0) == NOT_FOUND:
            return False
        interval_s = number_or(answer, "clientBeatInterval", 0.0) / 1000
        if interval_s > 0:
            self.interval_s = min(max(interval_s, MIN_INTERVAL_S), MAX_INTERVAL_S)
        return True

    def deregister(self) -> None:
        self._send("DELETE", "/v1/ns/instance", self._fields)

    def _send(self, method: str, path: str, fields: dict[str, str]) -> HttpAnswer:
        return self._api.call(method, path, fields).checked()

    def interrupt(self) -> None:
        self._api.http.interrupt()

    def close(self) -> None:
        self._api.http.close()
