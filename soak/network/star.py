"""Star: a host that calls, several that serve, and a wire from it to each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from soak.network.namespace import Namespace
from soak.network.tun_device import NAME, TunDevice
from soak.network.two_hosts import Host
from soak.network.wire import Wire


@dataclass(frozen=True, slots=True)
class Ray:
    """One of the hosts that serve, its address, and the wire to it."""

    host: Host
    ip: str
    wire: Wire


@dataclass(frozen=True, slots=True)
class Star:
    """`near` is the host that calls."""

    near: Namespace
    rays: list[Ray]


@contextlib.contextmanager
def star(count: int) -> Iterator[Star]:
    """All up, and wires without faults. OSError as for a Namespace."""
    with contextlib.ExitStack() as stack:
        near = stack.enter_context(Namespace())
        rays = [_ray(stack, near, number) for number in range(count)]
        yield Star(near, rays)


def _ray(stack: contextlib.ExitStack, near: Namespace, number: int) -> Ray:
    """In a network of its own, so that `near` knows which wire leads there."""
    far = stack.enter_context(Namespace())
    near_end, far_end = TunDevice(near, f"{NAME}{number}"), TunDevice(far)
    stack.callback(far_end.close)
    stack.callback(near_end.close)
    near_ip, far_ip = (f"10.9.{number}.{last}" for last in (1, 2))
    Host(near, near_ip, f"{NAME}{number}")
    host = Host(far, far_ip)
    wire = Wire(near_end, far_end)
    stack.callback(wire.close)
    return Ray(host, far_ip, wire)
