"""ZooKeeperRegistrar: an ephemeral node, which ends with the session."""

from __future__ import annotations

from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.wire.zookeeper_client import ZooKeeperClient

INTERVAL_S = 2.0
"""kazoo keeps the session; so often it is looked whether the node is there, or a new session has to
make it."""


class ZooKeeperRegistrar:
    """The node is "PATH/host:port", its data the tag. Option `session_timeout`: the seconds after
    which the node ends if the process does."""

    def __init__(self, url: NamingUrl, node: ServerNode) -> None:
        text, options = url.split()
        self._client = ZooKeeperClient(url, text, options)
        self.interval_s = options.seconds("interval", INTERVAL_S, 0.01)
        options.check_all_known()
        self._name = str(node.endpoint)
        self._data = node.tag.encode()

    def register(self) -> None:
        self._client.hold_ephemeral(self._name, self._data)

    def renew(self) -> bool:
        self._client.hold_ephemeral(self._name, self._data)
        return True

    def deregister(self) -> None:
        self._client.delete(self._name)

    def interrupt(self) -> None:
        """A call takes no longer than `timeout`."""

    def close(self) -> None:
        self._client.close()
