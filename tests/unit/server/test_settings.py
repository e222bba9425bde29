"""ServerSettings: which options of a Server make sense."""

from __future__ import annotations

import re
import resource
from inspect import cleandoc
from typing import Any

import pytest

from pybrpc.protocols.built_in import BUILT_IN_NAMES
from pybrpc.protocols.registry import all_protocols
from pybrpc.server import Server, settings
from pybrpc.server.settings import (
    ServerOptions,
    ServerSettings,
    checked_server_timeout_s,
    connections_there_is_room_for,
    protocols_named,
)


def make(**options: Any) -> ServerSettings:
    return ServerSettings.of(options)  # type: ignore[arg-type]


def test_settings_without_options_have_the_defaults() -> None:
    assert make() == ServerSettings()


def test_smallest_values_are_accepted() -> None:
    made = make(max_connections=0, max_unanswered_bytes=0, max_workers=1, max_body_size=1)
    assert (made.max_workers, made.limits.max_body_size) == (1, 1)
    assert make(max_connections=None, max_unanswered_bytes=None).max_connections is None


def test_timeouts_become_seconds_and_none_is_no_limit() -> None:
    made = make(idle_timeout=5, handshake_timeout=None, message_timeout=0.5)
    assert (made.idle_timeout_s, made.handshake_timeout_s, made.message_timeout_s) == (5, None, 0.5)


@pytest.mark.parametrize("name", ["max_conns", "limits", "idle_timeout_s"])
def test_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        Server(**{name: 1})  # type: ignore[arg-type]


def test_help_of_a_server_describes_each_option() -> None:
    described = set(re.findall(r"^(\w+) ", cleandoc(ServerOptions.__doc__ or ""), re.MULTILINE))
    assert described == ServerOptions.__annotations__.keys()
    assert Server.__init__.__doc__ == ServerOptions.__doc__


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("max_concurrency", -1, "a whole number >= 0"),
        ("max_concurrency", None, "a whole number >= 0"),
        ("max_connections", -1, "None or a whole number >= 0"),
        ("max_connections", 1.5, "None or a whole number >= 0"),
        ("max_workers", 0, "a whole number >= 1"),
        ("max_workers", True, "a whole number >= 1"),
        ("max_body_size", 0, "a whole number >= 1"),
        ("max_body_size", "64M", "a whole number >= 1"),
        ("max_unanswered_bytes", -1, "None or a whole number >= 0"),
        ("max_streams_unconsumed_bytes", -1, "a whole number >= 0"),
        ("max_streams_unconsumed_bytes", None, "a whole number >= 0"),
    ],
)
def test_other_numbers_are_refused(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} must be {wanted}, not {value!r}")):
        make(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cancel_handlers", 0, "cancel_handlers must be True or False, not 0"),
        ("drop_expired", "no", "drop_expired must be True or False, not 'no'"),
        ("options", {}, "options must be a pybrpc.SocketOptions or None, not {}"),
        ("runtime", 3, "runtime must be a pybrpc.lowlevel.Runtime, not 3"),
        ("enabled_protocols", 3, "enabled_protocols must be a list of names of protocols, not 3"),
        ("enabled_protocols", [3], "a list of names of protocols; 3 is none"),
        ("idle_timeout", "5", "idle_timeout must be seconds as a number, or None"),
    ],
)
def test_objects_of_other_types_are_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        make(**{name: value})


def test_drain_delay_is_finite_and_none_is_the_default() -> None:
    assert make(drain_delay=0).drain_delay_s == 0
    assert make(drain_delay=None).drain_delay_s is None
    for value in (-1, float("inf")):
        with pytest.raises(ValueError, match="drain_delay must be"):
            make(drain_delay=value)
    with pytest.raises(TypeError, match="drain_delay must be"):
        make(drain_delay="2")


@pytest.mark.parametrize("name", ["", "search", "SearchServer-1"])
def test_name_of_variables_is_any_text_of_which_something_is_left(name: str) -> None:
    assert make(server_info_name=name).server_info_name == name


@pytest.mark.parametrize(
    ("name", "error"),
    [("::", ValueError), ("\u4e2d", ValueError), ("x" * 2000, ValueError), (b"x", TypeError)],
)
def test_name_of_variables_that_can_be_none_is_refused(name: Any, error: type) -> None:
    with pytest.raises(error):
        make(server_info_name=name)


def test_auth_that_is_no_authenticator_is_refused() -> None:
    with pytest.raises(TypeError, match="auth must be an Authenticator"):
        make(auth=object())


def test_timeout_of_zero_or_less_is_refused() -> None:
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
    names = list(BUILT_IN_NAMES)
    assert protocols_named([]) == all_protocols()
    assert [protocol.name for protocol in protocols_named(names[:1])] == names[:1]
    assert list(protocols_named(" ".join(names))) == list(all_protocols())
    with pytest.raises(ValueError, match="unknown protocol 'thrift' in enabled_protocols; known: "):
        protocols_named(["thrift"])
