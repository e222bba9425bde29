"""nacos://: the healthy instances of a service of Nacos."""

from __future__ import annotations

from typing import Any

from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl, UrlOptions
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode, weight_text
from pybrpc.naming.services.options import take_policy
from pybrpc.naming.wire.http_settings import HttpSettings
from pybrpc.naming.wire.json_fields import field, field_or, fields_of, number_or
from pybrpc.naming.wire.nacos_api import DEFAULT_PATH, DEFAULT_PORT, NacosApi

FIELDS = ("groupName", "namespaceId", "clusters", "healthyOnly")
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.1, 60.0


class NacosNaming(NamingService):
    """nacos://user:password@host:port/?serviceName=NAME&groupName=GROUP.

    The tag of a server is its weight, as in bRPC; or `tag` of its metadata. Instances that are not
    healthy and enabled, or have the weight 0, are left out. It is asked again as often as it says.
    """

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        text, options = url.split()
        self._api, self._fields = nacos_api(url, text, options)
        self._fields |= {name: value for name in FIELDS if (value := options.text(name))}
        self._fixed_interval_s = options.seconds_or_none("interval", 0.01)
        self.policy = take_policy(options)
        options.check_all_known()

    def fetch(self) -> list[ServerNode]:
        found = self._api.call("GET", "/v1/ns/instance/list", self._fields).checked().json()
        builder = ServerListBuilder(self._url)
        for host in field(found, "hosts", list):
            _add(builder, host)
        self.interval_s = self._fixed_interval_s or _interval_of(found)
        return builder.build()

    def interrupt(self) -> None:
        self._api.http.interrupt()

    def close(self) -> None:
        self._api.http.close()


def nacos_api(url: NamingUrl, text: str, options: UrlOptions) -> tuple[NacosApi, dict[str, str]]:
    """The API of a URL, and the field that names the service."""
    authority, _, path = text.partition("/")
    settings = HttpSettings.of(url, authority, options, DEFAULT_PORT)
    path = f"/{path.strip('/')}" if path.strip("/") else DEFAULT_PATH
    return NacosApi(settings, path), {"serviceName": options.required_text("serviceName")}


def _add(builder: ServerListBuilder, host: Any) -> None:
    weight = number_or(host, "weight", 1.0)
    if not (field_or(host, "enabled", True) and field_or(host, "healthy", True)) or weight <= 0:
        builder.skip("instances are not healthy, not enabled, or have the weight 0")
        return
    tag = field_or(fields_of(host, "metadata"), "tag", "") or weight_text(weight)
    builder.add_host(field_or(host, "ip", ""), field_or(host, "port", 0), tag, weight)


def _interval_of(found: Any) -> float:
    cache_s = number_or(found, "cacheMillis", 0.0) / 1000
    return min(max(cache_s, MIN_INTERVAL_S), MAX_INTERVAL_S) if cache_s > 0 else 5.0
