"""etcd://: the servers whose keys have a common prefix."""

from __future__ import annotations

from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl, UrlOptions
from pybrpc.naming.server_lists import ServerListBuilder, check_count
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.entries import add_entry
from pybrpc.naming.services.options import take_policy
from pybrpc.naming.wire.etcd_api import DEFAULT_PORT, EtcdApi
from pybrpc.naming.wire.http_settings import HttpSettings


class EtcdNaming(NamingService):
    """etcd://host:port,host:port/PREFIX: one server for each key "PREFIX/...".

    It waits for changes, and reads all keys after each one, or after `wait` seconds.
    """

    interval_s = 0.0

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        text, options = url.split()
        self._api, self._prefix = etcd_api(url, text, options)
        self._wait_s = options.seconds("wait", 60.0, 0.01, 600.0)
        self.policy = take_policy(options)
        options.check_all_known()
        self._revision = 0

    def fetch(self) -> list[ServerNode]:
        revision, self._revision = self._revision, 0
        if revision:
            self._api.wait_for_change(self._prefix, revision + 1, self._wait_s)
        now, pairs = self._api.range(self._prefix)
        check_count(len(pairs))
        builder = ServerListBuilder(self._url)
        for key, value in pairs:
            name = key[len(self._prefix) :].decode("utf-8", "replace")
            add_entry(builder, name.rpartition("/")[2], value)
        servers = builder.build()
        self._revision = now
        return servers

    def forget(self) -> None:
        self._revision = 0

    def interrupt(self) -> None:
        self._api.http.interrupt()

    def close(self) -> None:
        self._api.http.close()


def etcd_api(url: NamingUrl, text: str, options: UrlOptions) -> tuple[EtcdApi, bytes]:
    """The API of a URL, and the prefix of the keys, which ends with a slash."""
    authority, _, path = text.partition("/")
    path = path.rstrip("/")
    if not path:
        raise url.error('the prefix of the keys is missing: write "etcd://host:2379/PREFIX"')
    settings = HttpSettings.of(url, authority, options, DEFAULT_PORT)
    version = options.text("api", "v3")
    return EtcdApi(settings, version), f"{path}/".encode()
