"""`RpcError.message`: the bare text of the handler, beside `text`, which is bRPC's."""

from __future__ import annotations

import copy
import pickle
import socket
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ConnectError, ErrorCode, RpcError
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.serving import Handler, make_server

NO_SUCH_USER = 20001
"""As an application chooses its codes."""


def raise_error(request: Any, controller: Any) -> Any:
    raise RpcError("no such user: [E7] 零", code=NO_SUCH_USER)


def set_failed(request: Any, controller: Any) -> Any:
    controller.set_failed(NO_SUCH_USER, "no such user: [E7] 零")


def set_failed_twice(request: Any, controller: Any) -> Any:
    controller.set_failed(ErrorCode.EINVAL, "no such user:")
    controller.set_failed(NO_SUCH_USER, "[E7] 零")


def error_of(handler: Handler, form: str = "blocking", address: str = "127.0.0.1:0") -> RpcError:
    with make_server(handler) as server:
        with caller(form, str(server.start(address)), connect_timeout=30) as client:
            with pytest.raises(RpcError) as caught:
                client.call(echo_request())
    return caught.value


@pytest.mark.parametrize("form", FORMS)
def test_message_is_what_the_handler_gave(form: str) -> None:
    error = error_of(raise_error, form)
    assert (error.code, error.name) == (NO_SUCH_USER, "E20001")
    assert error.message == "no such user: [E7] 零"
    assert error.text == f"[E20001][{error.peer}][E20001]no such user: [E7] 零"


@pytest.mark.parametrize("handler", [set_failed, set_failed_twice])
@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "unix:@error-messages"])
def test_message_lacks_the_address_of_the_server_of_any_kind(
    handler: Handler, address: str
) -> None:
    error = error_of(handler, address=address)
    assert error.message == "no such user: [E7] 零"
    assert f"[{error.peer}]" in error.text


def test_copies_of_an_error_have_its_message() -> None:
    error = error_of(raise_error)
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error)), error.copy()):
        assert (again.message, again.text) == (error.message, error.text)


def test_message_of_an_error_of_this_side_is_that_of_the_last_attempt() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ConnectError) as caught:
            with pybrpc.Channel(address, dial_backoff=None, max_retry=1, timeout=30) as channel:
                pybrpc.Stub(ECHO, channel).Echo(echo_request())
    message = caught.value.message
    assert message.startswith(f"Fail to connect {address}")
    assert caught.value.text.count("[E111]") == 2
    assert caught.value.text.endswith(f"[R1][E111]{message}")


def test_error_that_is_raised_by_the_user_has_its_text_as_message() -> None:
    assert RpcError("why").message == "why"
