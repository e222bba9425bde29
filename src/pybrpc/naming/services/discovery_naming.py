"""discovery://: the instances of an application in bilibili's discovery."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl, UrlOptions
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.options import take_interval, take_policy
from pybrpc.naming.wire.discovery_api import (
    DEFAULT_PORT,
    NOT_FOUND,
    NOT_MODIFIED,
    DiscoveryApi,
    DiscoveryError,
)
from pybrpc.naming.wire.http_settings import HttpSettings
from pybrpc.naming.wire.json_fields import field, field_or, fields_of, items_of, number_or

POLL_S = 30.0
"""A server answers a poll after that time, if nothing has changed."""
SCHEMES = ("grpc", "")
"""bRPC takes the addresses of an instance that have this scheme, or none."""


class DiscoveryNaming(NamingService):
    """discovery://host:port/APPID?env=prod. It waits for changes by long polls; with
    `long_poll=false` it asks each `interval`, as bRPC does.

    The tag of a server is `tag` of its metadata, with its weight and its zone as words.
    """

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        text, options = url.split()
        self._app, settings = discovery_settings(url, text, options)
        self._timeout_s = settings.timeout_s
        self._api = DiscoveryApi(settings)
        fields = {"appid": self._app, "env": options.text("env", "prod"), "status": "1"}
        zone = options.text("zone")
        self._fields = {**fields, "zone": zone} if zone else fields
        self._waits = options.flag("long_poll", default=True)
        take_interval(self, options)
        self._asks_again_s = self.interval_s
        self.policy = take_policy(options)
        options.check_all_known()
        self._latest = 0

    def fetch(self) -> list[ServerNode] | None:
        try:
            found = self._poll() if self._waits else self._api.get("fetchs", self._fields)
        except DiscoveryError as error:
            if error.code == NOT_MODIFIED and self._latest:
                return None
            if error.code == NOT_FOUND:
                self.interval_s = self._asks_again_s
                self._latest = 0
                return []
            raise
        except BaseException:
            self._latest = 0  # the next answer may be that of another node
            raise
        app = field(found, self._app, dict)
        servers = self._servers_of(app)
        self._note_latest(app)
        return servers

    def _note_latest(self, app: dict[str, Any]) -> None:
        latest = field_or(app, "latest_timestamp", 0)
        self._latest = latest if self._waits and latest > 0 else 0
        self.interval_s = 0.0 if self._latest else self._asks_again_s

    def _poll(self) -> Any:
        fields = {
            **self._fields,
            "hostname": socket.gethostname(),
            "latest_timestamp": str(self._latest),
        }
        wait_s = POLL_S if self._latest else 0.0
        return self._api.get("polls", fields, self._timeout_s + wait_s)

    def _servers_of(self, app: dict[str, Any]) -> list[ServerNode]:
        builder = ServerListBuilder(self._url)
        for instance in _instances_of(app):
            if field_or(instance, "status", 1) != 1:
                continue
            addresses = [item for item in items_of(instance, "addrs") if isinstance(item, str)]
            chosen = [address for address in map(_address_of, addresses) if address]
            if not chosen:
                builder.skip("an instance has no address of grpc://, or without a scheme")
                continue
            metadata = fields_of(instance, "metadata")
            builder.add(
                chosen[0],
                field_or(metadata, "tag", ""),
                number_or(metadata, "weight", 1.0),
                field_or(instance, "zone", ""),
            )
        return builder.build()

    def forget(self) -> None:
        self._latest = 0

    def interrupt(self) -> None:
        self._api.http.interrupt()

    def close(self) -> None:
        self._api.http.close()


def discovery_settings(url: NamingUrl, text: str, options: UrlOptions) -> tuple[str, HttpSettings]:
    """The application, and where discovery is."""
    authority, _, app = text.partition("/")
    if not app:
        raise url.error('write "discovery://host:7171/APPID"')
    return app, HttpSettings.of(url, authority, options, DEFAULT_PORT)


def _instances_of(app: dict[str, Any]) -> Iterator[Any]:
    """All instances: they are a list, or lists by zone; servers have sent both."""
    instances = app.get("instances")
    if isinstance(instances, dict):
        for of_zone in instances.values():
            if isinstance(of_zone, list):
                yield from of_zone
    elif isinstance(instances, list):
        yield from instances
    else:
        raise NamingError("the answer has no 'instances'")


def _address_of(text: str) -> str:
    scheme, separator, address = text.rpartition("://")
    return address if scheme in SCHEMES and (scheme or not separator) else ""
