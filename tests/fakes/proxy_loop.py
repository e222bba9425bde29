"""A ProxyLoop without a thread."""

from __future__ import annotations

import socket
from typing import Any


class FakeProxyLoop:
    """Keeps what is watched, and when who wants to be woken."""

    def __init__(self) -> None:
        self.masks: dict[socket.socket, int] = {}
        self.wakes: dict[Any, float] = {}

    def watch(self, sock: socket.socket, mask: int, handler: Any) -> None:
        self.masks[sock] = mask

    def wake_at(self, handler: Any, when: float) -> None:
        self.wakes[handler] = when
