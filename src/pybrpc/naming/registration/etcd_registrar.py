"""EtcdRegistrar: a key that ends with a lease."""

from __future__ import annotations

from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.etcd_naming import etcd_api


class EtcdRegistrar:
    """The key is "PREFIX/host:port", its value the tag. Option `ttl`: the seconds after which the
    key ends if nothing renews it."""

    def __init__(self, url: NamingUrl, node: ServerNode) -> None:
        text, options = url.split()
        self._api, prefix = etcd_api(url, text, options)
        self._ttl_s = options.count("ttl", 10, 1, 3600)
        options.check_all_known()
        self.interval_s = self._ttl_s / 3
        self._key = prefix + str(node.endpoint).encode()
        self._value = node.tag.encode()
        self._lease = 0

    def register(self) -> None:
        self._lease = self._api.grant_lease(self._ttl_s)
        self._api.put(self._key, self._value, self._lease)

    def renew(self) -> bool:
        return self._api.keep_alive(self._lease)

    def deregister(self) -> None:
        if self._lease:
            self._api.revoke(self._lease)

    def interrupt(self) -> None:
        self._api.http.interrupt()

    def close(self) -> None:
        self._api.http.close()
