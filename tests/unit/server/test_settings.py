"""What a Server may be made with."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from pybrpc.protocols.detect import PROTOCOLS
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.server import settings
from pybrpc.server.settings import (
    ServerSettings,
    checked_server_timeout_s,
    connections_there_is_room_for,
    protocols_named,
)
from pybrpc.transport.socket_options import SocketOptions

SOUND = {"max_concurrency": 0, "max_workers": 1}


def make(**fields: Any) -> ServerSettings:
    limits = ParseLimits(max_body_size=fields.pop("max_body_size", 1))
    return ServerSettings(**{**SOUND, "limits": limits, "options": SocketOptions(), **fields})


def test_smallest_that_make_sense() -> None:
    assert make(max_connections=0, max_unanswered_bytes=0).max_workers == 1
    assert make(max_connections=None, max_unanswered_bytes=None).max_connections is None


@pytest.mark.parametrize(
    "fields",
    [{"max_concurrency": -1}, {"max_connections": -1}, {"max_workers": 0}, {"max_body_size": 0}],
)
def test_numbers_that_make_none(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least 0, max_workers and max_body_size at"):
        make(**fields)


def test_unanswered_bytes_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="must be None or at least 0, not -1"):
        make(max_unanswered_bytes=-1)


def test_who_can_not_verify_lets_nobody_in() -> None:
    with pytest.raises(TypeError, match="auth must be an Authenticator"):
        make(auth=object())


def test_timeouts() -> None:
    assert checked_server_timeout_s(None, "idle_timeout") is None
    assert checked_server_timeout_s(0.5, "idle_timeout") == 0.5
    with pytest.raises(ValueError, match="idle_timeout must be None or more than 0 seconds"):
        checked_server_timeout_s(0, "idle_timeout")
    with pytest.raises(ValueError, match="idle_timeout"):
        checked_server_timeout_s(-1, "idle_timeout")


@pytest.mark.parametrize(
    ("files", "connections"), [(1000, 900), (1, 1), (resource.RLIM_INFINITY, 0)]
)
def test_room_for_connections_is_nine_tenths_of_the_files(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    monkeypatch.setattr(settings.resource, "getrlimit", lambda what: (files, files))
    assert connections_there_is_room_for() == connections


def test_protocols_by_their_names() -> None:
    names = [protocol.name for protocol in PROTOCOLS]
    assert protocols_named([]) == PROTOCOLS
    assert [protocol.name for protocol in protocols_named(names[:1])] == names[:1]
    assert list(protocols_named(" ".join(names))) == list(PROTOCOLS)
    with pytest.raises(ValueError, match="unknown protocol 'http' in enabled_protocols; known: "):
        protocols_named(["http"])
