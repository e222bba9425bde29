"""Options by name: signatures show them all, and unknown ones are refused by name."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.named_options import check_names
from pybrpc.client.channel.options import ChannelOptions
from pybrpc.redis import RedisChannel
from pybrpc.redis import aio as redis_aio
from pybrpc.redis.redis_options import RedisOptions
from pybrpc.server import Supervisor, serve
from pybrpc.server.settings import ServerOptions
from pybrpc.server.workers.settings import SupervisorOptions

OF = {
    pybrpc.Channel: ChannelOptions,
    pybrpc.aio.Channel: ChannelOptions,
    RedisChannel: RedisOptions,
    redis_aio.RedisChannel: RedisOptions,
    pybrpc.Server: ServerOptions,
    Supervisor: SupervisorOptions,
    serve: SupervisorOptions,
}


@pytest.mark.parametrize("function", OF)
def test_signature_has_each_option_with_its_default(function: Any) -> None:
    shown = inspect.signature(function).parameters
    assert not [
        parameter for parameter in shown.values() if parameter.kind is parameter.VAR_KEYWORD
    ]
    for name in OF[function].__annotations__:
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY, name
        assert shown[name].default is not inspect.Parameter.empty, name


@pytest.mark.parametrize("function", OF)
def test_defaults_that_are_shown_are_accepted(function: Any) -> None:
    shown = inspect.signature(function).parameters
    options: dict[str, Any] = {name: shown[name].default for name in OF[function].__annotations__}
    if function is serve:
        function = Supervisor
    first: dict[Any, tuple[str, ...]] = {pybrpc.Server: (), Supervisor: ("package.module:name",)}
    made = function(*first.get(function, ("127.0.0.1:1",)), **redis_without_refused(options))
    if isinstance(made, pybrpc.Channel):
        assert made.timeout_s == 0.5


def redis_without_refused(options: dict[str, Any]) -> dict[str, Any]:
    """A channel to Redis refuses some options of channels, whatever their value."""
    refused = {
        "compress_type",
        "checksum_type",
        "checksum_with_attachment",
        "max_streams_unconsumed_bytes",
    }
    return {n: v for n, v in options.items() if "db" not in options or n not in refused}


def test_help_names_the_options() -> None:
    assert "timeout: 'float | None' = 0.5" in pydoc.render_doc(pybrpc.Channel)
    assert "max_workers: 'int' = 256" in pydoc.render_doc(pybrpc.Server)


def test_subclass_has_the_signature_of_its_own_constructor() -> None:
    class Mine(pybrpc.Channel):
        def __init__(self, port: int) -> None:
            super().__init__(Endpoint("127.0.0.1", port))

    assert list(inspect.signature(Mine).parameters) == ["port"]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (pybrpc.Channel, "pybrpc.Channel"),
        (pybrpc.aio.Channel, "pybrpc.aio.Channel"),
        (RedisChannel, "RedisChannel"),
        (pybrpc.Server, "Server"),
        (Supervisor, "Supervisor"),
    ],
)
def test_unknown_option_is_refused_in_the_name_of_the_class(function: Any, name: str) -> None:
    first = () if function is pybrpc.Server else ("a.b:c",)
    with pytest.raises(TypeError) as caught:
        function(*first, qqq=1, zeta=2)
    assert str(caught.value) == f"{name}() got an unexpected keyword argument 'qqq'"


@pytest.mark.parametrize(
    ("function", "options", "advice"),
    [
        (pybrpc.Channel, {"timeout_ms": 50}, "; in seconds: timeout=0.05"),
        (pybrpc.aio.Channel, {"timeout_ms": 50}, "; in seconds: timeout=0.05"),
        (pybrpc.Channel, {"connect_timeout_ms": 1500}, "; in seconds: connect_timeout=1.5"),
        (pybrpc.Channel, {"timeout_ms": "50"}, "; in seconds: timeout"),
        (pybrpc.Server, {"idle_timeout_sec": 30}, "; in seconds: idle_timeout=30"),
        (pybrpc.Channel, {"timeuot": 1}, "; did you mean 'timeout'?"),
        (pybrpc.Channel, {"backup_request": 1}, "; did you mean 'backup_request_ms'?"),
        (pybrpc.Server, {"max_worker": 3}, "; did you mean 'max_workers'?"),
        (pybrpc.Server, {"num_threads": 3}, "; did you mean 'max_workers'?"),
        (RedisChannel, {"timeout_ms": 50}, "; in seconds: timeout=0.05"),
    ],
    ids=str,
)
def test_unknown_option_is_refused_with_the_name_that_may_be_meant(
    function: Any, options: dict[str, Any], advice: str
) -> None:
    (name,) = options
    with pytest.raises(TypeError) as caught:
        function(*(() if function is pybrpc.Server else ("127.0.0.1:1",)), **options)
    assert str(caught.value).endswith(f"() got an unexpected keyword argument {name!r}{advice}")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (pybrpc.Channel, "pybrpc.Channel"),
        (pybrpc.aio.Channel, "pybrpc.aio.Channel"),
        (RedisChannel, "pybrpc.redis.RedisChannel"),
        (redis_aio.RedisChannel, "pybrpc.redis.aio.RedisChannel"),
    ],
)
def test_wrong_positional_arguments_are_refused_in_the_public_name(
    function: Any, name: str
) -> None:
    for arguments in ((), ("127.0.0.1:1", 0.5)):
        with pytest.raises(TypeError) as caught:
            function(*arguments)
        assert str(caught.value).startswith(f"{name}() ")


def test_check_names_accepts_what_is_known() -> None:
    check_names("f", {"workers": 1, "loop": "x"}, SupervisorOptions)
