"""zookeeper:// (zk://): the servers whose nodes are below one path."""

from __future__ import annotations

from pybrpc.naming.interfaces import InterruptedFetchError, NamingService
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.entries import add_entry
from pybrpc.naming.services.options import take_policy
from pybrpc.naming.wire.zookeeper_client import ZooKeeperClient


class ZooKeeperNaming(NamingService):
    """zookeeper://host:port,host:port/PATH: one server for each node below PATH. It waits for
    changes, and reads all of them after each one, or after `wait` seconds."""

    interval_s = 0.0

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        text, options = url.split()
        self._client = ZooKeeperClient(url, text, options)
        self._wait_s = options.seconds("wait", 60.0, 0.01, 600.0)
        self.policy = take_policy(options)
        options.check_all_known()
        self._is_current = False
        self._is_interrupted = False

    def fetch(self) -> list[ServerNode]:
        if self._is_current:
            self._is_current = False
            self._client.changed.wait(self._wait_s)
        if self._is_interrupted:
            self._is_interrupted = False
            raise InterruptedFetchError
        self._client.changed.clear()
        builder = ServerListBuilder(self._url)
        for name, data in self._client.children():
            add_entry(builder, name, data)
        servers = builder.build()
        self._is_current = True
        return servers

    def forget(self) -> None:
        self._is_current = False

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._client.changed.set()

    def close(self) -> None:
        self._client.close()
