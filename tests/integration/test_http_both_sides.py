"""Clients of HTTP and servers of this library, against each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import NoMethodError
from tests.peers.echo import ECHO, echo_request
from tests.peers.serving import async_echo, echo, make_server, start

PATIENT: dict[str, Any] = {"timeout": 60, "connect_timeout": 30}
"""For a machine that others use."""


def fail(request: Any, controller: pybrpc.Controller) -> Any:
    raise pybrpc.RpcError("no such user", code=20001)


@pytest.mark.parametrize("protocol", ["http", "http:proto", "http:proto-json", "http:proto-text"])
@pytest.mark.parametrize("handler", [echo, async_echo])
def test_calls(handler: Any, protocol: str) -> None:
    with make_server(handler) as server:
        address = str(start(server))
        with pybrpc.Channel(address, protocol=protocol, **PATIENT) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request(str(number))) for number in range(50)]
            assert [future.result().message for future in futures] == [str(n) for n in range(50)]
            assert stub.Echo(echo_request("h\xe9llo")).message == "h\xe9llo"
            statistics = channel.endpoint_statistics()
            assert statistics is not None
            assert statistics.closed == 0


def test_errors_keep_their_codes() -> None:
    with make_server(fail) as server:
        address = str(start(server))
        with pybrpc.Channel(address, protocol="http", **PATIENT) as channel:
            with pytest.raises(pybrpc.RpcError, match="no such user") as raised:
                pybrpc.Stub(ECHO, channel).Echo(echo_request())
            assert (raised.value.code, raised.value.message) == (20001, "no such user")
            with pytest.raises(NoMethodError):
                channel.raw_method(ECHO.full_name, "None")(b"{}")


def test_plain_requests_and_tasks() -> None:
    async def run(address: str) -> list[str]:
        async with pybrpc.aio.Channel(address, protocol="http", **PATIENT) as channel:
            replies = await asyncio.gather(
                *(
                    channel.http(
                        "POST",
                        f"/{ECHO.full_name}/Echo",
                        body=b'{"message": "%d"}' % number,
                        headers={"Content-Type": "application/json"},
                    )
                    for number in range(20)
                )
            )
            return [reply.json()["message"] for reply in replies]

    with make_server(async_echo) as server:
        assert asyncio.run(run(str(start(server)))) == [str(number) for number in range(20)]
