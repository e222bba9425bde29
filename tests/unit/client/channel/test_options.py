"""ChannelOptions, ChannelSettings and the docstring of Channel name the same options."""

from __future__ import annotations

import dataclasses
import re
from inspect import cleandoc
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.client.channel.options import ChannelOptions, ChannelSettings
from pybrpc.errors import PyBrpcError

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


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": "1"}, TypeError),
        ({"connect_timeout": -1}, ValueError),
        ({"auth": object()}, TypeError),
        ({"tls": "yes"}, PyBrpcError),
        ({"idle_timeout": 0}, ValueError),
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
    with pytest.raises(TypeError, match=r"^Channel\(\) got an unexpected keyword argument 'x'$"):
        pybrpc.Channel("10.0.0.1:8000", x=1)  # type: ignore[call-arg]
