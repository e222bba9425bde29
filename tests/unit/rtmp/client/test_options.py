"""The options of a client of RTMP, and what a client refuses."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
from typing import Any

import pytest

import pybrpc
from pybrpc.base.deadline import LONGEST_TIMEOUT_S
from pybrpc.errors import AddressError, ChannelClosedError, TlsConfigError
from pybrpc.protocols.rtmp.command import Command
from pybrpc.rtmp import (
    ReconnectPolicy,
    RtmpClient,
    RtmpOptions,
    RtmpPlayer,
    RtmpPublisher,
    RtmpRelay,
    aio,
)
from pybrpc.rtmp.client.client_base import MAX_NAME_BYTES, play_request, publish_request
from pybrpc.rtmp.connection import MAX_COMMAND_BYTES
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


def test_longest_timeouts_are_taken() -> None:
    options = RtmpOptions(connect_timeout=10**400, timeout=math.inf)
    assert options.connect_timeout == LONGEST_TIMEOUT_S
    assert options.timeout is None
    policy = ReconnectPolicy(interval=10**400, max_duration=10**400)
    assert policy.interval == policy.max_duration == LONGEST_TIMEOUT_S
    with pytest.raises(ValueError, match="not inf"):
        ReconnectPolicy(interval=math.inf)


def test_options_have_a_hash() -> None:
    fields = {"pageUrl": "http://host"}
    assert hash(RtmpOptions(connect_fields=fields)) == hash(RtmpOptions(connect_fields=fields))
    assert RtmpOptions(connect_fields=fields) != RtmpOptions()


def test_connect_fields_are_copied() -> None:
    fields: dict[str, Any] = {"a": {"b": 1.0}}
    options = RtmpOptions(connect_fields=fields)
    fields["a"]["b"] = fields["c"] = object()
    assert options.connect_fields == {"a": {"b": 1.0}}


@pytest.mark.parametrize("make", [RtmpClient, aio.RtmpClient])
def test_what_no_server_would_read_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="make a command of 70"):
        make("rtmp://host/app", RtmpOptions(connect_fields={"a": "x" * 70_000}))
    with pytest.raises(ValueError, match="the longest one has 65536"):
        make("rtmp://host/" + 40_000 * "a")


@pytest.mark.parametrize("request_of", [publish_request, play_request])
def test_longest_name_fits_into_a_command(request_of: Any) -> None:
    longest = MAX_NAME_BYTES * "x"
    request = request_of(longest)
    for command in request.command(2.0), Command("releaseStream", 2.0, None, (longest,)):
        assert len(command.pack(1).payload) <= MAX_COMMAND_BYTES
    with pytest.raises(ValueError, match="from 1 to 65024 bytes"):
        request_of(longest + "x")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_objects_that_own_connections_are_not_copied(copied: Any) -> None:
    with RtmpClient("rtmp://127.0.0.1:9/app") as client:
        owners: list[object] = [client, RtmpPlayer(client, "a"), RtmpPublisher(client, "a")]
        for owner in [*owners, aio.RtmpClient("rtmp://127.0.0.1:9/app"), RtmpRelay()]:
            with pytest.raises(TypeError, match="can't be copied"):
                copied(owner)


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
    for again in (error.copy(), pickle.loads(pickle.dumps(error))):
        assert (again.status, again.remote_text) == (error.status, "taken")
        assert again.text == error.text
