"""Channels: refused options, sharing, closing; nothing is connected."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import pytest

import pybrpc
from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.channel.base import ChannelBase
from pybrpc.client.channel.options import CHANNEL_TIMEOUT
from pybrpc.client.connections.connection import ConnectionStatistics, sum_of
from pybrpc.errors import ChannelClosedError
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.method import methods_of
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.statistics import SocketStatistics
from tests.peers.echo import ECHO

ADDRESS = "127.0.0.1:1"
CHANNELS = [pybrpc.Channel, pybrpc.aio.Channel]

every_channel = pytest.mark.parametrize("make", CHANNELS)


@every_channel
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wait_for_ready": True, "dial_backoff": None}, "give a dial_backoff"),
        ({"backup_request_ms": 5, "backup_request_policy": BackupRequestPolicy(1)}, "not both"),
        ({"timeout": -1}, "timeout"),
        ({"connection_type": "many"}, "connection_type"),
        ({"compress_type": 99}, "99"),
    ],
)
def test_channel_refuses_options_that_contradict_each_other(
    make: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        make(ADDRESS, **options)


@every_channel
def test_timeout_of_a_call_is_its_own_or_that_of_the_channel(make: Any) -> None:
    channel: ChannelBase = make(ADDRESS, timeout=1.5)
    assert channel.timeout_of_call(CHANNEL_TIMEOUT) == 1.5
    assert channel.timeout_of_call(3) == 3
    assert channel.timeout_of_call(None) is None
    with pytest.raises(ValueError, match="timeout"):
        channel.timeout_of_call(-1)
    assert repr(CHANNEL_TIMEOUT) == "CHANNEL_TIMEOUT"


@every_channel
@pytest.mark.parametrize(
    ("timeout_ms", "timeout_s"), [(None, 1.5), (50, 0.05), (0, 0.0), (0.5, 0.0005), (-1, None)]
)
def test_controller_sets_the_timeout_in_milliseconds(
    make: Any, timeout_ms: float | None, timeout_s: float | None
) -> None:
    channel: ChannelBase = make(ADDRESS, timeout=1.5)
    controller = pybrpc.Controller()
    controller.timeout_ms = timeout_ms
    assert channel.timeout_of_call(CHANNEL_TIMEOUT, controller) == timeout_s


@every_channel
def test_timeout_is_given_in_one_way_only(make: Any) -> None:
    channel: ChannelBase = make(ADDRESS)
    controller = pybrpc.Controller()
    assert channel.timeout_of_call(2, controller) == 2
    controller.timeout_ms = 50
    for timeout in (2, None):
        with pytest.raises(
            ValueError, match=r"either timeout=.*controller\.timeout_ms=50, not both"
        ):
            channel.timeout_of_call(timeout, controller)


@every_channel
@pytest.mark.parametrize("controller", [{}, pybrpc.Controller, "c"])
def test_object_that_is_no_controller_is_refused(make: Any, controller: Any) -> None:
    with pytest.raises(TypeError, match=r"controller must be a pybrpc\.Controller, not"):
        make(ADDRESS).timeout_of_call(CHANNEL_TIMEOUT, controller)


@every_channel
def test_channel_gives_its_encoding_to_methods(make: Any) -> None:
    (method, *_) = methods_of(ECHO)
    assert make(ADDRESS).method_as_sent(method) is method
    packed = make(ADDRESS, compress_type=CompressType.GZIP).method_as_sent(method)
    assert packed.encoding.compress_type == CompressType.GZIP
    assert packed.full_name == method.full_name


@every_channel
def test_backup_policy_is_given_or_made_of_a_time(make: Any) -> None:
    policy = BackupRequestPolicy(1)
    assert make(ADDRESS).call_options.backup is None
    assert make(ADDRESS, backup_request_policy=policy).call_options.backup is policy
    assert make(ADDRESS, backup_request_ms=20).call_options.backup.after_s == 0.02


def test_statistics_of_several_connections_are_one() -> None:
    names = SocketStatistics.__slots__
    part = ConnectionStatistics(1, 2, 3, SocketStatistics(**dict.fromkeys(names, 1)), 4)
    assert sum_of([]) is None
    assert sum_of([part]) is part
    found = sum_of([part, part])
    assert found is not None
    assert (found.in_flight, found.late_answers, found.unknown_answers) == (2, 4, 6)
    assert found.socket.bytes_read == 2


# --- of threads ---


def test_channels_to_one_address_share_until_the_last_is_closed() -> None:
    first, second = pybrpc.Channel(ADDRESS), pybrpc.Channel(ADDRESS)
    other = pybrpc.Channel(ADDRESS, connection_group="other")
    source = first.source()
    assert source is first.source() is second.source()
    found = first.endpoint_statistics()
    assert found is not None
    assert (found.created, found.is_down) == (0, False)
    assert other.source() is not source
    first.close()
    assert source.is_used
    second.close()
    assert not source.is_used
    assert first.is_closed
    other.close()
    assert len(default_runtime().connections) == 0


def test_closed_channel_makes_no_calls() -> None:
    with pybrpc.Channel(ADDRESS) as channel:
        assert channel.statistics() is channel.endpoint_statistics() is None
    for _ in range(2):
        with pytest.raises(ChannelClosedError, match="was closed; make a new channel"):
            channel.source()
        channel.close()


def test_channel_that_is_closed_while_it_takes_its_source_releases_it() -> None:
    """By another thread, between the look and the end."""

    class ClosedMeanwhile(pybrpc.Channel):
        def _share(self, loop: Any) -> Any:
            lease = super()._share(loop)
            self.close()
            return lease

    channel = ClosedMeanwhile(ADDRESS)
    with pytest.raises(ChannelClosedError):
        channel.source()
    assert channel.open_source is None
    assert len(default_runtime().connections) == 0


# --- of loops ---


def test_each_loop_has_a_binding_which_is_released_when_the_next_loop_comes() -> None:
    channel = pybrpc.aio.Channel(ADDRESS, dial_backoff=Backoff())
    sources = []

    async def take() -> None:
        binding = channel.binding()
        assert channel.binding() is binding
        assert channel.statistics() is None
        sources.append(binding.source)

    asyncio.run(take())
    asyncio.run(take())
    assert [source.is_used for source in sources] == [False, True]
    asyncio.run(channel.close())
    assert not sources[1].is_used


def test_channels_that_share_with_threads_have_one_source() -> None:
    async def take() -> None:
        async with pybrpc.aio.Channel(ADDRESS, share_with_threads=True) as channel:
            with pybrpc.Channel(ADDRESS) as of_threads:
                assert channel.binding().source is of_threads.source()

    asyncio.run(take())


def test_channel_of_a_loop_that_is_closed_makes_no_calls() -> None:
    class ClosedMeanwhile(pybrpc.aio.Channel):
        def _share(self, loop: Any) -> Any:
            lease = super()._share(loop)
            self._release()
            return lease

    async def take() -> None:
        channel = ClosedMeanwhile(ADDRESS)
        for _ in range(2):
            with pytest.raises(ChannelClosedError, match="was closed"):
                channel.binding()
        assert channel.open_binding is None

    asyncio.run(take())


@pytest.mark.parametrize("address", [ADDRESS, [ADDRESS, "127.0.0.1:2"]])
def test_interrupted_first_call_leaves_no_use_of_the_connections(
    monkeypatch: pytest.MonkeyPatch, address: Any
) -> None:
    """Ctrl-C in it: they were never closed, nor was the list of servers watched to an end."""

    class Interrupted(weakref.finalize):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            raise KeyboardInterrupt

    before = default_runtime().connections.all()
    channel = pybrpc.Channel(address)
    with monkeypatch.context() as patched:
        patched.setattr(weakref, "finalize", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            channel.source()
    assert default_runtime().connections.all() == before
    source: Any = channel.source()
    assert source.is_used
    channel.close()
    assert not source.is_used
    assert default_runtime().connections.all() == before
