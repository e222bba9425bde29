"""Namespace: a network of its own, with nothing in it but what is put there (Linux).

It has no name: it is gone when its descriptor is closed and nobody is in it any more, also after a
crash. In it are threads that have entered, and the threads, processes and sockets that they make.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Self

CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"


class Namespace:
    """Made empty, with its loopback up. OSError (or CalledProcessError) if this machine, or the
    rights of this process, don't allow it."""

    def __init__(self) -> None:
        self._descriptor = _made_in_a_thread()
        try:
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put sockets, threads and processes that this thread makes into the namespace."""
        own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self._descriptor)
            try:
                yield
            finally:
                _setns(own)
        finally:
            os.close(own)

    def ip(self, *arguments: str) -> None:
        """Run iproute2's `ip` in there; CalledProcessError says what it did not like."""
        with self.entered():
            subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@functools.cache
def why_no_namespaces() -> str:
    """The requirement of a Namespace, or of a wire into it, that this machine lacks, or ""."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if shutil.which("ip") is None:
        return "needs ip, of the package iproute2"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "needs /dev/net/tun"
    try:
        Namespace().close()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"needs the right to make network namespaces, as root or in `unshare -Urn`: {error}"
    return ""


def _made_in_a_thread() -> int:
    """A descriptor of a new one. The thread that makes it is in it, and ends."""
    made: list[int] = []
    failed: list[OSError] = []

    def make() -> None:
        try:
            _call("unshare", CLONE_NEWNET)
            made.append(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=make, name="namespace")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _setns(descriptor: int) -> None:
    _call("setns", descriptor, CLONE_NEWNET)


def _call(name: str, *arguments: int) -> None:
    """A function of libc, which `os` has from Python 3.12 on only."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
