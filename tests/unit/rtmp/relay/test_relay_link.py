"""RelayLink: when a relay connects to another server, and what it does with the stream."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.errors import AddressError, ErrorCode, RpcError, make_rpc_error
from pybrpc.rtmp.relay import relay_link
from pybrpc.rtmp.relay.relay_link import RelayLink
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from tests.fakes.rtmp_frames import keyframe, shared


class World:
    """The relay, the dispatcher and the stream that is opened again and again."""

    def __init__(self) -> None:
        self.lock: AbstractContextManager[object] = threading.RLock()
        self.added: list[tuple[str, str, RtmpStreamCore]] = []
        self.reports: list[str] = []
        self.published: set[str] = set()
        self.polled: RtmpStreamCore | None = None
        self.last_error: RpcError | None = None
        self.is_connected = self.is_closed = self.is_opening = False
        self.polls = 0
        self.checks: list[Callable[[], object]] = []
        self.polling = 0
        self.dispatcher = self

    # the relay
    def add_publisher(self, key: str, core: RtmpStreamCore) -> None:
        self.added.append(("publisher", key, core))

    def add_player(self, key: str, core: RtmpStreamCore) -> None:
        self.added.append(("player", key, core))

    def has_publisher(self, key: str) -> bool:
        return key in self.published

    def report(self, kind: str, stream: str, peer: str = "", text: str = "") -> None:
        self.reports.append(f"{kind} {stream}")

    # the dispatcher
    def call_at(self, deadline: float, function: Callable[[], object]) -> World:
        self.checks.append(function)
        return self

    def cancel(self) -> None: ...

    def require_polling(self) -> None:
        self.polling += 1

    def release_polling(self) -> None:
        self.polling -= 1

    # the stream
    def poll(self, loop: object) -> RtmpStreamCore | None:
        self.polls += 1
        return self.polled

    def close(self) -> None:
        self.is_closed = True

    def check(self) -> None:
        """The time of the next check has come."""
        self.checks.pop()()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(relay_link, "default_runtime", lambda: world)
    monkeypatch.setattr(relay_link, "Reconnecting", lambda *arguments: world)
    return world


def new_link(world: World, is_pull: bool, url: str = "rtmp://127.0.0.1:1/app/s?key=1") -> RelayLink:
    return RelayLink(world, url, None, is_pull, None, None)


class Connection:
    def end_stream(self, core: RtmpStreamCore, error: RpcError | None) -> None:
        core.end(error)


def new_core() -> RtmpStreamCore:
    """A stream on which nothing has come."""
    connection: Any = Connection()
    return RtmpStreamCore(connection, 1, ByteBudget(None))


def new_live_core() -> RtmpStreamCore:
    """A stream on which a frame has come."""
    core = new_core()
    core.on_messages([shared(keyframe(0)).message(1)])
    return core


def test_link_has_the_name_of_its_url_without_parameters(world: World) -> None:
    link = new_link(world, True)
    assert link.key == "app/s"
    link.close()


def test_url_without_a_stream_is_an_error(world: World) -> None:
    with pytest.raises(AddressError, match="app/stream"):
        new_link(world, True, "rtmp://127.0.0.1:1/app")


def test_pulled_stream_is_published_once(world: World) -> None:
    link = new_link(world, True)
    world.check()
    assert world.added == []
    core = world.polled = new_live_core()
    for _ in range(3):
        world.check()
    assert world.added == [("publisher", "app/s", core)]

    core.end(None)
    again = world.polled = new_live_core()
    world.check()
    assert world.added[1:] == [("publisher", "app/s", again)]
    link.close()


def test_pulled_stream_is_published_with_its_first_frame(world: World) -> None:
    link = new_link(world, True)
    core = world.polled = new_core()
    for _ in range(3):
        world.check()
    assert world.added == []
    core.on_messages([shared(keyframe(0)).message(1)])
    world.check()

    assert world.added == [("publisher", "app/s", core)]
    assert len(core.unread) == 1, "the relay takes it"
    link.close()


def test_silent_stream_gives_way_to_another_publisher(world: World) -> None:
    link = new_link(world, True)
    core = world.polled = new_core()
    world.check()
    world.published.add("app/s")
    core.on_messages([shared(keyframe(0)).message(1)])
    world.check()
    assert core.has_ended
    assert (core.unread_bytes, world.added) == (0, [])
    polls = world.polls
    world.check()
    assert world.polls == polls, "it does not connect while there is another one"

    world.published.clear()
    world.polled = new_live_core()
    world.check()
    assert world.added == [("publisher", "app/s", world.polled)]
    link.close()


def test_stream_that_opens_while_another_publisher_comes_is_ended(world: World) -> None:
    link = new_link(world, True)
    world.check()
    world.published.add("app/s")
    world.is_opening = True
    world.check()
    core = world.polled = new_live_core()
    world.check()
    world.is_opening = False
    world.check()

    assert core.has_ended
    assert (core.unread_bytes, world.added) == (0, [])
    link.close()


def test_publisher_that_comes_at_the_same_time_is_not_replaced(world: World) -> None:
    link = new_link(world, True)
    world.polled = new_live_core()
    answers = iter([False, True, True])
    world.has_publisher = lambda key: next(answers)  # type: ignore[method-assign]
    world.check()
    world.check()

    assert world.added == []
    assert world.polled.has_ended
    link.close()


def test_nothing_is_pulled_while_another_publisher_is_there(world: World) -> None:
    link = new_link(world, True)
    world.published.add("app/s")
    world.check()
    assert world.polls == 0
    world.published.clear()
    world.check()
    assert world.polls == 1
    link.close()


def test_nothing_is_pushed_without_a_publisher(world: World) -> None:
    link = new_link(world, False)
    core = world.polled = new_core()
    world.check()
    assert world.polls == 0
    world.published.add("app/s")
    world.check()
    assert world.added == [("player", "app/s", core)]
    link.close()


def test_stream_that_has_ended_already_is_not_added(world: World) -> None:
    link = new_link(world, True)
    core = world.polled = new_core()
    core.end(None)
    world.check()
    assert world.added == []
    link.close()


def test_error_is_reported_once(world: World) -> None:
    link = new_link(world, True)
    world.last_error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "refused")
    for _ in range(3):
        world.check()
    world.last_error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "refused again")
    world.check()
    assert world.reports == ["pull_failed app/s"] * 2
    link.close()


def test_close_ends_the_stream_and_the_checks(world: World) -> None:
    link = new_link(world, True)
    assert world.polling == 1
    link.close()
    link.close()
    world.check()

    assert world.is_closed
    assert world.polling == 0
    assert (world.polls, world.checks) == (0, [])


def test_stream_that_is_pushed_ends_if_its_publisher_has_gone_meanwhile(world: World) -> None:
    """Else the other server would keep it published, with nothing on it."""
    link = new_link(world, False)
    world.published.add("app/s")
    world.is_opening = True
    world.check()
    world.published.clear()
    core = world.polled = new_core()
    world.check()
    assert core.has_ended
    assert world.added == []
    link.close()


def test_link_that_was_closed_says_so_once(world: World) -> None:
    closed = []
    link = new_link(world, True)
    link.on_closed = closed.append
    link.close()
    link.close()
    assert closed == [link]
