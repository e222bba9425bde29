"""The wire itself: it does to packets what it is asked for, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from soak.network.link_faults import REORDER_S, LinkFaults, PacketFate
from soak.network.namespace import Namespace
from soak.network.two_hosts import FAR_IP
from soak.network.wire import data_bytes
from tests.peers.far_echo import FarEcho

PACKETS = [bytes([number]) * 40 for number in range(100)]
DATA = bytes(range(256)) * 800
ALL = LinkFaults(delay_s=0.01, jitter_s=0.01, loss=0.1, duplicate=0.1, reorder=0.1, corrupt=0.1)


def fates(faults: LinkFaults, seed: str = "1") -> list[list[tuple[float, bytes]]]:
    fate = PacketFate(seed)
    fate.faults = faults
    return [fate.of(packet, float(number)) for number, packet in enumerate(PACKETS)]


def test_seed_gives_the_same_faults_again() -> None:
    assert fates(ALL) == fates(ALL)
    assert fates(ALL) != fates(ALL, "2")


def test_without_faults_everything_arrives_at_once() -> None:
    expected = [[(float(number), packet)] for number, packet in enumerate(PACKETS)]
    assert fates(LinkFaults()) == expected


def test_jitter_keeps_the_order() -> None:
    fate = PacketFate("1")
    fate.faults = LinkFaults(jitter_s=1.0)
    dues = [due for packet in PACKETS for due, _ in fate.of(packet, 5.0)]
    assert dues == sorted(dues)
    assert len(set(dues)) > 1


def test_reordered_packet_comes_later_than_those_that_follow() -> None:
    fate = PacketFate("1")
    fate.faults = LinkFaults(reorder=0.5)
    dues = {due for packet in PACKETS for due, _ in fate.of(packet, 5.0)}
    assert dues == {5.0, 5.0 + REORDER_S}


def test_corrupted_packet_has_exactly_one_bit_changed() -> None:
    for packet, arriving in zip(PACKETS, fates(LinkFaults(corrupt=1.0)), strict=True):
        ((_, found),) = arriving
        changed = int.from_bytes(packet, "big") ^ int.from_bytes(found, "big")
        assert changed.bit_count() == 1


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"\x45" + bytes(8) + b"\x06" + bytes(10) + bytes(12) + b"\x50" + bytes(7) + b"abc", 3),
        (b"\x45" + bytes(8) + b"\x06" + bytes(10) + bytes(12) + b"\x60" + bytes(11) + b"ab", 2),
        (b"\x45" + bytes(8) + b"\x11" + bytes(10) + b"a datagram, 8 bytes of header", 0),
        (b"\x60" + bytes(60), 0),
    ],
    ids=["TCP", "TCP with an option", "UDP", "IPv6"],
)
def test_data_of_a_packet(packet: bytes, expected: int) -> None:
    assert data_bytes(packet) == expected


@contextlib.contextmanager
def connected(far: FarEcho) -> Iterator[tuple[socket.socket, socket.socket]]:
    with far.hosts.far.entered():
        listener = socket.create_server((FAR_IP, 0))
    with listener, socket.create_connection(listener.getsockname(), 30) as near:
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(30)
            yield near, accepted


def received(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


@pytest.mark.parametrize(
    ("faults", "name"),
    [
        (LinkFaults(loss=0.05), "lost"),
        (LinkFaults(duplicate=0.3), "duplicated"),
        (LinkFaults(reorder=0.3), "reordered"),
        (LinkFaults(corrupt=0.05), "corrupted"),
    ],
    ids=["loss", "duplicate", "reorder", "corrupt"],
)
def test_tcp_makes_good_what_the_wire_does(far: FarEcho, faults: LinkFaults, name: str) -> None:
    with connected(far) as (near, accepted):
        far.wire.fail(faults)
        sender = threading.Thread(target=near.sendall, args=(DATA,))
        sender.start()
        assert received(accepted, len(DATA)) == DATA
        sender.join()
    assert far.wire.counts()[name] > 0


def test_delay_is_that_of_each_direction(far: FarEcho) -> None:
    with connected(far) as (near, accepted):
        far.wire.fail(LinkFaults(delay_s=0.1))
        began = time.monotonic()
        near.sendall(b"there")
        assert received(accepted, 5) == b"there"
        accepted.sendall(b"and back")
        assert received(near, 8) == b"and back"
        assert time.monotonic() - began >= 0.2


def test_cut_in_one_direction_passes_no_packet(far: FarEcho) -> None:
    with connected(far) as (near, accepted):
        far.wire.cut(to_near=False)
        near.sendall(b"lost")
        accepted.sendall(b"arrives")
        assert received(near, 7) == b"arrives"
        accepted.settimeout(0.3)
        with pytest.raises(TimeoutError):
            accepted.recv(1)
        far.wire.mend()
        accepted.settimeout(30)
        assert received(accepted, 4) == b"lost"


def test_cut_after_so_many_bytes(far: FarEcho) -> None:
    with connected(far) as (near, accepted):
        far.wire.cut_after(to_far=5)
        near.sendall(b"12345")
        assert received(accepted, 5) == b"12345"
        near.sendall(b"6")
        accepted.settimeout(0.3)
        with pytest.raises(TimeoutError):
            accepted.recv(1)


def test_two_namespaces_know_nothing_of_each_other(far: FarEcho) -> None:
    with Namespace() as elsewhere, elsewhere.entered():
        with pytest.raises(OSError, match="unreachable"):
            socket.create_connection((FAR_IP, 1), 30)
