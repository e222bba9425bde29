"""Servers that register, leave, start and stop in many threads: no entry outlives its server."""

from __future__ import annotations

import contextlib
import random
import threading

import pytest

from pybrpc.errors import ServerStateError
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.registration import registration as registration_module
from pybrpc.naming.server_node import ServerNode
from pybrpc.server import Server
from tests.fakes.threads import in_threads, wait_until
from tests.peers.echo import ECHO
from tests.peers.load import share_of
from tests.peers.serving import EchoService

pytestmark = pytest.mark.stress


class Lists:
    """All naming services: which servers are in them. Made and removed as slowly as they like."""

    def __init__(self, seed: int) -> None:
        self.entries: set[tuple[NamingUrl, str]] = set()
        self.made = 0
        self._random = random.Random(seed)

    def pause(self) -> None:
        threading.Event().wait(self._random.random() * 0.002)


class Registrar:
    interval_s = 0.001

    def __init__(self, lists: Lists, url: NamingUrl, node: ServerNode) -> None:
        self._lists = lists
        self._key = url, str(node)

    def register(self) -> None:
        self._lists.pause()
        self._lists.entries.add(self._key)
        self._lists.made += 1

    def renew(self) -> bool:
        return self._key in self._lists.entries

    def deregister(self) -> None:
        self._lists.pause()
        self._lists.entries.discard(self._key)

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("seed", range(6))
def test_no_entry_is_left_whatever_comes_first(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists(seed)
    monkeypatch.setattr(
        registration_module,
        "_registrar_of",
        lambda url: lambda url, node: Registrar(lists, url, node),
    )
    server = Server(drain_delay=0.001)
    server.add_service(ECHO, EchoService())
    starter = threading.Lock()

    def act(index: int) -> None:
        chance = random.Random(seed * 100 + index)
        for round_ in range(share_of(100)):
            what = chance.randrange(5)
            if what == 0:
                added = server.register(f"etcd://h/{index}-{round_}")
                if chance.randrange(2):
                    added.deregister(0.0)
            elif what == 1:
                server.stop(chance.choice([0.0, 0.002, 1.0]))
            elif what == 2:
                server.join(0.01)
            else:
                with starter, contextlib.suppress(ServerStateError):
                    server.start("127.0.0.1:0")

    in_threads(6, act)
    server.stop(0.0)
    assert server.join(30)
    wait_until(lambda: not server._registrations.late())
    wait_until(lambda: not [t for t in threading.enumerate() if "pybrpc-register" in t.name])
    assert lists.made > 0
    assert lists.entries == set()
