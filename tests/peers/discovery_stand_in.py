"""DiscoveryStandIn: bilibili's discovery, as its doc/api.md and http/discovery.go describe it."""

from __future__ import annotations

import json
from typing import Any

from tests.peers.http_stand_in import Answer, HttpStandIn, Request

PREFIX = "/discovery/"
NOT_MODIFIED, NOT_FOUND = -304, -404


def instance(
    *addresses: str, hostname: str = "host123", zone: str = "sh001", **fields: Any
) -> dict[str, Any]:
    """An instance as discovery gives it."""
    return {
        "region": "",
        "zone": zone,
        "env": "prod",
        "appid": "admin.test",
        "hostname": hostname,
        "version": "123",
        "metadata": {},
        "addrs": list(addresses),
        "status": 1,
        "reg_timestamp": 1539001034551496412,
        "latest_timestamp": 1539001034551496412,
        **fields,
    }


class DiscoveryStandIn(HttpStandIn):
    """The application "admin.test", and nodes: only this one, if none are given."""

    def __init__(self, *instances: Any, by_zone: bool = True, poll_s: float = 5.0) -> None:
        super().__init__()
        self.instances = list(instances)
        self.by_zone = by_zone
        self.poll_s = poll_s
        self.timestamp = 1539001034551496412
        self.nodes: Any = [{"addr": self.address, "status": 0, "zone": ""}]
        self.registered: dict[str, dict[str, list[str]]] = {}
        self.is_known = True

    def set(self, *instances: Any) -> None:
        self.instances = list(instances)
        self.timestamp += 1
        self.notify()

    def respond(self, request: Request) -> Answer:
        handle = getattr(self, f"_{request.path.removeprefix(PREFIX)}", None)
        if handle is None:
            return Answer(b"", 404)
        code, data = handle(request)
        return Answer({"code": code, "message": str(code), "ttl": 1, "data": data})

    def _nodes(self, request: Request) -> tuple[int, Any]:
        return 0, self.nodes

    def _fetchs(self, request: Request) -> tuple[int, Any]:
        if not self.is_known:
            return NOT_FOUND, None
        zone = request.field("zone")
        found = [each for each in self.instances if not zone or each["zone"] == zone]
        zones: dict[str, Any] = {}
        for each in found:
            zones.setdefault(each["zone"], []).append(each)
        app = {"latest_timestamp": self.timestamp, "instances": zones if self.by_zone else found}
        if not self.by_zone:
            app["zone_instances"] = zones
        return 0, {request.field("appid"): app}

    def _polls(self, request: Request) -> tuple[int, Any]:
        latest = int(request.field("latest_timestamp", "0"))
        is_new = self.wait_changed(lambda: self.timestamp != latest, self.poll_s)
        return self._fetchs(request) if is_new else (NOT_MODIFIED, None)

    def _register(self, request: Request) -> tuple[int, Any]:
        assert isinstance(json.loads(request.field("metadata", "{}")), dict)
        self.registered[request.field("hostname")] = request.fields
        self.notify()
        return 0, None

    def _renew(self, request: Request) -> tuple[int, Any]:
        return (0 if request.field("hostname") in self.registered else NOT_FOUND), None

    def _cancel(self, request: Request) -> tuple[int, Any]:
        known = self.registered.pop(request.field("hostname"), None)
        return (0 if known else NOT_FOUND), None
