"""FakeKazoo: as much of kazoo as pybrpc uses, with nodes in a dict, for tests without a ZooKeeper.

What a real one does is tested in tests/integration/test_naming_zookeeper.py.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any


class NoNodeError(Exception):
    """There is no such node."""


class NodeExistsError(Exception):
    """There is such a node."""


class Result:
    """The result of a call, which runs when it is asked for."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self._run = run

    def get(self, timeout: float) -> Any:
        return self._run()


class FakeKazoo:
    """The two modules of kazoo, one store of nodes, and all clients that were made."""

    def __init__(self) -> None:
        self.nodes: dict[str, tuple[bytes, int]] = {}
        """Path: data, and the session that owns it, 0 for none."""
        self.clients: list[Any] = []
        self.error: Exception | None = None
        """Raised by each call."""
        self.client_module = types.SimpleNamespace(KazooClient=self._make)
        self.exceptions = types.SimpleNamespace(
            NoNodeError=NoNodeError, NodeExistsError=NodeExistsError
        )

    def _make(self, **options: Any) -> FakeClient:
        client = FakeClient(self, len(self.clients) + 1, options)
        self.clients.append(client)
        return client

    def change(self, path: str, data: bytes | None, owner: int = 0) -> None:
        """Make, change or delete a node, and call the watches."""
        if data is None:
            del self.nodes[path]
        else:
            self.nodes[path] = data, owner
        for client in self.clients:
            watches, client.watches = client.watches, []
            for watch in watches:
                watch(None)


class FakeClient:
    def __init__(self, kazoo: FakeKazoo, session: int, options: dict[str, Any]) -> None:
        self.options = options
        self.client_id = session, b""
        self.watches: list[Callable[[Any], None]] = []
        self.listeners: list[Callable[[Any], None]] = []
        self.is_open = False
        self._kazoo = kazoo

    def add_listener(self, listener: Callable[[Any], None]) -> None:
        self.listeners.append(listener)

    def start(self, timeout: float) -> None:
        if self._kazoo.error is not None:
            raise self._kazoo.error
        self.is_open = True
        for listener in self.listeners:
            listener("CONNECTED")

    def stop(self) -> None:
        self.is_open = False

    def close(self) -> None:
        raise OSError("closed before")

    def _result(self, run: Callable[[], Any], watch: Any = None) -> Result:
        if watch is not None:
            self.watches.append(watch)

        def checked() -> Any:
            if self._kazoo.error is not None:
                raise self._kazoo.error
            return run()

        return Result(checked)

    def get_children_async(self, path: str, watch: Any) -> Result:
        def run() -> list[str]:
            names = [node.removeprefix(f"{path}/") for node in self._kazoo.nodes]
            found = [name for name in names if not name.startswith("/")]
            if not found:
                raise NoNodeError
            return found

        return self._result(run, watch)

    def get_async(self, path: str, watch: Any) -> Result:
        def run() -> Any:
            if path not in self._kazoo.nodes or self._kazoo.nodes[path][0] == b"gone":
                raise NoNodeError
            return self._kazoo.nodes[path][0], None

        return self._result(run, watch)

    def exists_async(self, path: str, watch: Any = None) -> Result:
        def run() -> Any:
            node = self._kazoo.nodes.get(path)
            return None if node is None else types.SimpleNamespace(ephemeralOwner=node[1])

        return self._result(run, watch)

    def create_async(self, path: str, data: bytes, ephemeral: bool, makepath: bool) -> Result:
        def run() -> None:
            assert ephemeral
            assert makepath
            if path in self._kazoo.nodes:
                raise NodeExistsError
            self._kazoo.change(path, data, self.client_id[0])

        return self._result(run)

    def delete_async(self, path: str) -> Result:
        def run() -> None:
            if path not in self._kazoo.nodes:
                raise NoNodeError
            self._kazoo.change(path, None)

        return self._result(run)
