"""Credentials: what the authenticator is asked, and the response to a bad credential."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AuthenticationError, ErrorCode
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.rpc.authenticator import AuthContext, Authenticator
from pybrpc.server.connections.credentials import (
    MAX_REASON,
    authentication_failure,
    verify_credential,
)

CLIENT = Endpoint("10.0.0.1", 7)


class Asked(Authenticator):
    """Accepts every credential; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Endpoint]] = []

    def verify_credential(self, credential: bytes, client: Endpoint) -> AuthContext:
        self.asked.append((credential, client))
        return AuthContext(user="somebody")


def request(**fields: Any) -> RpcRequest:
    return RpcRequest(7, "Service", "Method", b"", **fields)


@pytest.mark.parametrize(
    ("message", "credential"),
    [
        (request(credential=b"secret"), b"secret"),
        (request(), b""),
        (RpcResponse(7), b""),
        (BadMessage(7, True, "bad", b"secret"), b"secret"),
        (BadMessage(7, True, "bad"), b""),
        (OversizedMessage(7, True, 2, 1, b"secret"), b"secret"),
    ],
)
def test_authenticator_is_asked_about_the_first_message(message: Any, credential: bytes) -> None:
    auth = Asked()
    context = verify_credential(auth, message, CLIENT)
    assert auth.asked == [(credential, CLIENT)]
    assert context is not None
    assert context.user == "somebody"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (AuthenticationError("unknown user"), "Fail to authenticate: unknown user"),
        (AuthenticationError("x" * 10_000), f"Fail to authenticate: {'x' * MAX_REASON}"),
        (AuthenticationError(3), "Fail to authenticate"),  # type: ignore[arg-type]
        (ValueError("a secret"), "Fail to authenticate"),
        (SystemExit("a secret"), "Fail to authenticate"),
    ],
)
def test_refusal_says_only_what_the_authenticator_says(reason: BaseException, text: str) -> None:
    response = authentication_failure(7, reason)
    assert (response.correlation_id, response.error_code) == (7, ErrorCode.ERPCAUTH)
    assert response.error_text == text


def test_credential_is_not_kept_in_the_request() -> None:
    message = request(credential=b"secret")
    verify_credential(Asked(), message, CLIENT)
    assert message.credential is None
