"""TwoHosts: a near one, which calls, a far one, which serves, and the wire between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from soak.network.namespace import Namespace
from soak.network.tun_device import NAME, TunDevice
from soak.network.wire import Wire

NEAR_IP, FAR_IP, OTHER_FAR_IP = "10.9.0.1", "10.9.0.2", "10.9.0.3"
"""Nobody else sees them."""


class Host:
    """A network namespace with an interface that leads to the wire."""

    def __init__(self, namespace: Namespace, ip: str, device: str = NAME) -> None:
        self.entered = namespace.entered
        self._ip = namespace.ip
        self._device = device
        self.add_address(ip)
        self.switch_on()

    def add_address(self, ip: str) -> None:
        self._ip("address", "add", f"{ip}/24", "dev", self._device)

    def remove_address(self, ip: str) -> None:
        """Packets to the address get no answer, and connections from it have no route."""
        self._ip("address", "del", f"{ip}/24", "dev", self._device)

    def switch_off(self) -> None:
        """The interface: there is no way to anywhere, and this host knows it."""
        self._ip("link", "set", self._device, "down")

    def switch_on(self) -> None:
        self._ip("link", "set", self._device, "up")


class TwoHosts:
    """`near` and `far`, and `wire`."""

    def __init__(self, near: Host, far: Host, wire: Wire) -> None:
        self.near = near
        self.far = far
        self.wire = wire


@contextlib.contextmanager
def two_hosts(seed: int = 1) -> Iterator[TwoHosts]:
    """Both up, and a wire without faults; its faults go by `seed`. OSError as for a Namespace."""
    with contextlib.ExitStack() as stack:
        namespaces = [stack.enter_context(Namespace()) for _ in range(2)]
        devices = [TunDevice(namespace) for namespace in namespaces]
        for device in devices:
            stack.callback(device.close)
        near, far = map(Host, namespaces, (NEAR_IP, FAR_IP))
        wire = Wire(devices[0], devices[1], seed)
        stack.callback(wire.close)
        yield TwoHosts(near, far, wire)
