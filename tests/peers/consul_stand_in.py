"""ConsulStandIn: what Consul documents of its agent: health of services by blocking queries, and
registration with a check of a time to live.

https://developer.hashicorp.com/consul/api-docs/health, .../features/blocking,
.../agent/service and .../agent/check. The shape of an item is that of bRPC's own test,
test/brpc_naming_service_unittest.cpp.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any
from urllib.parse import unquote

from tests.peers.http_stand_in import Answer, HttpStandIn, Request

HEALTH = "/v1/health/service/"


def item(address: str, tags: tuple[str, ...] = (), passing: bool = True, **service: Any) -> Any:
    """An instance as /v1/health/service gives it."""
    host, _, port = address.rpartition(":")
    status = "passing" if passing else "critical"
    return {
        "Node": {"ID": "44454c4c", "Node": f"node-{host}", "Address": host, "Datacenter": "dc1"},
        "Service": {
            "ID": f"{address}-echo",
            "Service": "echo",
            "Tags": list(tags),
            "Address": host,
            "Port": int(port),
            "Weights": {"Passing": 1, "Warning": 1},
            "EnableTagOverride": False,
            **service,
        },
        "Checks": [{"CheckID": "serfHealth", "Status": status}],
    }


class ConsulStandIn(HttpStandIn):
    """One service, with whatever name. `set` changes its instances."""

    def __init__(self, *instances: Any, index: int = 10, port: int = 0) -> None:
        super().__init__(port=port)
        self.instances = list(instances)
        self.index = index
        self.sends_index = True
        self.registered: dict[str, Any] = {}
        self.passed: dict[str, float] = {}

    def set(self, *instances: Any, index: int | None = None) -> None:
        """Other instances, and another index: the next one, if none is given."""
        self.instances = list(instances)
        self.index = self.index + 1 if index is None else index
        self.notify()

    def respond(self, request: Request) -> Answer:
        if request.path.startswith(HEALTH):
            return self._health(request)
        words = [unquote(word) for word in request.path.removeprefix("/v1/agent/").split("/")]
        return self._agent(words, request)

    def _health(self, request: Request) -> Answer:
        asked = int(request.field("index", "0"))
        if asked:
            wait_s = float(request.field("wait", "300000ms").removesuffix("ms")) / 1000
            wait_s += random.uniform(0, wait_s / 16)
            self.wait_changed(lambda: self.index != asked, wait_s)
        found = [
            each
            for each in self.instances
            if "passing" not in request.fields
            or all(check["Status"] == "passing" for check in each["Checks"])
        ]
        headers = {"X-Consul-Index": str(self.index)} if self.sends_index else {}
        return Answer(found, headers=headers)

    def _agent(self, words: list[str], request: Request) -> Answer:
        match request.method, *words:
            case "PUT", "service", "register":
                body = json.loads(request.body)
                self.registered[body["ID"]] = body
                self.passed["service:" + body["ID"]] = time.monotonic()
                return Answer()
            case "PUT", "check", "pass", check:
                if check not in self.passed:
                    return Answer(b'Unknown check ID "x"', 404)
                self.passed[check] = time.monotonic()
                return Answer()
            case "PUT", "service", "deregister", name:
                if self.registered.pop(name, None) is None:
                    return Answer(b"Unknown service ID", 404)
                self.passed.pop(f"service:{name}", None)
                return Answer()
        return Answer(b"", 404)

    def forget_registrations(self) -> None:
        """As an agent that was started anew without its data."""
        self.registered.clear()
        self.passed.clear()
