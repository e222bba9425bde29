"""ChannelOptions, ChannelSettings and the docstring of Channel name the same options."""

from __future__ import annotations

import dataclasses
import math
import re
from inspect import cleandoc
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.client.channel.options import (
    ChannelOptions,
    ChannelSettings,
    default_connection_type,
    protocol_names,
)
from pybrpc.errors import PyBrpcError
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.built_in import framed_protocols
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.http_bodies import HttpContentType

PEER = Endpoint("10.0.0.1", 8000)


def test_options_and_settings_have_the_same_names_and_types() -> None:
    given = {field.name for field in dataclasses.fields(ChannelSettings) if field.init}
    assert given == ChannelOptions.__annotations__.keys()
    types = {name: str(hint) for name, hint in ChannelSettings.__annotations__.items()}
    for name, hint in ChannelOptions.__annotations__.items():
        assert types[name] == getattr(hint, "__forward_arg__", hint), name


def test_docstring_of_the_channel_explains_each_option() -> None:
    explained = re.findall(r"^(\w+)  +\S", cleandoc(pybrpc.Channel.__doc__ or ""), re.MULTILINE)
    assert sorted(explained) == sorted(["address", *ChannelOptions.__annotations__])


@pytest.mark.parametrize(
    ("options", "connection_type"),
    [
        ({}, "single"),
        ({"protocol": "hulu_pbrpc"}, "single"),
        ({"protocol": "http"}, "pooled"),
        ({"protocol": "http", "connection_type": "short"}, "short"),
        ({"connection_type": "pooled"}, "pooled"),
    ],
)
def test_protocol_has_a_default_connection_type(
    options: dict[str, Any], connection_type: str
) -> None:
    assert ChannelSettings(**options).source_settings.connection_type == connection_type


def test_forms_of_messages_over_http_share_connections() -> None:
    plain, proto = ChannelSettings(protocol="http"), ChannelSettings(protocol="http:proto")
    assert plain.http_content_type is HttpContentType.JSON
    assert proto.http_content_type is HttpContentType.PROTO
    assert plain.connection_factory(PEER) == proto.connection_factory(PEER)
    assert ChannelSettings().http_content_type is None


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ChannelSettings().timeout = 3  # type: ignore[misc]


def test_options_reach_the_part_that_uses_them() -> None:
    settings = ChannelSettings(
        timeout=2, max_retry=1, idle_timeout=9, max_body_size=99, connection_group=" a "
    )
    factory = settings.connection_factory(PEER)
    assert (settings.timeout_s, settings.call_options.max_retry) == (2.0, 1)
    assert settings.source_settings.idle_timeout_s == 9.0
    assert (factory.limits.max_body_size, settings.call_options.max_body_size) == (99, 99)
    assert (factory.endpoint, factory.group, factory.loop) == (PEER, "a", None)


def test_factories_with_other_limits_of_streams_are_different() -> None:
    factory = ChannelSettings(max_streams_unconsumed_bytes=9).connection_factory(PEER)
    assert factory.max_streams_unconsumed_bytes == 9
    assert factory != ChannelSettings().connection_factory(PEER)


@pytest.mark.parametrize("protocol", framed_protocols(), ids=lambda each: each.name)
def test_factories_of_different_protocols_are_different(protocol: RpcProtocol) -> None:
    """So channels of different protocols share no connection."""
    factory = ChannelSettings(protocol=protocol.name).connection_factory(PEER)
    assert factory.protocol is protocol
    default = ChannelSettings().connection_factory(PEER)
    assert (factory == default) is (protocol is BAIDU_STD)
    again = ChannelSettings(protocol=protocol.name).connection_factory(PEER)
    assert (factory, hash(factory)) == (again, hash(again))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": "1"}, TypeError),
        ({"connect_timeout": -1}, ValueError),
        ({"auth": object()}, TypeError),
        ({"tls": "yes"}, PyBrpcError),
        ({"idle_timeout": 0}, ValueError),
        ({"protocol": "ftp"}, ValueError),
        ({"protocol": "http:xml"}, ValueError),
        ({"protocol": "http", "connection_type": "single"}, ValueError),
        ({"protocol": "http", "connections": 2}, ValueError),
        ({"protocol": 2}, TypeError),
        ({"protocol": "http", "json_options": {}}, TypeError),
        ({"json_options": pybrpc.JsonOptions()}, ValueError),
        ({"no_such_option": 1}, TypeError),
    ],
)
def test_channel_refuses_an_option_that_is_not_allowed(
    options: dict[str, Any], error: type[Exception]
) -> None:
    for channel in (pybrpc.Channel, pybrpc.aio.Channel):
        with pytest.raises(error):
            channel("127.0.0.1:1", **options)


def test_channel_names_an_option_that_it_does_not_know() -> None:
    with pytest.raises(
        TypeError, match=r"^pybrpc\.Channel\(\) got an unexpected keyword argument 'x'$"
    ):
        pybrpc.Channel("10.0.0.1:8000", x=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value", "error", "said"),
    [
        ("timeout", "1", TypeError, "timeout must be seconds as a number, or None"),
        ("timeout", True, TypeError, "timeout must be seconds as a number, or None"),
        ("timeout", math.nan, TypeError, "timeout must be seconds as a number, or None"),
        ("connect_timeout", -1, ValueError, "connect_timeout must be at least 0 seconds, not -1"),
        ("max_retry", "3", ValueError, "max_retry must be a whole number >= 0, not '3'"),
        ("retry_policy", 3, TypeError, "retry_policy must be a pybrpc.RetryPolicy or None, not 3"),
        (
            "retry_policy",
            pybrpc.RetryPolicy,
            TypeError,
            "not the class RetryPolicy: make an object",
        ),
        ("backup_request_ms", math.nan, ValueError, "backup_request_ms must be at least 0 millis"),
        ("backup_request_policy", 10, TypeError, "must be a pybrpc.BackupRequestPolicy or None"),
        ("wait_for_ready", "no", TypeError, "wait_for_ready must be True or False, not 'no'"),
        ("connection_type", "Single", ValueError, "connection_type must be one of 'single', 'poo"),
        ("connections", True, ValueError, "connections must be a whole number >= 1, not True"),
        ("connection_group", 7, TypeError, "connection_group must be a string, not an int"),
        ("dial_backoff", 0.1, TypeError, "dial_backoff must be a pybrpc.Backoff or None, not 0.1"),
        ("health_check", "/health", TypeError, "health_check must be a pybrpc.HealthCheck or None"),
        ("auth", "secret", TypeError, "auth must be an Authenticator, with a plain function gen"),
        (
            "compress_type",
            "gzip",
            ValueError,
            "compress_type must be a number such as pybrpc.Compr",
        ),
        ("compress_type", True, ValueError, "compress_type must be a whole number >= 0, not True"),
        ("checksum_type", -1, ValueError, "checksum_type must be a whole number >= 0, not -1"),
        (
            "checksum_with_attachment",
            1,
            TypeError,
            "checksum_with_attachment must be True or False",
        ),
        (
            "max_body_size",
            "64M",
            ValueError,
            "max_body_size must be a whole number >= 1, not '64M'",
        ),
        ("max_body_size", None, ValueError, "max_body_size must be a whole number >= 1, not None"),
        (
            "max_streams_unconsumed_bytes",
            -1,
            ValueError,
            "max_streams_unconsumed_bytes must be a whole number >= 0, not -1",
        ),
        (
            "json_options",
            pybrpc.JsonOptions(),
            ValueError,
            "leave out json_options: baidu_std sends no JSON",
        ),
        ("options", {"keepalive": True}, TypeError, "options must be a pybrpc.SocketOptions or No"),
    ],
)
def test_error_names_the_option_and_says_what_is_wanted(
    name: str, value: Any, error: type[Exception], said: str
) -> None:
    for channel in (pybrpc.Channel, pybrpc.aio.Channel):
        with pytest.raises(error, match=re.escape(said)):
            channel("127.0.0.1:1", **{name: value})


def test_share_with_threads_is_a_flag() -> None:
    share: Any = "no"
    with pytest.raises(TypeError, match="share_with_threads must be True or False, not 'no'"):
        pybrpc.aio.Channel("127.0.0.1:1", share_with_threads=share)


def test_every_name_of_a_protocol_makes_a_channel_of_its_default_type() -> None:
    names = protocol_names()
    assert names[:4] == ["baidu_std", "hulu_pbrpc", "sofa_pbrpc", "http"]
    assert "http:proto" in names
    for name in names:
        settings = ChannelSettings(protocol=name).source_settings
        assert settings.connection_type == default_connection_type(name)
    with pytest.raises(ValueError, match="unknown protocol 'htpp'"):
        default_connection_type("htpp")
