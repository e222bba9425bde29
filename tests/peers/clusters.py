"""Several servers of this process, each of which says its name, and channels to all of them."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb


class Member:
    """One server of a cluster. Its answers name it; `behave` is called with each request."""

    def __init__(self, name: str, address: str = "127.0.0.1:0", **options: Any) -> None:
        self.name = name
        self.options = options
        self.calls = 0
        self.behave: Callable[[Any, Any], object] = lambda request, controller: None
        self.start(address)

    def start(self, address: str | None = None) -> None:
        """Again, at the same address unless told otherwise."""
        self.server = pybrpc.Server(**self.options)
        self.server.add_service(ECHO, self)
        self.address = str(self.server.start(address or self.address))

    def stop(self, grace: float = 10.0) -> None:
        """Returns when it has ended."""
        self.server.stop(grace)
        self.server.join()

    def Echo(self, request: Any, controller: Any) -> Any:
        self.calls += 1
        self.behave(request, controller)
        return pb.EchoResponse(message=self.name)

    def Stream(self, request: Any, controller: Any) -> Any:
        return self.Echo(request, controller)

    def fail(self, code: int) -> None:
        """Answer each request with this error from now on."""
        self.behave = lambda request, controller: controller.set_failed(code, f"by {self.name}")

    def sleep(self, seconds: float) -> None:
        self.behave = lambda request, controller: time.sleep(seconds)


class Cluster:
    """The members, in the order in which they are named."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    @property
    def addresses(self) -> list[str]:
        return [member.address for member in self.members]

    @property
    def calls(self) -> list[int]:
        return [member.calls for member in self.members]

    def __getitem__(self, number: int) -> Member:
        return self.members[number]


@contextlib.contextmanager
def cluster(count: int = 3, **options: Any) -> Iterator[Cluster]:
    """Start `count` servers with the same options."""
    members: list[Member] = []
    try:
        for number in range(count):
            members.append(Member(f"server {number}", **options))
        yield Cluster(members)
    finally:
        for member in members:
            member.stop(grace=0.5)


@contextlib.contextmanager
def cluster_stub(where: Any, **options: Any) -> Iterator[tuple[pybrpc.Stub, pybrpc.Channel]]:
    """A blocking stub and its channel, by turns unless told otherwise."""
    options.setdefault("load_balancer", "rr")
    options.setdefault("timeout", 10)
    with pybrpc.Channel(where, **options) as channel:
        yield pybrpc.Stub(ECHO, channel), channel


REQUEST = pb.EchoRequest(message="who?")


def answers(stub: pybrpc.Stub, times: int, **options: Any) -> collections.Counter[str]:
    """Make calls one after the other, and count the names of the servers that answer."""
    return collections.Counter(stub.Echo(REQUEST, **options).message for _ in range(times))


def state_of(channel: Any, member: Member) -> str:
    for status in channel.servers():
        if str(status.endpoint) == member.address:
            return str(status.state)
    return "not listed"


def wait_for_state(channel: Any, member: Member, state: str) -> None:
    wait_until(lambda: state_of(channel, member) == state)


class Load:
    """Threads that call all the time, and note what goes wrong, until the `with` ends."""

    def __init__(
        self,
        stub: pybrpc.Stub,
        threads: int = 4,
        new_controller: Callable[[], pybrpc.Controller | None] = lambda: None,
    ) -> None:
        self.stub = stub
        self._new_controller = new_controller
        self.calls = 0
        self.errors: list[BaseException] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                self.stub.Echo(REQUEST, controller=self._new_controller())
            except BaseException as error:
                self.errors.append(error)
            self.calls += 1

    def wait_for_calls(self, count: int) -> None:
        """Until so many more have ended."""
        wanted = self.calls + count
        wait_until(lambda: self.calls >= wanted)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
