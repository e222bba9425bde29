"""ZooKeeperServer: a real ZooKeeper of the system, in a folder of its own."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient

from tests.peers.pausable_server import PausableServer
from tests.peers.redis_server import free_port
from tests.peers.running_program import RunningProgram

CLASSES = "/usr/share/java/zookeeper.jar"
CONFIG = """\
tickTime=100
minSessionTimeout=200
dataDir={folder}
clientPort={port}
clientPortAddress=127.0.0.1
"""


class ZooKeeperServer(PausableServer):
    """Runs while the `with` does. It may be killed, paused, and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        config = folder / "zoo.cfg"
        config.write_text(CONFIG.format(folder=folder, port=self.port))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        command = ["java", "-Dzookeeper.admin.enableServer=false", "-Xmx128m", "-cp", CLASSES]
        self._program = RunningProgram([*command, main, config], folder, "zookeeper")

    def start(self) -> None:
        self._program.start()
        self._program.wait_until(self._answers, "answering")

    def _answers(self) -> bool:
        """`srvr` is the one command of four letters that is allowed."""
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                sock.sendall(b"srvr")
                return b"Zookeeper version" in sock.recv(1000)
        return False

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """A session that is not pybrpc's."""
        client = KazooClient(self.address)
        client.start(20)
        try:
            yield client
        finally:
            client.stop()
            client.close()
