"""The options of a client of RTMP, and what a client refuses."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import AddressError, ChannelClosedError, TlsConfigError
from pybrpc.rtmp import RtmpClient, RtmpOptions, aio
from pybrpc.transport.socket_options import SocketOptions

WRONG: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"connect_timeout": -1}, ValueError),
    ({"timeout": "5"}, TypeError),
    ({"tls": "yes"}, TlsConfigError),
    ({"digest": "yes"}, TypeError),
    ({"chunk_size": 0}, ValueError),
    ({"ack_window": 2**32}, ValueError),
    ({"buffer_length_ms": -1}, ValueError),
    ({"max_message_bytes": 0}, ValueError),
    ({"max_unread_bytes": 0}, ValueError),
    ({"max_unwritten_bytes": True}, ValueError),
    ({"share_connection": 1}, TypeError),
    ({"connect_fields": [("a", 1)]}, TypeError),
    ({"connect_fields": {1: "a"}}, TypeError),
    ({"connect_fields": {"a": object()}}, TypeError),
    ({"options": {}}, TypeError),
]


@pytest.mark.parametrize(("options", "kind"), WRONG)
def test_wrong_options_are_refused(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        RtmpOptions(**options)


@pytest.mark.parametrize("form", [RtmpClient, aio.RtmpClient])
def test_a_client_says_where_options_go(form: Any) -> None:
    with pytest.raises(
        TypeError, match=r"RtmpClient has no argument 'timeout'.*RtmpOptions\(timeo"
    ):
        form("host/app", timeout=1)
    with pytest.raises(TypeError, match=r"options must be a pybrpc\.rtmp\.RtmpOptions or None"):
        form("host/app", {"timeout": 1})


def test_each_option_is_explained_and_tested() -> None:
    names = {field.name for field in dataclasses.fields(RtmpOptions)}
    documented = inspect.cleandoc(RtmpOptions.__doc__ or "")
    assert {name for options, _ in WRONG for name in options} == names
    assert all(f"\n{name} " in documented for name in names)


def test_limit_of_unwritten_bytes_reaches_the_socket() -> None:
    options = RtmpOptions(max_unwritten_bytes=5000)
    assert options.socket_options(SocketOptions()).high_water_bytes == 5000
    own = RtmpOptions(options=SocketOptions(high_water_bytes=7))
    assert own.socket_options(SocketOptions(keepalive_count=9)) == SocketOptions(
        high_water_bytes=7, keepalive_count=9
    )


@pytest.mark.parametrize("make", [RtmpClient, aio.RtmpClient])
def test_a_client_of_a_url_with_a_stream_is_refused(make: Any) -> None:
    with pytest.raises(AddressError, match="give the name of the stream to publish"):
        make("rtmp://host/app/SECRET")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"name": ""}, ValueError),
        ({"name": 5}, TypeError),
        ({"name": "x" * 70_000}, ValueError),
        ({"name": "x", "start": "now"}, ValueError),
        ({"name": "x", "duration": float("inf")}, ValueError),
    ],
)
def test_wrong_arguments_of_play_are_refused(arguments: Any, kind: type[Exception]) -> None:
    with RtmpClient("host/app") as client, pytest.raises(kind):
        client.play(**arguments)


def test_an_unknown_mode_is_refused() -> None:
    with RtmpClient("host/app") as client, pytest.raises(ValueError, match="mode must be"):
        client.publish("x", mode="once")


def test_a_closed_client_opens_nothing() -> None:
    client = RtmpClient("host/app")
    client.close()
    assert client.is_closed
    with pytest.raises(ChannelClosedError):
        client.play("x")


def test_with_of_the_wrong_kind_says_which_client_to_use() -> None:
    with pytest.raises(TypeError, match=r"async with pybrpc\.rtmp\.aio\.RtmpClient"):
        aio.RtmpClient("host/app").__enter__()


def test_a_status_error_keeps_its_status_when_it_is_copied_and_pickled() -> None:
    import pickle

    error = pybrpc.errors.RtmpStatusError("refused")
    error.status, error.remote_text = "NetStream.Publish.BadName", "taken"
    for copy in (error.copy(), pickle.loads(pickle.dumps(error))):
        assert (copy.status, copy.remote_text) == (error.status, "taken")
        assert copy.text == error.text
