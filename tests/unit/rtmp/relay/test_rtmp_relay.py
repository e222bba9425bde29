"""RtmpRelay: its options, and its answers to publishers and players."""

from __future__ import annotations

import gc
import math
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.errors import ChannelClosedError, DispatcherClosedError
from pybrpc.rtmp import RelayEvent, RtmpConnectInfo, RtmpRefused, RtmpRelay, RtmpService
from pybrpc.rtmp.server.server_stream_core import ServerStreamCore
from tests.fakes.rtmp_frames import keyframe
from tests.peers.forking import exit_code_of, fork

LIMIT_S = 30.0


class Connection:
    """A connection of a server, and its socket, dispatcher and backlog. It notes what is asked."""

    def __init__(self) -> None:
        self.info = RtmpConnectInfo("live", "rtmp://host/live", "host", {})
        self.peer = "peer"
        self.done: list[str] = []
        self.posted: list[Callable[[], object]] = []
        self.is_closed = False
        self.size_bytes = self.requests = 0
        self.process = None
        self.socket = self.dispatcher = self.backlog = self.server = self

    def accept(self, core: ServerStreamCore) -> None:
        self.done.append("accept")

    def refuse(self, core: ServerStreamCore, code: str, text: str) -> None:
        self.done.append(f"refuse {code}")
        core.end(None)

    def end_stream(self, core: ServerStreamCore, error: object) -> None:
        self.done.append("end")
        core.end(None)

    def post(self, function: Callable[[], object]) -> None:
        if self.is_closed:
            raise DispatcherClosedError("closed")
        self.posted.append(function)


def new_core(name: str, is_publisher: bool) -> tuple[ServerStreamCore, Connection]:
    connection: Any = Connection()
    core = ServerStreamCore(connection, 1, ByteBudget(1 << 30), 1 << 20)
    core.name, core.is_publisher = name, is_publisher
    return core, connection


def attach(relay: RtmpRelay, is_publisher: bool, name: str = "s") -> tuple[Any, Connection]:
    core, connection = new_core(name, is_publisher)
    assert relay.attach(core)
    return core, connection


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("queue_bytes", 0),
        ("queue_seconds", -1),
        ("reconnect_grace", -1),
        ("republish", "maybe"),
        ("idle_streams", "no"),
        ("max_streams", 0),
        ("queue_seconds", 0),
        ("reconnect_grace", None),
        ("ack_window", 1),
        ("max_cached_bytes", -1),
    ],
)
def test_option_that_makes_no_sense_is_an_error(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        RtmpRelay(**{option: value})


async def decide_later() -> None: ...


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("gop_cache", "no"),
        ("gop_cache", 1),
        ("reconnect_grace", "1"),
        ("on_event", 5),
        ("on_event", decide_later),
        ("on_event", lambda: None),
        ("authorize_publish", "x"),
        ("authorize_publish", lambda: None),
        ("authorize_play", 5),
        ("authorize_play", decide_later),
    ],
)
def test_option_of_another_type_is_an_error(option: str, value: Any) -> None:
    with pytest.raises(TypeError, match=option):
        RtmpRelay(**{option: value})


def test_a_grace_without_end_is_a_very_long_one() -> None:
    assert RtmpRelay(reconnect_grace=math.inf)._streams._limits.reconnect_grace_s == 1e9


@pytest.mark.parametrize("name", ["nolive", "", "live/", "live/s?key=SECRET", "live/\n"])
def test_a_link_has_a_name_with_an_application(name: str) -> None:
    relay = RtmpRelay()
    for link in (relay.pull, relay.push):
        with pytest.raises(ValueError, match='such as "live/stream", not ') as caught:
            link("rtmp://127.0.0.1:1/live/s", name)
        assert "SECRET" not in str(caught.value)
    relay.close()


def test_publisher_and_player_are_accepted() -> None:
    relay = RtmpRelay()
    for is_publisher in (True, False):
        assert attach(relay, is_publisher)[1].done == ["accept"]
    (stream,) = relay.statistics().streams
    assert (stream.name, stream.publisher, len(stream.players)) == ("live/s", "peer", 1)


def test_streams_are_named_by_application_and_name_without_parameters() -> None:
    relay = RtmpRelay()
    attach(relay, True, "s?key=1")
    attach(relay, False, "s?key=2")
    attach(relay, False, "t")

    assert [stream.name for stream in relay.statistics().streams] == ["live/s", "live/t"]


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\x00"])
def test_name_that_can_not_be_printed_is_refused(name: str) -> None:
    relay = RtmpRelay()
    for is_publisher, code in ((True, "BadName"), (False, "StreamNotFound")):
        core, _ = new_core(name, is_publisher)
        with pytest.raises(RtmpRefused, match=code):
            relay.attach(core)
    assert relay.statistics().streams == ()


def test_second_publisher_is_refused() -> None:
    relay = RtmpRelay()
    first, one = attach(relay, True)
    _, two = attach(relay, True)

    assert two.done == ["refuse BadName"]
    assert one.done == ["accept"]
    assert not first.has_ended


def test_second_publisher_replaces_the_first() -> None:
    relay = RtmpRelay(republish="replace")
    attach(relay, True)[0].sink.on_frames(None, [keyframe(0)])
    first, one = attach(relay, True)
    _, two = attach(relay, True)

    assert (one.done, two.done) == (["accept", "end"], ["accept"])
    assert first.has_ended


def test_player_of_an_idle_stream_is_refused_on_request() -> None:
    relay = RtmpRelay(idle_streams="refuse")
    assert attach(relay, False)[1].done == ["refuse StreamNotFound"]
    attach(relay, True)

    assert attach(relay, False)[1].done == ["accept"]


def test_stream_without_publisher_and_players_is_forgotten() -> None:
    relay = RtmpRelay()
    player, _ = attach(relay, False)
    publisher, _ = attach(relay, True)
    player.end(None)
    assert relay._streams.has_publisher("live/s")
    publisher.end(None)

    assert relay.statistics().streams == ()
    assert not relay._streams.has_publisher("live/s")


def test_function_decides_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        "pybrpc.rtmp.relay.rtmp_relay.start_function", lambda *arguments: calls.append(arguments)
    )
    relay = RtmpRelay(authorize_play=lambda request: request.query == "key=1")
    for query, error, expected in (
        ("key=1", None, ["accept"]),
        ("key=2", RtmpRefused("Denied"), ["refuse Denied"]),
        ("key=3", RtmpRefused("StreamNotFound", "gone"), ["refuse StreamNotFound"]),
        ("key=4", ZeroDivisionError(), ["refuse Denied"]),
    ):
        _, connection = attach(relay, False, f"s?{query}")
        assert connection.done == []
        server, function, request, on_done = calls.pop()
        assert server is connection
        assert (request.app, request.name, request.query) == ("live", "s", query)
        if query == "key=1":
            function(request)
        elif query == "key=2":
            with pytest.raises(RtmpRefused):
                function(request)
        on_done(error)
        for post in connection.posted:
            post()
        assert connection.done == expected


def test_peer_that_leaves_before_the_decision_is_not_admitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        "pybrpc.rtmp.relay.rtmp_relay.start_function", lambda *args: calls.append(args)
    )
    relay = RtmpRelay(authorize_publish=lambda request: True)
    core, connection = attach(relay, True)
    calls[0][3](None)
    core.end(None)
    connection.posted[0]()

    assert connection.done == []
    assert relay.statistics().streams == ()
    connection.is_closed = True
    calls[0][3](None)


def test_a_relay_shows_only_what_users_call() -> None:
    shown = {name for name in dir(RtmpRelay()) if not name.startswith("_")}
    more = shown - {name for name in dir(RtmpService()) if not name.startswith("_")}
    assert more == {"record", "pull", "push", "statistics", "close", "aclose"}


def test_folder_of_recordings_must_exist(tmp_path: Path) -> None:
    with RtmpRelay() as relay, pytest.raises(NotADirectoryError):
        relay.record(tmp_path / "missing")


def test_relay_that_was_closed_records_and_links_nothing(tmp_path: Path) -> None:
    relay = RtmpRelay()
    relay.close()
    relay.close()
    for call in (relay.pull, relay.push):
        with pytest.raises(ChannelClosedError, match="the relay was closed"):
            call("rtmp://127.0.0.1:1/live/s")
    with pytest.raises(ChannelClosedError):
        relay.record(tmp_path)
    assert attach(relay, True)[1].done == ["accept"]


def test_relay_that_is_dropped_open_warns_and_ends_its_threads(tmp_path: Path) -> None:
    events: list[RelayEvent] = []
    relay = RtmpRelay(on_event=events.append)
    relay.record(tmp_path)
    publisher, _ = attach(relay, True)
    publisher.sink.on_frames(publisher, [keyframe(0)])
    held = [relay, publisher]
    del relay, publisher
    with pytest.warns(ResourceWarning, match="unclosed relay"):
        held.clear()
    for thread in threading.enumerate():
        if thread.name.startswith("pybrpc-rtmp"):
            thread.join(LIMIT_S)

    assert not [one for one in threading.enumerate() if one.name.startswith("pybrpc-rtmp")]
    assert len(list(tmp_path.iterdir())) == 1


def test_relay_that_has_no_thread_may_be_dropped() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RtmpRelay(on_event=print).__del__()
        with pytest.raises(ValueError, match="max_streams"):
            RtmpRelay(max_streams=0)
        gc.collect()


def test_name_is_free_when_its_recording_can_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = RtmpRelay()
    with monkeypatch.context() as patch:
        patch.setattr(relay._streams, "new_taps", lambda name: 1 / 0)
        core, _ = new_core("s", True)
        with pytest.raises(ZeroDivisionError):
            relay.attach(core)

    assert not relay._streams.has_publisher("live/s")
    assert attach(relay, True)[1].done == ["accept"]


@pytest.mark.parametrize("value", [0, "many"])
def test_max_recordings_is_checked(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="max_recordings"):
        RtmpRelay().record(tmp_path, max_recordings=value)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_may_use_a_relay_whose_locks_are_held(tmp_path: Path) -> None:
    relay = RtmpRelay(on_event=lambda event: None)
    relay.record(tmp_path)
    attach(relay, True)
    events: Any = relay._streams._events

    def child() -> None:
        assert len(relay.statistics().streams) == 1
        relay.close()

    with relay._streams.lock, events._lock:
        assert exit_code_of(fork(child)) == 0
    relay.close()


def test_links_that_were_closed_are_forgotten() -> None:
    with RtmpRelay() as relay:
        for _ in range(3):
            relay.pull("rtmp://127.0.0.1:1/live/s").close()
        assert relay._links == []
