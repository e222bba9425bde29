"""Pollers: epoll where there is one, else `selectors` with the same verbs; and how to wake them."""

from __future__ import annotations

import os
import select
import selectors
from collections.abc import Callable
from typing import Protocol

READ = 0x001
WRITE = 0x004


class Poller(Protocol):
    """What waits for descriptors: `select.epoll`, or what looks like it."""

    def register(self, fd: int, eventmask: int) -> None: ...
    def modify(self, fd: int, eventmask: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def poll(self, timeout: float) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class SelectorPoller:
    """The same four verbs over `selectors`, where there is no epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, eventmask: int) -> None:
        self._selector.register(fd, _to_selector(eventmask))

    def modify(self, fd: int, eventmask: int) -> None:
        self._selector.modify(fd, _to_selector(eventmask))

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        ready = self._selector.select(None if timeout < 0 else timeout)
        return [(key.fd, _from_selector(events)) for key, events in ready]

    def close(self) -> None:
        self._selector.close()


def _to_selector(mask: int) -> int:
    reads = selectors.EVENT_READ if mask & READ else 0
    return reads | (selectors.EVENT_WRITE if mask & WRITE else 0)


def _from_selector(events: int) -> int:
    return (READ if events & selectors.EVENT_READ else 0) | (
        WRITE if events & selectors.EVENT_WRITE else 0
    )


def make_poller() -> Poller:
    return select.epoll() if hasattr(select, "epoll") else SelectorPoller()


def make_wake_fds() -> tuple[int, int]:
    """What a sleeping poller reads, and what is written to wake it; one descriptor or two."""
    make_eventfd: Callable[[int, int], int] | None = getattr(os, "eventfd", None)
    if make_eventfd is not None:
        fd = make_eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return fd, fd
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer
