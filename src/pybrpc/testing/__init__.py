"""Tools to test programs that use pybrpc, and pybrpc itself. No other package of pybrpc imports
this. docs/testing.md shows them."""

from __future__ import annotations

from pybrpc.testing import aio
from pybrpc.testing.fake_clock import ProcessClock, fake_clock
from pybrpc.testing.fake_service import FakeMethod, FakeService
from pybrpc.testing.faulty_proxy import FaultyProxy
from pybrpc.testing.fixtures import ChannelFactory, ProxyFactory, ServerFactory
from pybrpc.testing.in_memory import InMemoryChannel, channel_for
from pybrpc.testing.leaks import assert_no_leaks
from pybrpc.testing.scripted_server import ScriptedPeer, ScriptedServer

__all__ = [
    "ChannelFactory",
    "FakeMethod",
    "FakeService",
    "FaultyProxy",
    "InMemoryChannel",
    "ProcessClock",
    "ProxyFactory",
    "ScriptedPeer",
    "ScriptedServer",
    "ServerFactory",
    "aio",
    "assert_no_leaks",
    "channel_for",
    "fake_clock",
]


def __dir__() -> list[str]:
    return __all__
