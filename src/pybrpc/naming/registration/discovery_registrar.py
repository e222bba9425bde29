"""DiscoveryRegistrar: an instance of an application in bilibili's discovery."""

from __future__ import annotations

import json
import socket

from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.discovery_naming import discovery_settings
from pybrpc.naming.wire.discovery_api import NOT_FOUND, DiscoveryApi, DiscoveryError

RENEW_S = 30.0
"""As often as bRPC's discovery_client renews."""


class DiscoveryRegistrar:
    """Options: `env`, `zone`, `hostname` (that of the host and the port), `version`, `addrs` (with
    commas; grpc:// and the address), and `interval` between renewals."""

    def __init__(self, url: NamingUrl, node: ServerNode) -> None:
        text, options = url.split()
        app, settings = discovery_settings(url, text, options)
        self._api = DiscoveryApi(settings)
        hostname = options.text("hostname") or f"{socket.gethostname()}:{node.endpoint.port}"
        self._who = [
            ("zone", options.text("zone", node.zone)),
            ("env", options.text("env", "prod")),
            ("appid", app),
            ("hostname", hostname),
        ]
        given = options.text("addrs").split(",")
        addresses = [item for item in map(str.strip, given) if item]
        self._about = [
            *(("addrs", address) for address in addresses or [f"grpc://{node.endpoint}"]),
            ("status", "1"),
            ("version", options.text("version")),
            ("metadata", json.dumps(_metadata(node))),
        ]
        self.interval_s = options.seconds("interval", RENEW_S, 0.01)
        options.check_all_known()

    def register(self) -> None:
        self._api.post("register", self._who + self._about)

    def renew(self) -> bool:
        try:
            self._api.post("renew", self._who)
        except DiscoveryError as error:
            if error.code != NOT_FOUND:
                raise
            return False
        return True

    def deregister(self) -> None:
        try:
            self._api.post("cancel", self._who)
        except DiscoveryError as error:
            if error.code != NOT_FOUND:
                raise

    def interrupt(self) -> None:
        self._api.http.interrupt()

    def close(self) -> None:
        self._api.http.close()


def _metadata(node: ServerNode) -> dict[str, str]:
    """A map of strings, as discovery wants it."""
    metadata = {"tag": node.tag} if node.tag else {}
    return metadata if node.weight is None else {**metadata, "weight": f"{node.weight:g}"}
