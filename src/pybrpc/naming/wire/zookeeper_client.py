"""ZooKeeperClient: the nodes of ZooKeeper by kazoo, whose threads hold the session."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from pybrpc.errors import NamingError
from pybrpc.naming.extras import import_extra
from pybrpc.naming.interfaces import MAX_ANSWER_BYTES
from pybrpc.naming.naming_url import NamingUrl, UrlOptions, parse_hosts, split_user
from pybrpc.naming.server_lists import check_count

DEFAULT_PORT = 2181


class ZooKeeperClient:
    """One session. All methods but those that say so belong to one thread.

    Raises MissingExtraError without kazoo. Each call is given up after `timeout` seconds.
    """

    def __init__(self, url: NamingUrl, text: str, options: UrlOptions) -> None:
        self._kazoo = import_extra("kazoo.client", "kazoo", "zookeeper", url.scheme)
        self._errors = import_extra("kazoo.exceptions", "kazoo", "zookeeper", url.scheme)
        authority, _, path = text.partition("/")
        user, password, hosts = split_user(url, authority)
        self._hosts = ",".join(map(str, parse_hosts(url, hosts, DEFAULT_PORT)))
        self._auth = [("digest", f"{user}:{password}")] if user else None
        self.path = f"/{path.strip('/')}"
        if self.path == "/":
            raise url.error('the path of the nodes is missing: write "zookeeper://host:2181/PATH"')
        self._timeout_s = options.seconds("timeout", 5.0, 0.01, 60.0)
        self._session_s = options.seconds("session_timeout", 10.0, 0.1, 600.0)
        self._client: Any = None
        self.changed = threading.Event()
        """Set when what was read may have changed, or the session has. Any thread."""

    def children(self) -> list[tuple[str, bytes]]:
        """The names of the nodes below `path`, and their data; `changed` is set when that changes.
        NamingError if ZooKeeper does not answer."""
        with self._translated():
            client = self._connected()
            try:
                names = self._get(client.get_children_async(self.path, watch=self._on_change))
            except self._errors.NoNodeError:
                self._get(client.exists_async(self.path, watch=self._on_change))
                return []
            check_count(len(names))
            asked = [
                (name, client.get_async(f"{self.path}/{name}", watch=self._on_change))
                for name in sorted(names)
            ]
            return self._collect(asked)

    def _collect(self, asked: list[tuple[str, Any]]) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        size = 0
        for name, result in asked:
            with contextlib.suppress(self._errors.NoNodeError):
                data = self._get(result)[0]
                size += len(data)
                if size > MAX_ANSWER_BYTES:
                    raise NamingError(f"the nodes have more than {MAX_ANSWER_BYTES} bytes")
                found.append((name, data))
        return found

    def hold_ephemeral(self, name: str, data: bytes) -> None:
        """Make sure that this session has the node `name` with `data`, which ends with it."""
        with self._translated():
            client = self._connected()
            path = f"{self.path}/{name}"
            status = self._get(client.exists_async(path))
            if status is not None and status.ephemeralOwner != client.client_id[0]:
                # That of an earlier session, which would vanish when that one ends.
                self._delete(path)
                status = None
            if status is None:
                make = client.create_async(path, data, ephemeral=True, makepath=True)
                with contextlib.suppress(self._errors.NodeExistsError):
                    self._get(make)

    def delete(self, name: str) -> None:
        """Delete the node `name`. One that is not there is no error."""
        with self._translated():
            self._connected()
            self._delete(f"{self.path}/{name}")

    def _delete(self, path: str) -> None:
        with contextlib.suppress(self._errors.NoNodeError):
            self._get(self._client.delete_async(path))

    def close(self) -> None:
        """End the session. Blocks until the threads of kazoo have ended."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.stop()
            with contextlib.suppress(Exception):
                client.close()

    def _connected(self) -> Any:
        if self._client is None:
            client = self._kazoo.KazooClient(
                hosts=self._hosts, timeout=self._session_s, auth_data=self._auth
            )
            self._client = client
            client.add_listener(self._on_session)
            try:
                client.start(self._timeout_s)
            except BaseException:
                self.close()
                raise
        return self._client

    def _get(self, result: Any) -> Any:
        return result.get(timeout=self._timeout_s)

    @contextlib.contextmanager
    def _translated(self) -> Any:
        """Errors of kazoo as NamingError, which has no traceback of it."""
        try:
            yield
        except NamingError:
            raise
        except Exception as error:
            text = str(error) or type(error).__name__
            raise NamingError(f"zookeeper://{self._hosts}{self.path}: {text}") from None

    def _on_change(self, event: object) -> None:
        self.changed.set()

    def _on_session(self, state: object) -> None:
        self.changed.set()
