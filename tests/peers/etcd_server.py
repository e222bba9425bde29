"""EtcdServer: a real etcd of the system, in a folder of its own, without fsync."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
from pathlib import Path
from typing import Any

from tests.peers.pausable_server import PausableServer
from tests.peers.redis_server import free_port
from tests.peers.running_program import RunningProgram


class EtcdServer(PausableServer):
    """Runs while the `with` does. It may be killed, paused, and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        url, peers = f"http://{self.address}", f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._program = RunningProgram(
            [
                *("etcd", "--data-dir", folder / "data", "--unsafe-no-fsync"),
                *("--listen-client-urls", url, "--advertise-client-urls", url),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", f"default={peers}", "--log-level", "error"),
                *("--heartbeat-interval", 10, "--election-timeout", 100),
            ],
            folder,
            "etcd",
        )

    def start(self) -> None:
        self._program.start()
        self._program.wait_until(self._is_healthy, "healthy")

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def call(self, method: str, token: str = "", **fields: Any) -> Any:
        """One request of the JSON gateway. Fields that are bytes are sent in base64."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": token} if token else {}
        try:
            connection.request("POST", f"/v3/{method}", json.dumps(_encoded(fields)), headers)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return json.loads(body)
        finally:
            connection.close()

    def put(self, key: str, value: str = "", lease: int = 0) -> None:
        self.call("kv/put", key=key.encode(), value=value.encode(), lease=str(lease))

    def delete(self, key: str) -> None:
        self.call("kv/deleterange", key=key.encode())

    def keys(self, prefix: str) -> dict[str, str]:
        found = self.call("kv/range", key=prefix.encode(), range_end=prefix.encode() + b"\xff")
        return {_decoded(pair, "key"): _decoded(pair, "value") for pair in found.get("kvs", [])}

    def revision(self) -> int:
        return int(self.call("kv/range", key=b"x")["header"]["revision"])

    def compact(self) -> None:
        """Forget all revisions but the last one."""
        self.call("kv/compaction", revision=str(self.revision()), physical=True)

    def wipe(self) -> None:
        """Kill it, and delete its data."""
        self._program.stop()
        shutil.rmtree(self._folder / "data")


def _encoded(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in fields.items()
    }


def _decoded(pair: dict[str, str], name: str) -> str:
    return base64.b64decode(pair.get(name, "")).decode()
