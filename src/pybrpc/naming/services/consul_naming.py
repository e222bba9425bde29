"""consul://: the healthy instances of a service of Consul, by blocking queries
(https://developer.hashicorp.com/consul/api-docs/features/blocking)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl, UrlOptions
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.file_naming import FileNaming
from pybrpc.naming.services.options import take_policy
from pybrpc.naming.wire.http_api import HttpAnswer, HttpApi
from pybrpc.naming.wire.http_settings import HttpSettings
from pybrpc.naming.wire.json_fields import field_or, fields_of, items_of, number_or

DEFAULT_PORT = 8500
DEFAULT_AGENT = "127.0.0.1"
MAX_WAIT_S = 600.0
UNINDEXED_INTERVAL_S = 5.0
"""Between requests to a server that gives no index, and so can't wait for a change."""


class ConsulNaming(NamingService):
    """consul://host:port/NAME, or consul://NAME for the agent of this host.

    The tag of a server are all its tags, separated by blanks, and its weight if that is not 1.
    """

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        text, options = url.split()
        self.name, settings = consul_settings(url, text, options)
        self._token = options.text("token")
        self._wait_s = options.seconds("wait", 60.0, 0.01, MAX_WAIT_S)
        self._timeout_s = settings.timeout_s
        self._fields = {name: options.text(name) for name in ("dc", "ns", "tag", "filter", "near")}
        self._flags = [name for name in ("passing", "stale") if options.flag(name, default=True)]
        backup = options.text("backup_file")
        self._backup = FileNaming(NamingUrl("file", backup)) if backup else None
        self._http = HttpApi(settings)
        self.policy = take_policy(options)
        self._unindexed_s = options.seconds("interval", UNINDEXED_INTERVAL_S, 0.01)
        options.check_all_known()
        self._index = 0

    def fetch(self) -> list[ServerNode] | None:
        try:
            answer = self._ask().checked()
        except NamingError:
            if self._backup is None:
                raise
            # Once, as in bRPC: later the last list is better.
            backup, self._backup = self._backup, None
            self.interval_s = self.policy.retry_s
            return backup.fetch()
        index = _index_of(answer)
        if index == self._index != 0:
            return None
        servers = self._servers_of(answer.json())
        # One that has become smaller starts from the beginning, as Consul asks for.
        self._index = index if index >= self._index else 0
        self.interval_s = 0.0 if index else self._unindexed_s
        self._backup = None
        return servers

    def _ask(self) -> HttpAnswer:
        fields = {name: value for name, value in self._fields.items() if value}
        timeout_s = self._timeout_s
        if self._index:
            fields |= {"index": str(self._index), "wait": f"{round(self._wait_s * 1000)}ms"}
            # The server adds up to a 16th at random.
            timeout_s += self._wait_s * 17 / 16
        query = "&".join([*self._flags, urlencode(fields)]).strip("&")
        target = f"/v1/health/service/{quote(self.name, safe='')}?{query}"
        headers = {"X-Consul-Token": self._token} if self._token else None
        return self._http.request("GET", target, headers=headers, timeout_s=timeout_s)

    def _servers_of(self, found: Any) -> list[ServerNode]:
        if not isinstance(found, list):
            raise NamingError(f"{self._url}: the answer is no list")
        builder = ServerListBuilder(self._url)
        for item in found:
            service = fields_of(item, "Service")
            host = field_or(service, "Address", "") or field_or(
                fields_of(item, "Node"), "Address", ""
            )
            tags = [tag for tag in items_of(service, "Tags") if isinstance(tag, str)]
            weight = number_or(fields_of(service, "Weights"), "Passing", 1.0)
            builder.add_host(host, field_or(service, "Port", 0), " ".join(tags), weight)
        return builder.build()

    def forget(self) -> None:
        self._index = 0

    def interrupt(self) -> None:
        self._http.interrupt()

    def close(self) -> None:
        self._http.close()


def consul_settings(url: NamingUrl, text: str, options: UrlOptions) -> tuple[str, HttpSettings]:
    """The name of the service, and where its agent is."""
    agent, slash, name = text.rpartition("/")
    name = name.strip()
    if not name:
        raise url.error('the name of the service is missing: write "consul://127.0.0.1:8500/NAME"')
    return name, HttpSettings.of(url, agent if slash else DEFAULT_AGENT, options, DEFAULT_PORT)


def _index_of(answer: HttpAnswer) -> int:
    """The index of an answer; 0 if there is none that is a number above 0."""
    text = answer.headers.get("X-Consul-Index", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
