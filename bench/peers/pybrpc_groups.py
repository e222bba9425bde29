"""pybrpc from threads, each over a connection of its own; the bytes travel as attachments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pybrpc
from bench.peers.peer import Call, NoStatistics
from bench.peers.pybrpc_sync import AttachmentClient, AttachmentService, PybrpcSync
from bench.work import TIMEOUT_S


class GroupsClient(NoStatistics):
    def __init__(self, port: int, channels: contextlib.ExitStack) -> None:
        self._address = f"127.0.0.1:{port}"
        self._channels = channels
        self._count = 0

    def caller(self) -> Call:
        self._count += 1
        group = f"caller-{self._count}"
        channel = pybrpc.Channel(self._address, timeout=TIMEOUT_S, connection_group=group)
        return AttachmentClient(self._channels.enter_context(channel)).call


class PybrpcGroups(PybrpcSync):
    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[GroupsClient]:  # type: ignore[override]
        with contextlib.ExitStack() as channels:
            yield GroupsClient(port, channels)


PEER = PybrpcGroups(AttachmentService, AttachmentClient)
