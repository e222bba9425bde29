"""NacosStandIn: the parts of version 1 of the open API of Nacos that clients of services use.

https://nacos.io/docs/v1/open-api/ and bRPC's own test, test/brpc_naming_service_unittest.cpp.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.peers.http_stand_in import Answer, HttpStandIn, Request

LIST = "/nacos/v1/ns/instance/list"
LOGIN = "/nacos/v1/auth/login"
INSTANCE = "/nacos/v1/ns/instance"
FORBIDDEN = {"status": 403, "error": "Forbidden", "path": LIST}


def host(address: str, weight: float = 1.0, **fields: Any) -> dict[str, Any]:
    """An instance as Nacos gives it."""
    ip, _, port = address.rpartition(":")
    return {
        "instanceId": f"{ip}#{port}#wx#g1@@test",
        "ip": ip,
        "port": int(port),
        "weight": weight,
        "healthy": True,
        "enabled": True,
        "ephemeral": True,
        "clusterName": "wx",
        "serviceName": "g1@@test",
        "metadata": {},
        "instanceHeartBeatInterval": 5000,
        **fields,
    }


class NacosStandIn(HttpStandIn):
    """One service "test" with the user nacos/nacos, if `needs_login`."""

    def __init__(self, *hosts: Any, needs_login: bool = False, cache_ms: int = 20) -> None:
        super().__init__()
        self.hosts = list(hosts)
        self.needs_login = needs_login
        self.cache_ms = cache_ms
        self.token_ttl_s = 18_000
        self.tokens: list[str] = []
        """All that were given; only the last one is valid."""
        self.beat_interval_ms = 20
        self.registered: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def respond(self, request: Request) -> Answer:
        if request.path == LOGIN:
            return self._log_in(request)
        if self.needs_login and request.field("accessToken") != self._token():
            return Answer(FORBIDDEN, 403)
        if request.field("serviceName") != "test":
            return Answer(b"", 404)
        if request.path == LIST:
            return Answer({"name": "g1@@test", "cacheMillis": self.cache_ms, "hosts": self.hosts})
        return self._instance(request)

    def revoke_tokens(self) -> None:
        """As a Nacos that was started anew."""
        self.tokens.append("none")

    def _token(self) -> str:
        return self.tokens[-1] if self.tokens else "none"

    def _log_in(self, request: Request) -> Answer:
        if (request.field("username"), request.field("password")) != ("nacos", "nacos"):
            return Answer(b"unknown user!", 403)
        with self._lock:
            self.tokens.append(f"token-{len(self.tokens)}")
        return Answer(
            {
                "accessToken": self._token(),
                "tokenTtl": self.token_ttl_s,
                "globalAdmin": True,
                "username": "nacos",
            }
        )

    def _instance(self, request: Request) -> Answer:
        key = f"{request.field('ip')}:{request.field('port')}"
        match request.method, request.path:
            case "POST", "/nacos/v1/ns/instance":
                self.registered[key] = {name: text[0] for name, text in request.fields.items()}
                return Answer(b"ok")
            case "DELETE", "/nacos/v1/ns/instance":
                self.registered.pop(key, None)
                return Answer(b"ok")
            case "PUT", "/nacos/v1/ns/instance/beat":
                code = 10200 if key in self.registered else 20404
                return Answer({"clientBeatInterval": self.beat_interval_ms, "code": code})
        return Answer(b"", 404)

    def registered_hosts(self) -> list[dict[str, Any]]:
        """The instances that were registered, as `hosts`."""
        return [
            host(
                key,
                float(fields["weight"]),
                metadata=json.loads(fields.get("metadata", "{}")),
            )
            for key, fields in self.registered.items()
        ]
